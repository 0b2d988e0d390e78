"""The export of a run: which pairs, in which formats, and putting the finished folder in place."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field

from pairaug.errors import RunError
from pairaug.export.card import card_of
from pairaug.export.film import Film, film_of
from pairaug.export.parquet import ParquetWriter
from pairaug.export.record import record_of
from pairaug.export.webdataset import WebDatasetWriter
from pairaug.pair import Branch, Pair
from pairaug.settings import StageSettings
from pairaug.stage import Context

_LOG = logging.getLogger(__name__)

ExportFormat = Literal["webdataset", "parquet"]

DROP_REASONS = {
    "no_image": "the pair has no film",
    "missing_image": "the film is no longer on disk",
    "changed_image": "the film is no longer what it was when it was read",
    "unreadable_image": "the film cannot be decoded",
}
"""Why a kept pair is not in an export; counted in its card and in `export.json`."""

# Present in every export, so that no other folder is ever replaced by one.
_REPORT_NAME = "export.json"

_SPLITS = ("train", "validate", "test")


class ExportSettings(StageSettings):
    """What is written for training."""

    formats: tuple[ExportFormat, ...] = Field(
        default=("webdataset", "parquet"), min_length=1, description="The layouts that are written."
    )
    include_real: bool = Field(
        default=True, description="Write the real pairs too, beside the kept ones."
    )
    pairs_per_shard: int = Field(default=1000, ge=1, description="Pairs in one WebDataset tar.")
    pairs_per_parquet: int = Field(default=5000, ge=1, description="Pairs in one Parquet file.")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export holds."""

    counts: Mapping[str, Mapping[str, int]]
    """Split → branch → pairs."""
    lost: Mapping[str, int]
    """Reason → kept pairs that could not be written."""
    files: tuple[str, ...]
    """Shards and Parquet files, relative to the export's folder."""

    @property
    def num_pairs(self) -> int:
        """All pairs written, real ones included."""
        return sum(sum(by_branch.values()) for by_branch in self.counts.values())


class _Writer(Protocol):
    def add(self, pair: Pair, film: Film) -> None: ...

    def close(self) -> None: ...


class Export:
    """Writes kept pairs into a folder that is either there in full or not at all."""

    name = "export"

    def __init__(self, settings: ExportSettings, context: Context) -> None:
        self._settings = settings
        self._context = context

    def write(self, pairs: Iterable[Pair], folder: Path, recipe: Mapping[str, Any]) -> ExportReport:
        """What was written to `folder`: the living ones of `pairs`, and a card about them.

        An earlier export there is replaced. `recipe` is the contents of the run's `run.json`.
        """
        _check_replaceable(folder)
        partial = folder.with_name(f"{folder.name}.partial")
        try:
            if partial.exists():
                shutil.rmtree(partial)
            partial.mkdir(parents=True)
            report = self._fill(partial, pairs, recipe)
            _put_in_place(partial, folder)
        except OSError as error:
            raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
        return report

    def _fill(self, folder: Path, pairs: Iterable[Pair], recipe: Mapping[str, Any]) -> ExportReport:
        settings = self._settings
        access = str((recipe.get("source") or {}).get("access", "not stated"))
        counts: Counter[tuple[str, str]] = Counter()
        lost: Counter[str] = Counter()
        digest = sha256()
        with ExitStack() as closing:
            writers = [self._writer(name, folder, access) for name in settings.formats]
            for writer in writers:
                closing.callback(writer.close)
            for pair in pairs:
                if pair.drop or (pair.branch is Branch.REAL and not settings.include_real):
                    continue
                film = film_of(pair.image)
                self._context.report_progress(1)
                if isinstance(film, str):
                    lost[film] += 1
                    continue
                for writer in writers:
                    writer.add(pair, film)
                _add_to_digest(digest, pair, film, access)
                counts[pair.split, pair.branch.value] += 1
        if lost:
            _LOG.warning("%d kept pairs were not exported: %s", lost.total(), dict(lost))
        report = ExportReport(_nested(counts), dict(sorted(lost.items())), _files(folder))
        card = card_of(
            report.counts, report.lost, settings.formats, recipe, digest.hexdigest()[:12]
        )
        _write_text(folder / "README.md", card)
        _write_text(folder / _REPORT_NAME, json.dumps(asdict(report), indent=2) + "\n")
        return report

    def _writer(self, name: ExportFormat, folder: Path, access: str) -> _Writer:
        settings = self._settings
        if name == "webdataset":
            return WebDatasetWriter(folder / name, settings.pairs_per_shard, access)
        return ParquetWriter(folder / name, settings.pairs_per_parquet, access)


def _add_to_digest(digest: Any, pair: Pair, film: Film, access: str) -> None:
    digest.update(json.dumps(record_of(pair, access), sort_keys=True).encode())
    digest.update(sha256(film.content).digest())


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Split → branch → pairs, both in their usual order, so that equal exports have equal cards."""
    by_split = {
        split: {
            branch.value: counts[split, branch.value]
            for branch in Branch
            if (split, branch.value) in counts
        }
        for split in _SPLITS
    }
    return {split: by_branch for split, by_branch in by_split.items() if by_branch}


def _files(folder: Path) -> tuple[str, ...]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(path.relative_to(folder).as_posix() for path in paths))


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder to export to")
    if any(folder.iterdir()) and not (folder / _REPORT_NAME).is_file():
        raise RunError(f"{folder} holds something that is no export; give another folder")


def _put_in_place(partial: Path, folder: Path) -> None:
    _sync_files(partial)
    old = folder.with_name(f"{folder.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    if old.exists():
        shutil.rmtree(old)


def _sync_files(folder: Path) -> None:
    """Makes every file safe before the rename that declares them done."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
