"""Vectors too many for memory: rows in a temporary file, read back in blocks."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator

import numpy as np

_ITEM = np.dtype(np.float32)


class VectorFile:
    """Rows of one length, appended in order; the unnamed file is deleted with the object."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="pairaug-vectors-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._dimension = 0
        self._num_rows = 0

    def __len__(self) -> int:
        return self._num_rows

    def append(self, rows: np.ndarray) -> None:
        """Adds float32 rows, `row dimension`."""
        if not len(rows):
            return
        self._dimension = self._dimension or rows.shape[1]
        if rows.shape[1] != self._dimension:
            raise ValueError(f"got rows of {rows.shape[1]} numbers, expected {self._dimension}")
        self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(rows, dtype=_ITEM).tobytes())
        self._file.flush()
        self._num_rows += len(rows)

    def read(self, start: int, end: int) -> np.ndarray:
        """The rows from `start` up to `end`, float32 `row dimension`."""
        width = self._dimension * _ITEM.itemsize
        end = min(end, self._num_rows)
        content = os.pread(self._file.fileno(), (end - start) * width, start * width)
        return np.frombuffer(content, dtype=_ITEM).reshape(-1, self._dimension)

    def row(self, index: int) -> np.ndarray:
        """One row, float32 `dimension`."""
        return self.read(index, index + 1)[0]

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """(index of the first row, rows) of consecutive blocks."""
        for start in range(0, self._num_rows, size):
            yield start, self.read(start, start + size)


class VectorStore:
    """A vector per key: row numbers in memory, vectors on disk."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._vectors = VectorFile()

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def __getitem__(self, key: bytes) -> np.ndarray:
        return self._vectors.row(self._rows[key])

    def add(self, keys: list[bytes], rows: np.ndarray) -> None:
        """Adds one row per key; keys must be new."""
        first = len(self._vectors)
        self._vectors.append(rows)
        self._rows.update((key, first + index) for index, key in enumerate(keys))
