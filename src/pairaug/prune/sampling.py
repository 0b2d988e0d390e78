"""A sample of pairs by hash of their ids: independent of order and parts."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def hashes_of(ids: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each id, uint64 `pair`."""
    digests = b"".join(blake2b(str(each).encode(), digest_size=8).digest() for each in ids)
    return np.frombuffer(digests, dtype=np.uint64)


class LowestHashes:
    """A sample of at most `size` pairs, as arrays with a row for each pair.

    Memory is bounded by the size; the choice depends on the ids alone.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._hashes = np.empty(0, dtype=np.uint64)
        self._arrays: tuple[np.ndarray, ...] = ()

    def add(self, ids: np.ndarray, *arrays: np.ndarray) -> None:
        """Offers rows: `arrays` have one row for each id."""
        hashes = hashes_of(ids)
        if len(self._hashes) == self._size:
            likely = np.flatnonzero(hashes < self._hashes[-1])
            hashes, arrays = hashes[likely], tuple(array[likely] for array in arrays)
        if not len(hashes):
            return
        if self._arrays:
            hashes = np.concatenate([self._hashes, hashes])
            arrays = tuple(map(np.concatenate, zip(self._arrays, arrays, strict=True)))
        chosen = np.argsort(hashes, kind="stable")[: self._size]
        self._hashes = hashes[chosen]
        self._arrays = tuple(array[chosen] for array in arrays)

    def __len__(self) -> int:
        return len(self._hashes)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The rows of the sample, in the order of their hashes."""
        return self._arrays
