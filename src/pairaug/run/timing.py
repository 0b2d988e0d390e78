"""How long the stages with models will take: as fast as in this folder before, or as a few go now.

An estimate. A few images are generated, edited and scored with the run's own models and settings,
but with few steps, and the time for all steps follows from the difference.
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
"""Images that are timed at once, if batches are not smaller."""

_STEPS = (2, 4)
_SIDE = 128

# About as long as a report that was rewritten is.
_BEFORE = "The lungs are clear. Heart size is normal. No pleural effusion or pneumothorax."
_AFTER = "There is a large left pleural effusion. Heart size is normal. No pneumothorax."


@dataclass(frozen=True, slots=True)
class Timing:
    """One stage: how many pairs it will work on, and how long one takes."""

    num_pairs: int
    seconds_each: float
    device: str
    is_measured: bool
    """True: as it was in this folder before. False: from a few images with few steps."""

    @property
    def seconds(self) -> float:
        """For all pairs, in one process."""
        return self.num_pairs * self.seconds_each

    def in_words(self) -> str:
        """One line."""
        how = "as fast as before" if self.is_measured else "estimated by trying a few"
        return (
            f"at most {self.num_pairs:,} pairs, about {_duration(self.seconds)} on {self.device} "
            f"({self.seconds_each:.2g} s each, {how})"
        )


def time_stages(
    settings: Settings, record: RunRecord, num_reports: int, num_pairs: int
) -> dict[str, Timing]:
    """Stage → its time, if every report is rewritten and every image is made; nothing is written.

    Empty for what there is no work for. Raises what opening a model raises.
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
        each = _measured_before(record, stage)
        is_measured = each is not None
        if number:
            each = _timed(stage, settings) if each is None else each
            times[stage] = Timing(number, each, settings.device, is_measured)
    return times


def _measured_before(record: RunRecord, stage: str) -> float | None:
    seconds, counts = record.seconds.get(stage), record.counts.get(stage)
    return seconds / counts["in"] if seconds and counts and counts["in"] else None


def _timed(stage: str, settings: Settings) -> float:
    """Seconds for one pair with all steps."""
    quieten_model_libraries()
    if stage == "score":
        return _seconds_of(stage, settings, {})
    own = settings.generate if stage == "generate" else settings.edit
    fewer, more = (
        _seconds_of(stage, settings, {f"{stage}.num_steps": steps, f"{stage}.num_images": 1})
        for steps in _STEPS
    )
    # Noise in two short times must not make a step cost nothing.
    per_step = max(more - fewer, 0.1 * more) / (_STEPS[1] - _STEPS[0])
    return max(fewer - _STEPS[0] * per_step, 0.0) + own.num_steps * per_step


def _seconds_of(stage: str, settings: Settings, changes: Mapping[str, object]) -> float:
    """Seconds for one pair by a stage with changed settings, the second time that it is used."""
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
    """Pairs of noise that the stage has work for; edits come after the pair they change."""
    rng = np.random.default_rng(len(name))
    pairs = []
    for place in range(number):
        image = png_ref(rng.random((_SIDE, _SIDE), dtype=np.float32))
        real = Pair(f"{name}/{place}", Branch.REAL, "nobody", Report(_BEFORE)).with_image(image)
        if stage == "score":
            pairs.append(real)
            continue
        branch = Branch.INTER if stage == "generate" else Branch.INTRA
        child = real.child("0", branch=branch, source_report=_BEFORE, report=Report(_AFTER))
        pairs += [real, child]
    return pairs


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
