"""Estimated times of the stages with models.

The times recorded in this folder are used if there are any. Otherwise a few images are generated,
edited and scored with the run's models and settings but few steps; the time for all steps follows
from the difference.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pairaug.config import Settings, change_settings
from pairaug.imaging.io import png_ref
from pairaug.pair import Branch, Pair, Report
from pairaug.record import RunRecord
from pairaug.run.device import quieten_model_libraries
from pairaug.run.stages import open_stage
from pairaug.stage import RunContext, apply

_FEW = 2
"""Images that are timed in one batch, unless batches are smaller."""

_STEPS = (2, 4)
_SIDE = 128

# About as long as a rewritten report.
_BEFORE = "The lungs are clear. Heart size is normal. No pleural effusion or pneumothorax."
_AFTER = "There is a large left pleural effusion. Heart size is normal. No pneumothorax."


@dataclass(frozen=True, slots=True)
class Timing:
    """Estimated number of pairs of one stage, and the time for one."""

    num_pairs: int
    seconds_each: float
    device: str
    is_measured: bool
    """True: recorded in this folder. False: from a few images with few steps."""

    @property
    def seconds(self) -> float:
        """Time for all pairs in one process."""
        return self.num_pairs * self.seconds_each

    def format(self) -> str:
        """The estimate as one line."""
        how = "measured in this folder" if self.is_measured else "estimated from a few images"
        return (
            f"at most {self.num_pairs:,} pairs, about {_format_duration(self.seconds)} on "
            f"{self.device} ({self.seconds_each:.2g} s each, {how})"
        )


def time_stages(
    settings: Settings, record: RunRecord, num_reports: int, num_pairs: int
) -> dict[str, Timing]:
    """Stage → its time if every report is rewritten and every image is generated; writes nothing.

    Stages without pairs to work on are left out. Raises the errors of opening a model.
    """
    rewrite, per_branch = settings.rewrite, num_reports * settings.rewrite.variants
    num_inter = per_branch * ("inter" in rewrite.branches)
    num_intra = per_branch * ("intra" in rewrite.branches)
    work = {
        "generate": num_inter * settings.generate.num_images,
        "edit": num_intra * settings.edit.num_images,
        "score": num_pairs
        + num_inter * settings.generate.max_kept
        + num_intra * settings.edit.max_kept,
    }
    times = {}
    for stage, number in work.items():
        each = _recorded_seconds(record, stage)
        is_measured = each is not None
        if number:
            each = _measure_seconds(stage, settings) if each is None else each
            times[stage] = Timing(number, each, settings.device, is_measured)
    return times


def _recorded_seconds(record: RunRecord, stage: str) -> float | None:
    seconds, counts = record.seconds.get(stage), record.counts.get(stage)
    return seconds / counts["in"] if seconds and counts and counts["in"] else None


def _measure_seconds(stage: str, settings: Settings) -> float:
    """Seconds per pair with all steps."""
    quieten_model_libraries()
    if stage == "score":
        return _time_stage(stage, settings, {})
    own = settings.generate if stage == "generate" else settings.edit
    fewer, more = (
        _time_stage(
            stage, settings, {f"{stage}.num_inference_steps": steps, f"{stage}.num_images": 1}
        )
        for steps in _STEPS
    )
    # Keep the time of a step above zero when the two measurements are noisy.
    per_step = max(more - fewer, 0.1 * more) / (_STEPS[1] - _STEPS[0])
    return max(fewer - _STEPS[0] * per_step, 0.0) + own.num_inference_steps * per_step


def _time_stage(stage: str, settings: Settings, changes: Mapping[str, object]) -> float:
    """Seconds per pair of a stage with changed settings, after one warm-up batch."""
    settings = change_settings(settings, [f"{name}={value}" for name, value in changes.items()])
    context = RunContext(seed=0, device=settings.device, dtype=settings.dtype)
    opened = open_stage(stage, settings, context)
    number = min(_FEW, getattr(settings, stage).batch_size)
    list(apply(opened, _pairs(stage, number, "first")))  # opens the model
    pairs = _pairs(stage, number, "then")
    started = time.perf_counter()
    list(apply(opened, pairs))
    return (time.perf_counter() - started) / number


def _pairs(stage: str, number: int, name: str) -> list[Pair]:
    """Pairs with noise images for the stage; each child follows its parent."""
    rng = np.random.default_rng(len(name))
    pairs = []
    for index in range(number):
        image = png_ref(rng.random((_SIDE, _SIDE), dtype=np.float32))
        real = Pair(f"{name}/{index}", Branch.REAL, "nobody", Report(_BEFORE)).with_image(image)
        if stage == "score":
            pairs.append(real)
            continue
        branch = Branch.INTER if stage == "generate" else Branch.INTRA
        child = real.child("0", branch=branch, source_report=_BEFORE, report=Report(_AFTER))
        pairs += [real, child]
    return pairs


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
