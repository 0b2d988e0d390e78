"""Pairs of CheXzero's own layout: an HDF5 file of images beside a CSV of impressions, row by row.

CheXzero's preprocessing writes `cxr.h5` (dataset `cxr`, `image 320 320`, grey levels of 0 to 255),
`cxr_paths.csv` and `mimic_impressions.csv`; the `chexzero` layout of `pairaug export` is read too.
Patients are known only from the paths, or from the columns of our own export: without either, the
images of one report's file count as one patient.

Needs `pip install "pairaug[hdf5]"`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pairaug.errors import DataError, MissingExtraError
from pairaug.imaging.io import encode_png
from pairaug.pair import Pair, Report
from pairaug.readers.listing import listing_sha256
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.reader import Provenance, StatedTerms
from pairaug.readers.rows import Row, column_names, file_sha256, rows_of
from pairaug.readers.splits import SPLIT_NAMES, SplitFractions
from pairaug.stage import RunContext

_LOG = logging.getLogger(__name__)

DROP_REASONS = {
    "synthetic": "a synthetic pair of an earlier export: new pairs are made from real ones only"
}

_DATASET = "cxr"
_NO_IMPRESSION = "NO IMPRESSION"
"""Written by CheXzero's preprocessing where a report has no impression."""
_ROWS_AT_ONCE = 64
_OURS = ("id", "patient_id", "split", "synthetic", "access")
"""Additional columns of our own export."""
_PATIENT = re.compile(r"p\d{8}|patient\d+")


class CheXzeroSource(StatedTerms):
    """CheXzero's `cxr.h5` with its CSV of impressions."""

    layout: Literal["chexzero"] = Field("chexzero", description="The layout: CheXzero's HDF5.")
    images: Path = Field(description="HDF5 file, such as `cxr.h5`.")
    table: Path = Field(description="CSV of impressions, in the order of the images.")
    paths: Path | None = Field(
        default=None,
        description="CSV of the images' paths, `cxr_paths.csv`, to identify patients.",
    )
    name: str = Field(
        default="", description="First part of every pair's id; without it, the folder's name."
    )
    split: SplitFractions = Field(
        default_factory=SplitFractions, description="Split of patients if the CSV has none."
    )


class CheXzeroReader:
    """The real pairs of an HDF5 file, in its order."""

    def __init__(self, settings: CheXzeroSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._images = absolute(settings.images)
        self._table = absolute(settings.table)
        self._paths = absolute(settings.paths) if settings.paths else None

    def describe(self) -> Provenance:
        """Provenance from the settings, with hashes of the tables and the HDF5 file's size."""
        tables = [path for path in (self._table, self._paths) if path]
        hashes = {path.name: file_sha256(path) for path in tables}
        return Provenance(
            layout="chexzero",
            name=self._name,
            license=self._settings.license,
            access=self._settings.access,
            citation=self._settings.citation,
            hashes={**hashes, "images": listing_sha256([self._images], self._images.parent)},
        )

    def count(self) -> int:
        """Number of images."""
        with _open(self._images) as images:
            return len(images)

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image."""
        normalizer = RecordNormalizer(
            layout="chexzero",
            name=self._name,
            root=self._images.parent,
            fractions=self._settings.split,
        )
        return normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Each image with its impression."""
        names = column_names(self._table)
        columns = {"file": "filename", "impression": "impression"}
        columns |= {name: name for name in _OURS if name in names}
        rows = rows_of(self._table, columns)
        paths: Iterator[tuple[int, Row]] = iter(())
        if self._paths is not None:
            paths = rows_of(self._paths, {"path": "Path"})
        elif "patient_id" not in names:
            _LOG.warning(
                "%s: images cannot be grouped by patient, so a patient may be in two splits; set "
                "read.paths to cxr_paths.csv",
                self._name,
            )
        with _open(self._images) as images:
            self._check_counts(len(images))
            for (number, row), (_, path), image in zip_longest(
                rows, paths, _images(images), fillvalue=(0, {})
            ):
                yield self._item(number, row, path.get("path"), image)

    @property
    def _name(self) -> str:
        return self._settings.name or self._images.parent.name

    def _item(self, number: int, row: Row, path: str | None, image: Any) -> RawRecord:
        where = f"row {number}"
        if row.get("access") == "credentialed" and self._settings.access != "credentialed":
            raise DataError(
                f"{where} says that its source is credentialed; set read.access: credentialed"
            )
        text = row["impression"] or ""
        study = (row["file"] or "").removesuffix(".txt")
        own_id = row.get("id") or (Path(path).with_suffix("").as_posix() if path else None)
        patient = next((part for part in Path(path or "").parts if _PATIENT.fullmatch(part)), None)
        return RawRecord(
            where=where,
            id=(own_id or f"{number - 2:07d}").removeprefix(f"{self._name}/"),
            report=Report(impression="" if text.rstrip(".") == _NO_IMPRESSION else text),
            image=image if isinstance(image, bytes) else None,
            patient_id=row.get("patient_id") or patient or study or None,
            split=SPLIT_NAMES.get((row.get("split") or "").lower()),
            trace={"row": number, "study": study or None},
            drop=("synthetic", where) if row.get("synthetic") == "1" else None,
        )

    def _check_counts(self, num_images: int) -> None:
        tables = [(self._table, "filename"), *([(self._paths, "Path")] if self._paths else [])]
        for table, column in tables:
            num_rows = sum(1 for _ in rows_of(table, {"column": column}))
            if num_rows != num_images:
                raise DataError(
                    f"{table} has {num_rows} rows, but {self._images} has {num_images} images; "
                    "give the table that belongs to these images"
                )


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Opens the dataset of images in the file at `path`."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("reading HDF5", "h5py", "hdf5") from error
    if not path.is_file():
        raise DataError(f"read.images is {path}, which does not exist")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is not an HDF5 file, or is cut short") from error
    with file:
        images = file.get(_DATASET)
        is_images = isinstance(images, h5py.Dataset) and images.ndim == 3
        if not is_images or images.dtype.kind not in "uif":  # type: ignore[union-attr]
            raise DataError(f"{path} has no dataset {_DATASET!r} of grey images, one per row")
        yield images


def _images(images: Any) -> Iterator[bytes]:
    """Each image as an eight-bit PNG; unreadable bytes if its values are not within 0 to 255.

    Fractional grey levels, left by resizing, are rounded.
    """
    for start in range(0, len(images), _ROWS_AT_ONCE):
        try:
            block = images[start : start + _ROWS_AT_ONCE]
        except OSError as error:
            raise DataError(f"row {start + 2} and later of the images are damaged") from error
        for image in block.astype(np.float32):
            is_grey = np.isfinite(image).all() and image.min() >= -0.5 and image.max() < 255.5
            yield encode_png(image / 255.0) if is_grey else b"\0"
