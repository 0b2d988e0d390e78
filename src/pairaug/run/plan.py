"""What a run would do, without doing it: stages, models, room on the disk, what is in the way."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pairaug.config import Settings
from pairaug.errors import PairAugError
from pairaug.manifest import part_paths
from pairaug.run.chain import STAGES, weights_of
from pairaug.run.device import with_device
from pairaug.run.fingerprints import StagePrint, check_unchanged, prune_print, stage_print
from pairaug.run.folder import RunFolder, RunRecord
from pairaug.run.work import num_expected


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do, as far as it can be known before reading."""

    folder: Path
    source: str
    num_pairs: int | None
    """Real pairs; None where only reading can tell."""
    num_parts: int | None
    parts_done: Mapping[str, int]
    """Stage → parts that are there already."""
    models: Mapping[str, str]
    """"stage: model" → the hash of its weights, or nothing where it cannot be used."""
    bytes_free: int
    problems: tuple[str, ...]
    """What would stop the run, one line each."""


def make_plan(settings: Settings, folder: RunFolder) -> Plan:
    """What `run` would do with these settings in this folder; nothing is written."""
    problems: list[str] = []
    record = RunRecord.load(folder)
    source, models = dict[str, str](), dict[str, str]()
    with _noting(problems):
        settings = with_device(settings)
    with _noting(problems):
        stage_print("read", settings, None, record)
        source = record.source
    for stage in STAGES:
        with _noting(problems):
            for model, sha256 in weights_of(stage, settings).items():
                models[f"{stage}: {model}"] = sha256
    if not problems:
        with _noting(problems):
            _check_folder(settings, folder, record)
    num_pairs = num_expected(settings)
    return Plan(
        folder=folder.path,
        source=str(source.get("name", "")),
        num_pairs=num_pairs,
        num_parts=folder.num_parts() or (num_pairs and math.ceil(num_pairs / settings.part_size)),
        parts_done={stage: len(part_paths(folder.stage(stage))) for stage in STAGES},
        models=models,
        bytes_free=shutil.disk_usage(nearest_folder(folder.path)).free,
        problems=tuple(dict.fromkeys(problems)),
    )


def _check_folder(settings: Settings, folder: RunFolder, record: RunRecord) -> None:
    prints: list[StagePrint] = []
    for stage in STAGES[:-1]:
        prints.append(stage_print(stage, settings, prints[-1] if prints else None, record))
    if record.rule:
        prints.append(prune_print(settings, prints[-1], record.rule))
    check_unchanged(folder, record, prints)


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """Notes a problem that the user can fix and goes on, so that one look shows all of them."""
    try:
        yield
    except PairAugError as error:
        problems.append(str(error))


def nearest_folder(path: Path) -> Path:
    """The path, or the closest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())
