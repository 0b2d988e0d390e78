"""What a run would do, without doing it: stages, models, room on the disk, what is in the way."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pairaug.candidates.generator import generator_folder
from pairaug.config import Settings
from pairaug.errors import PairAugError
from pairaug.findings import is_english
from pairaug.hub.folders import read_config
from pairaug.manifest import part_paths
from pairaug.notices import of_phantom_models
from pairaug.readers import Counted
from pairaug.readers.text import stated_report
from pairaug.record import RunRecord
from pairaug.rewrite.estimate import CostEstimate, estimate
from pairaug.run.device import with_device
from pairaug.run.executor import num_expected
from pairaug.run.fingerprints import (
    StageFingerprint,
    check_started_with,
    check_unchanged,
    prune_fingerprint,
    stage_fingerprint,
)
from pairaug.run.folder import RunFolder
from pairaug.run.stages import STAGES, check_installed, check_models, open_source, weights_of
from pairaug.run.timing import Timing, time_stages
from pairaug.stage import RunContext

_NUM_TRIED = 500
"""Pairs whose reports are looked at, where the source can count them without reading reports."""

# An eight-bit PNG of a phantom image has 0.61 bytes a pixel at 128 pixels, 0.53 at 256.
_BYTES_PER_PIXEL = 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do, as far as it can be known before reading."""

    folder: Path
    source: str
    num_pairs: int | None
    """Real pairs; None where the source cannot be read."""
    num_parts: int | None
    parts_done: Mapping[str, int]
    """Stage → parts that are there already."""
    models: Mapping[str, str]
    """"stage: model" → the hash of its weights, or nothing where it cannot be used."""
    unusable: Mapping[str, tuple[str, ...]]
    """Drop reason → where the pairs stand whose reports or list entries are of no use."""
    rewriting: str
    """What rewriting would take, in words; empty where the reports cannot be read."""
    times: Mapping[str, Timing]
    """Stage → how long it will take, where that could be estimated."""
    bytes_needed: int | None
    """About how much the images will take, in parts and export."""
    bytes_free: int
    warning: str
    """Warnings about the models; empty if there are none."""
    problems: tuple[str, ...]
    """What would stop the run, one line each."""


def make_plan(settings: Settings, folder: RunFolder) -> Plan:
    """What `run` would do with these settings in this folder; nothing is written."""
    problems: list[str] = []
    record = folder.load_record()
    source, models = dict[str, str](), dict[str, str]()
    with _noting(problems):
        settings = with_device(settings)
    with _noting(problems):
        check_installed(settings)
    with _noting(problems):
        stage_fingerprint("read", settings, None, record)
        source = record.source
    for stage in STAGES:
        with _noting(problems):
            check_models(stage, settings)
            for model, sha256 in weights_of(stage, settings).items():
                models[f"{stage}: {model}"] = sha256
    if not problems:
        with _noting(problems):
            _check_folder(settings, folder, record)
    num_pairs = num_bytes = None
    rewriting, rewrites, unusable = "", None, {}
    with _noting(problems):
        look = _Look(settings)
        rewrites = look.estimated()
        rewriting = look.in_words(rewrites)
        num_pairs = look.num_pairs
        unusable = look.unusable
        if num_pairs is not None and not problems:  # a damaged model has no size
            num_bytes = _bytes_needed(settings, num_pairs, look)
    times: dict[str, Timing] = {}
    if rewrites is not None and not problems:
        with _noting(problems):
            times = time_stages(settings, record, rewrites.num_reports, num_pairs or 0)
    return Plan(
        folder=folder.path,
        source=str(source.get("name", "")),
        num_pairs=num_pairs,
        num_parts=folder.num_parts() or (num_pairs and math.ceil(num_pairs / settings.part_size)),
        parts_done={stage: len(part_paths(folder.stage(stage))) for stage in STAGES},
        models=models,
        unusable={reason: tuple(places) for reason, places in unusable.items()},
        rewriting=rewriting,
        times=times,
        bytes_needed=num_bytes,
        bytes_free=shutil.disk_usage(nearest_folder(folder.path)).free,
        warning=of_phantom_models(record.as_json()),
        problems=tuple(dict.fromkeys(problems)),
    )


def _check_folder(settings: Settings, folder: RunFolder, record: RunRecord) -> None:
    fingerprints: list[StageFingerprint] = []
    for stage in STAGES[:-1]:
        fingerprints.append(
            stage_fingerprint(stage, settings, fingerprints[-1] if fingerprints else None, record)
        )
    if record.rule:
        fingerprints.append(prune_fingerprint(settings, fingerprints[-1], record.decided_by))
    check_unchanged(folder, record, fingerprints)
    check_started_with(folder, settings)


class _Look:
    """A look at what the source lists, images left alone: all of it, or the first few hundred where
    the source can count without reading reports.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader = open_source(settings, RunContext(settings.seed))
        self._is_counted = isinstance(self._reader, Counted)
        self._most = _NUM_TRIED if self._is_counted else None
        self.num_seen = self.num_image_bytes = 0
        expected = num_expected(settings, self._reader) if self._is_counted else None
        self.is_part = self._is_counted and (expected is None or expected > _NUM_TRIED)
        self._expected = expected
        self.unusable: defaultdict[str, list[str]] = defaultdict(list)
        """Reason → places in the source of what cannot be used or rewritten, images left aside."""

    @property
    def num_pairs(self) -> int | None:
        """Real pairs that will be read; complete once `reports` has been gone through."""
        return self._expected if self.is_part else self.num_seen

    def reports(self) -> Iterator[str]:
        """The texts of what is not dropped at once, by its layout or for its view."""
        views = {view.lower() for view in getattr(self._settings.read, "views", ())}
        known = [most for most in (self._most, self._settings.limit) if most is not None]
        for item in islice(self._reader.records(), min(known, default=None)):
            self.num_seen += 1
            self.num_image_bytes += len(item.image) if isinstance(item.image, bytes) else 0
            text = stated_report(item.report).text
            if item.drop is not None:
                self.unusable[item.drop[0]].append(item.where)
            elif views and (item.view or "").lower() not in views:
                self.unusable["view_excluded"].append(item.where)
            elif not text:
                self.unusable["empty_report"].append(item.where)
            else:
                if len(text.split()) < self._settings.rewrite.min_words:
                    self.unusable["report_too_short"].append(item.where)
                elif not is_english(text):
                    self.unusable["report_not_english"].append(item.where)
                yield text

    def estimated(self) -> CostEstimate:
        """What rewriting the reports would take."""
        rewrite = self._settings.rewrite
        if not self.is_part:
            return estimate(self.reports(), rewrite)
        texts = list(self.reports())
        num_pairs = self._expected and self._expected * len(texts) // max(1, self.num_seen)
        return estimate(texts, rewrite, num_pairs)

    def in_words(self, told: CostEstimate) -> str:
        """The estimate, and of what it is where not all reports were looked at."""
        of_what = "" if self._expected or not self.is_part else f"of the first {self.num_seen:,}: "
        return of_what + told.in_words(self._settings.rewrite)


def _bytes_needed(settings: Settings, num_pairs: int, look: _Look) -> int:
    """About what the images take: each stage's parts hold those that were made before it."""
    rewrite = settings.rewrite
    num_inter = num_pairs * rewrite.variants * ("inter" in rewrite.branches)
    num_intra = num_pairs * rewrite.variants * ("intra" in rewrite.branches)
    num_inter *= settings.generate.max_kept
    num_intra *= settings.edit.max_kept
    # In the parts of generate to prune, or of edit to prune, and in two exports.
    generated = 6 * num_inter * _side(generator_folder(settings.generate)) ** 2
    generated += 5 * num_intra * _side(generator_folder(settings.edit)) ** 2
    # A phantom has no file, so its image is in the parts of all stages too; so are images in tars.
    phantoms = 8 * num_pairs * getattr(settings.read, "size", 0) ** 2
    carried = 8 * num_pairs * look.num_image_bytes / max(1, look.num_seen)
    return round((generated + phantoms) * _BYTES_PER_PIXEL + carried)


def _side(generator: Path) -> int:
    """The side in pixels of a generator's images, from its configuration."""
    unet = read_config(generator / "unet" / "config.json")
    vae = read_config(generator / "vae" / "config.json")
    side = unet["sample_size"]
    latents = side if isinstance(side, int) else side[0]
    return int(latents) * 2 ** (len(vae.get("block_out_channels", (64,))) - 1)


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
