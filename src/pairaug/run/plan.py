"""The plan of a run, printed by --dry-run: stages, models, times, disk space and problems."""

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
from pairaug.notices import phantom_model_warning
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
"""Reports that are read if the source can be counted without reading all of them."""

# An 8-bit PNG of a phantom has 0.61 bytes per pixel at 128 pixels, 0.53 at 256.
_BYTES_PER_PIXEL = 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run, as far as it is known before reading."""

    folder: Path
    source: str
    num_pairs: int | None
    """Real pairs; None if the source cannot be read."""
    num_parts: int | None
    parts_done: Mapping[str, int]
    """Stage → number of existing parts."""
    models: Mapping[str, str]
    """stage: model → hash of its weights; models that cannot be used are left out."""
    unusable: Mapping[str, tuple[str, ...]]
    """Drop reason → locations of the pairs in the source, such as "row 12"."""
    rewriting: str
    """Requests, tokens, cost and time of rewriting; empty if the reports cannot be read."""
    times: Mapping[str, Timing]
    """Stage → estimated time; stages without an estimate are left out."""
    bytes_needed: int | None
    """Estimated size of the images in parts and export."""
    bytes_free: int
    warning: str
    """Warnings about the models; empty if there are none."""
    problems: tuple[str, ...]
    """Errors that would stop the run, one line each."""


def make_plan(settings: Settings, folder: RunFolder) -> Plan:
    """The plan of `run` with these settings in this folder; writes nothing."""
    problems: list[str] = []
    record = folder.load_record()
    source, models = dict[str, str](), dict[str, str]()
    with _collect_errors(problems):
        settings = with_device(settings)
    with _collect_errors(problems):
        check_installed(settings)
    with _collect_errors(problems):
        stage_fingerprint("read", settings, None, record)
        source = record.source
    for stage in STAGES:
        with _collect_errors(problems):
            check_models(stage, settings)
            for model, sha256 in weights_of(stage, settings).items():
                models[f"{stage}: {model}"] = sha256
    if not problems:
        with _collect_errors(problems):
            _check_folder(settings, folder, record)
    num_pairs = num_bytes = None
    rewriting, rewrites, unusable = "", None, {}
    with _collect_errors(problems):
        scan = _SourceScan(settings)
        rewrites = scan.estimate()
        rewriting = scan.format_estimate(rewrites)
        num_pairs = scan.num_pairs
        unusable = scan.unusable
        if num_pairs is not None and not problems:  # a damaged model has no size
            num_bytes = _bytes_needed(settings, num_pairs, scan)
    times: dict[str, Timing] = {}
    if rewrites is not None and not problems:
        with _collect_errors(problems):
            times = time_stages(settings, record, rewrites.num_reports, num_pairs or 0)
    return Plan(
        folder=folder.path,
        source=str(source.get("name", "")),
        num_pairs=num_pairs,
        num_parts=folder.num_parts() or (num_pairs and math.ceil(num_pairs / settings.part_size)),
        parts_done={stage: len(part_paths(folder.stage(stage))) for stage in STAGES},
        models=models,
        unusable={reason: tuple(locations) for reason, locations in unusable.items()},
        rewriting=rewriting,
        times=times,
        bytes_needed=num_bytes,
        bytes_free=shutil.disk_usage(nearest_folder(folder.path)).free,
        warning=phantom_model_warning(record.as_json()),
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


class _SourceScan:
    """Scans the reports of the source, without images.

    It reads the first 500 if the source can count its pairs, else all of them.
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
        """Drop reason → locations of pairs whose reports cannot be used or rewritten."""

    @property
    def num_pairs(self) -> int | None:
        """Real pairs that will be read; known once `reports` is exhausted."""
        return self._expected if self.is_part else self.num_seen

    def reports(self) -> Iterator[str]:
        """Reports of the pairs that are not dropped for their layout or view."""
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

    def estimate(self) -> CostEstimate:
        """Requests, tokens, cost and time of rewriting the reports."""
        rewrite = self._settings.rewrite
        if not self.is_part:
            return estimate(self.reports(), rewrite)
        texts = list(self.reports())
        num_pairs = self._expected and self._expected * len(texts) // max(1, self.num_seen)
        return estimate(texts, rewrite, num_pairs)

    def format_estimate(self, needed: CostEstimate) -> str:
        """The estimate as one line; it names the number of reports if not all were read."""
        prefix = "" if self._expected or not self.is_part else f"first {self.num_seen:,} reports: "
        return prefix + needed.in_words(self._settings.rewrite)


def _bytes_needed(settings: Settings, num_pairs: int, scan: _SourceScan) -> int:
    """Estimated size of the images; the parts of a stage repeat those of the stage before."""
    rewrite = settings.rewrite
    num_inter = num_pairs * rewrite.variants * ("inter" in rewrite.branches)
    num_intra = num_pairs * rewrite.variants * ("intra" in rewrite.branches)
    num_inter *= settings.generate.max_kept
    num_intra *= settings.edit.max_kept
    # In the parts of generate to prune, or of edit to prune, and in two exports.
    generated = 6 * num_inter * _side(generator_folder(settings.generate)) ** 2
    generated += 5 * num_intra * _side(generator_folder(settings.edit)) ** 2
    # Images without a file of their own (phantoms, images in tars) are in the parts of all stages.
    phantoms = 8 * num_pairs * getattr(settings.read, "size", 0) ** 2
    carried = 8 * num_pairs * scan.num_image_bytes / max(1, scan.num_seen)
    return round((generated + phantoms) * _BYTES_PER_PIXEL + carried)


def _side(generator: Path) -> int:
    """Width in pixels of a generator's images, from its configuration."""
    unet = read_config(generator / "unet" / "config.json")
    vae = read_config(generator / "vae" / "config.json")
    side = unet["sample_size"]
    latents = side if isinstance(side, int) else side[0]
    return int(latents) * 2 ** (len(vae.get("block_out_channels", (64,))) - 1)


@contextmanager
def _collect_errors(problems: list[str]) -> Iterator[None]:
    """Collects an error that the user can fix and continues, so that the plan shows all of them."""
    try:
        yield
    except PairAugError as error:
        problems.append(str(error))


def nearest_folder(path: Path) -> Path:
    """The path, or the closest existing folder above it."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())
