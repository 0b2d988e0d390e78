"""Metrics of findings averaged over seeds, with intervals over seeds and cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from pairaug.metrics.bootstrap import (
    NUM_RESAMPLES,
    Counts,
    Estimate,
    Groups,
    interval,
    resample_values,
)
from pairaug.metrics.findings import Averages, metric_values
from pairaug.metrics.paired import over_resampled_seeds
from pairaug.metrics.ranking import rankings


@dataclass(frozen=True, slots=True)
class SeedMetric:
    """One metric over seeds."""

    mean: Estimate
    """The interval covers cases and seeds, both resampled."""
    deviation: float
    """Standard deviation over seeds, with every case once; NaN for one seed."""

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values for JSON."""
        deviation = None if math.isnan(self.deviation) else self.deviation
        return {**self.mean.as_dict(), "deviation": deviation}

    def __str__(self) -> str:
        if math.isnan(self.mean.value):
            return "undefined"
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.3f}"
        return f"{self.mean.value:.3f}{spread} [{self.mean.low:.3f}, {self.mean.high:.3f}]"


@dataclass(frozen=True, slots=True)
class SeedMetrics:
    """AUROC and average precision of a finding, or of a mean over findings."""

    auroc: SeedMetric
    average_precision: SeedMetric


def seed_metrics(
    labels: Shaped[np.ndarray, "case finding"],
    models: Sequence[Shaped[np.ndarray, "case finding"]],
    averages: Averages,
    seed: int = 0,
    groups: Groups | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> tuple[list[SeedMetrics], dict[str, SeedMetrics]]:
    """(metrics of each finding, metrics of the means in `averages`), one model per seed."""
    ranked = [rankings(labels, scores) for scores in models]

    def values(counts: Counts) -> np.ndarray:
        return np.concatenate([metric_values(each, averages, counts) for each in ranked], axis=1)

    once, resampled = resample_values(values, len(labels), seed, num_resamples, groups)
    by_seed = once.reshape(len(models), -1)
    # The stretched deviations of the seeds could leave the range of these metrics.
    means = over_resampled_seeds(resampled.reshape(num_resamples, len(models), -1), seed).clip(
        0.0, 1.0
    )
    metrics = [
        SeedMetric(
            interval(float(column.mean()), means[:, index], len(labels)),
            float(column.std(ddof=1)) if len(models) > 1 else math.nan,
        )
        for index, column in enumerate(by_seed.T)
    ]
    half = len(metrics) // 2
    both = [SeedMetrics(*each) for each in zip(metrics[:half], metrics[half:], strict=True)]
    num = labels.shape[1]
    return both[:num], dict(zip(averages, both[num:], strict=True))
