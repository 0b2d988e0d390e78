"""CheXzero's layout: an HDF5 file of padded images beside a CSV of texts, row by row.

Its training (`run_train.py`) takes the two as `--cxr_filepath` and `--txt_filepath`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pairaug import __version__
from pairaug.clip.geometry import CHEXZERO_SIDE, chexzero_square
from pairaug.export.captions import as_caption
from pairaug.export.record import Exported, Terms
from pairaug.export.settings import CHEXZERO_TEXT, TextChoice
from pairaug.export.tables import RECORD_COLUMNS, Tables, cells_of

_ROWS_PER_WRITE = 16

_COLUMNS = ("filename", "impression", *RECORD_COLUMNS)


class CheXzeroWriter:
    """Writes `<split>-cxr.h5` and `<split>-impressions.csv`, both in the same order.

    The dataset `cxr` is float32, `image 320 320`, in grey levels of 0 to 255: CheXzero normalizes
    these, and PyTorch's Normalize does not accept integers. Each image is one compressed chunk, so
    that shuffled reading decompresses one image per row.
    """

    def __init__(self, folder: Path, text: TextChoice | None, terms: Terms) -> None:
        self._folder = folder
        self._text: TextChoice = text or CHEXZERO_TEXT
        self._terms = terms
        self._open: dict[str, _Images] = {}
        self._tables = Tables(_COLUMNS)
        folder.mkdir(parents=True)

    def add(self, item: Exported) -> None:
        """Appends an image and its row."""
        split = item.pair.split
        stem = self._terms.stem(split)
        if split not in self._open:
            about = {**self._terms.as_metadata(), "text": self._text, "pairaug": __version__}
            self._open[split] = _Images(self._folder / f"{stem}-cxr.h5", about)
        assert item.image.pixels is not None, "images were not decoded"
        self._open[split].add(chexzero_square(item.image.pixels))
        # Not CheXzero's "NO IMPRESSION": one text for many images teaches that they are alike.
        text = item.pair.report.text_of(self._text)
        row = {
            "filename": f"{item.key}.{item.image.suffix}",
            "impression": as_caption(text),
            **cells_of(item),
        }
        columns = {name: row[name] for name in _COLUMNS}
        self._tables.add(self._folder / f"{stem}-impressions.csv", columns)

    def close(self) -> None:
        """Finishes the files."""
        for images in self._open.values():
            images.close()
        self._tables.close()

    def finish(self, edition: str) -> None:
        """Does nothing: the files are complete."""
        del edition


class _Images:
    """An HDF5 file whose dataset `cxr` grows by a few images at a time."""

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        # Imported here: other layouts do not need this optional library.
        import h5py

        self._file = h5py.File(path, "w")
        self._file.attrs.update(attributes)
        side = CHEXZERO_SIDE
        self._images = self._file.create_dataset(
            "cxr",
            shape=(0, side, side),
            maxshape=(None, side, side),
            dtype="float32",
            chunks=(1, side, side),
            compression="gzip",
            compression_opts=4,
            shuffle=True,
        )
        self._waiting: list[np.ndarray] = []

    def add(self, square: np.ndarray) -> None:
        """Appends an image."""
        self._waiting.append(square)
        if len(self._waiting) == _ROWS_PER_WRITE:
            self._flush()

    def close(self) -> None:
        """Writes the buffered images and closes the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            start = len(self._images)
            self._images.resize(start + len(self._waiting), axis=0)
            self._images[start:] = np.stack(self._waiting).astype(np.float32)
            self._waiting.clear()
