"""The images of a source on disk, square and one byte per pixel, with one row per pair.

A store is keyed by all that determines it, so trainings that share a `cache` decode nothing twice.
It holds all pairs of a source, and each training selects from them. It is built under a temporary
name and renamed last.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, NonNegativeInt, ValidationError

from pairaug.errors import DataError, RunError
from pairaug.imaging.files import ImageError
from pairaug.imaging.io import Fit, fit_square, load_image
from pairaug.pair import ImageRef, Pair
from pairaug.stage import batched
from pairaug.system.atomic import FOLDER_SUFFIX, disk_errors, new_folder
from pairaug.system.json_text import JSONTextError, parse_json
from pairaug.system.locks import hold_lock
from pairaug.train.clip.sources import PairSource, drop_of, identity_of, pairs_of
from pairaug.train.image_dataset import as_bytes, counts_of

log = logging.getLogger(__name__)

_FORMAT = 2
_GROUP = 64


class _Image(BaseModel, strict=True, extra="forbid"):
    """Location of a streamed image: in `images.bin`, or in its own file."""

    start: NonNegativeInt | None = None
    length: NonNegativeInt = 0
    path: str | None = None
    sha256: str | None = None


class _PairRow(BaseModel, strict=True, extra="forbid"):
    """A line of `rows.jsonl`."""

    id: str
    branch: Literal["real", "inter", "intra"]
    split: str | None
    patient_id: str
    source_patient_id: str | None
    drop_stage: str | None
    findings: str
    impression: str
    image: _Image


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Size, fit and storage of images."""

    size: int
    fit: Fit
    streamed: bool
    num_workers: int
    seed: int


class _DamagedError(Exception):
    """The files of a store are not as written."""


class Store:
    """The pairs of one source: rows in order, and images by index."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self._folder, self._settings = folder, settings
        self.rows = _rows_in(folder / "rows.jsonl")
        size = settings.size
        images = folder / ("images.bin" if settings.streamed else "images.u8")
        if settings.streamed:
            num_bytes = sum(row["image"].get("length", 0) for row in self.rows)
        else:
            num_bytes = len(self.rows) * size * size
        if not images.is_file() or images.stat().st_size != num_bytes:
            raise _DamagedError(f"{images.name} is cut short")
        self._images: np.ndarray | None = None
        if not settings.streamed:
            shape = (len(self.rows), size, size)
            path = folder / "images.u8"
            self._images = np.memmap(path, np.uint8, "r", shape=shape) if self.rows else None

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8, `image height width`."""
        if self._images is not None:
            return self._images[indices]
        images = np.empty((len(indices), self._settings.size, self._settings.size), np.uint8)
        for row, index in enumerate(indices):
            images[row] = self._decode(self.rows[index])
        return images

    def _decode(self, row: dict[str, Any]) -> np.ndarray:
        if row["image"] is None:
            raise ValueError("cannot load the image of a pair without one")
        image = row["image"]
        ref = ImageRef(image.get("path"), self._bytes_of(image), image.get("sha256"))
        try:
            return _square(ref, self._settings)
        # It could be read when training began, and batches already used it.
        except ImageError as error:
            raise DataError(
                f"a streamed image can no longer be read: {error}. Restore the files, or "
                "read the data again and train on the new run."
            ) from error

    def _bytes_of(self, image: dict[str, Any]) -> bytes | None:
        if "start" not in image:
            return None
        with (self._folder / "images.bin").open("rb") as file:
            return os.pread(file.fileno(), image["length"], image["start"])


def _rows_in(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [parse_json(line) for line in path.read_bytes().splitlines()]
    except (OSError, JSONTextError) as error:
        raise _DamagedError(f"{path.name} cannot be read") from error
    try:
        for row in rows:
            _PairRow.model_validate(row)
    except ValidationError:
        # The error's message quotes the line.
        raise _DamagedError(f"{path.name} has a line that is not a pair") from None
    if not rows:
        raise _DamagedError(f"{path.name} is empty")
    return rows


def open_store(source: PairSource, settings: StoreSettings, cache: Path) -> Store:
    """The store of a source, filled first if that is not done yet."""
    identity = {
        "format": _FORMAT,
        "source": identity_of(source, settings.seed),
        "size": settings.size,
        "fit": settings.fit,
        "streamed": settings.streamed,
    }
    key = sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = cache / key
    _clear_leftovers(cache)
    if folder.is_dir():
        try:
            return Store(folder, settings)
        except _DamagedError as error:
            log.warning("%s is damaged (%s) and is built again", folder, error)
    with disk_errors(folder), hold_lock(cache, waits=True):
        if folder.is_dir() and not _is_whole(folder, settings):
            shutil.rmtree(folder)
        if not folder.is_dir():  # Another training may have been quicker; its store is the same.
            with new_folder(folder) as partial_folder:
                _fill(partial_folder, source, settings)
    return Store(folder, settings)


def _is_whole(folder: Path, settings: StoreSettings) -> bool:
    try:
        Store(folder, settings)
    except _DamagedError:
        return False
    return True


def _clear_leftovers(cache: Path) -> None:
    """Removes what trainings left behind that were killed while filling a store."""
    left = list(cache.glob(f".*{FOLDER_SUFFIX}"))
    if not left:
        return
    # Skipped while another training fills one: it holds the lock.
    with suppress(RunError), hold_lock(cache):
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, source: PairSource, settings: StoreSettings) -> None:
    num = start = 0
    lost: Counter[str] = Counter()
    write = partial(_stream if settings.streamed else _decode, settings=settings)
    name = "images.bin" if settings.streamed else "images.u8"
    with (
        (folder / name).open("wb") as images,
        (folder / "rows.jsonl").open("w", encoding="utf-8") as rows,
        ThreadPoolExecutor(settings.num_workers) as pool,
    ):
        for group in batched(_usable(pairs_of(source, settings.seed)), _GROUP):
            for pair, (content, image) in zip(group, pool.map(write, group), strict=True):
                if isinstance(image, str):
                    lost[image] += 1
                    continue
                if settings.streamed and content:
                    image = {"start": start, "length": len(content)}
                    start += len(content)
                images.write(content)
                rows.write(json.dumps(_row(pair, image)) + "\n")
                num += 1
    if lost:
        log.warning(
            "%s: %d images cannot be read and are left out (%s)",
            source.where,
            lost.total(),
            counts_of(lost),
        )
    if not num:
        raise DataError(f"{source.where} has no pairs with image and report")
    log.info(
        "%s: %d images at %d pixels are in %s", source.where, num, settings.size, folder.parent
    )


def _usable(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Pairs that some settings may use: kept ones, and synthetic ones dropped by pruning."""
    for pair in pairs:
        drop = drop_of(pair)
        is_pruned = drop is not None and drop.stage == "prune" and pair.branch != "real"
        if (drop is None or is_pruned) and pair.image is not None:
            yield pair


def _decode(pair: Pair, settings: StoreSettings) -> tuple[bytes, dict[str, Any] | str]:
    """An image with its row, or with the reason why it cannot be used."""
    assert pair.image is not None
    try:
        return _square(pair.image, settings).tobytes(), {}
    except ImageError as error:
        return b"", error.reason


def _stream(pair: Pair, settings: StoreSettings) -> tuple[bytes, dict[str, Any] | str]:
    """An image with a path stays where it is; one stored in its pair is copied."""
    del settings
    assert pair.image is not None
    if pair.image.png is not None:
        return pair.image.png, {}
    return b"", {"path": pair.image.path, "sha256": pair.image.sha256}


def _square(ref: ImageRef, settings: StoreSettings) -> np.ndarray:
    return as_bytes(fit_square(load_image(ref), settings.size, settings.fit))


def _row(pair: Pair, image: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": pair.id,
        "branch": pair.branch.value,
        "split": pair.split,
        "patient_id": pair.patient_id,
        "source_patient_id": pair.source_patient_id,
        "drop_stage": pair.drop.stage if pair.drop else None,
        "findings": pair.report.findings,
        "impression": pair.report.impression,
        "image": image,
    }
