"""The films of a source on disk, square and a byte a pixel, with a row of facts for each pair.

A store is keyed by what decides it, so that trainings that share a `cache` decode nothing twice; it
holds all pairs of a source, and each training picks from them. It is built under a temporary name
and renamed last.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from pairaug.errors import DataError
from pairaug.image_files import ImageError
from pairaug.images import Fit, fit_square, load_image
from pairaug.pair import ImageRef, Pair
from pairaug.stage import batched
from pairaug.train.clip.sources import PairSource, drop_of, identity_of, pairs_of
from pairaug.train.films import as_bytes, counts_of

log = logging.getLogger(__name__)

_FORMAT = 2
_GROUP = 64


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How films are kept."""

    size: int
    fit: Fit
    streamed: bool
    num_workers: int
    seed: int


class Store:
    """One source's pairs: rows in order, and their films by place."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self._folder, self._settings = folder, settings
        self.rows: list[dict[str, Any]] = [
            json.loads(line)
            for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        size = settings.size
        self._films: np.ndarray | None = None
        if not settings.streamed:
            shape = (len(self.rows), size, size)
            path = folder / "films.u8"
            self._films = np.memmap(path, np.uint8, "r", shape=shape) if self.rows else None

    def films(self, places: np.ndarray) -> np.ndarray:
        """uint8, `film height width`."""
        if self._films is not None:
            return self._films[places]
        films = np.empty((len(places), self._settings.size, self._settings.size), np.uint8)
        for row, place in enumerate(places):
            films[row] = self._decoded(self.rows[place])
        return films

    def _decoded(self, row: dict[str, Any]) -> np.ndarray:
        if row["film"] is None:
            raise ValueError("a pair without a film was asked for")
        film = row["film"]
        ref = ImageRef(film.get("path"), self._bytes_of(film), film.get("sha256"))
        try:
            return _square(ref, self._settings)
        # It was fine when training began, and other batches were drawn from it.
        except ImageError as error:
            raise DataError(
                f"a film that is streamed can no longer be used: {error}. Put back what was read, "
                "or read the data again and train on that."
            ) from error

    def _bytes_of(self, film: dict[str, Any]) -> bytes | None:
        if "start" not in film:
            return None
        with (self._folder / "films.bin").open("rb") as file:
            return os.pread(file.fileno(), film["length"], film["start"])


def open_store(source: PairSource, settings: StoreSettings, cache: Path) -> Store:
    """The store of a source, filled first where that has not been done."""
    identity = {
        "format": _FORMAT,
        "source": identity_of(source, settings.seed),
        "size": settings.size,
        "fit": settings.fit,
        "streamed": settings.streamed,
    }
    key = sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = cache / key
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        partial_folder = Path(tempfile.mkdtemp(prefix=f"{key}.writing-", dir=cache))
        _fill(partial_folder, source, settings)
        try:
            partial_folder.rename(folder)
        except OSError:
            # Another training was quicker; its store is the same.
            if not folder.is_dir():
                raise
            shutil.rmtree(partial_folder)
    return Store(folder, settings)


def _fill(folder: Path, source: PairSource, settings: StoreSettings) -> None:
    num = start = 0
    lost: Counter[str] = Counter()
    write = partial(_streamed if settings.streamed else _decoded, settings=settings)
    name = "films.bin" if settings.streamed else "films.u8"
    with (
        (folder / name).open("wb") as films,
        (folder / "rows.jsonl").open("w", encoding="utf-8") as rows,
        ThreadPoolExecutor(settings.num_workers) as pool,
    ):
        for group in batched(_usable(pairs_of(source, settings.seed)), _GROUP):
            for pair, (content, film) in zip(group, pool.map(write, group), strict=True):
                if isinstance(film, str):
                    lost[film] += 1
                    continue
                if settings.streamed and content:
                    film = {"start": start, "length": len(content)}
                    start += len(content)
                films.write(content)
                rows.write(json.dumps(_row(pair, film)) + "\n")
                num += 1
    if lost:
        log.warning(
            "%s: %d films cannot be read and are left out (%s)",
            source.where,
            lost.total(),
            counts_of(lost),
        )
    if not num:
        raise DataError(f"{source.where} has no pairs with film and report")
    log.info("%s: %d films at %d pixels are in %s", source.where, num, settings.size, folder.parent)


def _usable(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Pairs that some settings may use: living ones, and synthetic ones that pruning dropped."""
    for pair in pairs:
        drop = drop_of(pair)
        is_pruned = drop is not None and drop.stage == "prune" and pair.branch != "real"
        if (drop is None or is_pruned) and pair.image is not None:
            yield pair


def _decoded(pair: Pair, settings: StoreSettings) -> tuple[bytes, dict[str, Any] | str]:
    """A film with what its row says of it, or with the reason why it cannot be used."""
    assert pair.image is not None
    try:
        return _square(pair.image, settings).tobytes(), {}
    except ImageError as error:
        return b"", error.reason


def _streamed(pair: Pair, settings: StoreSettings) -> tuple[bytes, dict[str, Any] | str]:
    """A film with a path stays where it is; one that travels in its pair is copied."""
    del settings
    assert pair.image is not None
    if pair.image.png is not None:
        return pair.image.png, {}
    return b"", {"path": pair.image.path, "sha256": pair.image.sha256}


def _square(ref: ImageRef, settings: StoreSettings) -> np.ndarray:
    return as_bytes(fit_square(load_image(ref), settings.size, settings.fit))


def _row(pair: Pair, film: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": pair.id,
        "branch": pair.branch.value,
        "split": pair.split,
        "patient_id": pair.patient_id,
        "source_patient_id": pair.source_patient_id,
        "drop_stage": pair.drop.stage if pair.drop else None,
        "findings": pair.report.findings,
        "impression": pair.report.impression,
        "film": film,
    }
