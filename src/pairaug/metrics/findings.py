"""AUROC and average precision per finding and averaged, all on the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from pairaug.metrics.auroc import auroc_of
from pairaug.metrics.bootstrap import NUM_RESAMPLES, Counts, Estimate, Groups, bootstrap
from pairaug.metrics.precision import precision_of
from pairaug.metrics.ranking import Ranking, mean_of_defined, rankings

Averages = Mapping[str, Sequence[int]]
"""Name of a mean → the columns it averages."""

FEW = 10
"""Intervals are too narrow with fewer cases of a class than this."""


@dataclass(frozen=True, slots=True)
class FindingMetrics:
    """Metrics of one finding on the cases that state it; NaN with one class only."""

    num_positive: int
    num_negative: int
    auroc: Estimate
    average_precision: Estimate

    @property
    def is_evaluable(self) -> bool:
        """False if the stated cases have one class only, or there are none."""
        return min(self.num_positive, self.num_negative) > 0

    @property
    def is_scarce(self) -> bool:
        """True if a class has fewer than `FEW` cases.

        A class with a single case adds no width to the interval.
        """
        return self.is_evaluable and min(self.num_positive, self.num_negative) < FEW

    @property
    def is_inverted(self) -> bool:
        """True if the whole interval of the AUROC is below 0.5."""
        return self.is_evaluable and self.auroc.high < 0.5


@dataclass(frozen=True, slots=True)
class MacroMetrics:
    """Means over findings; those with one class only are ignored."""

    num_findings: int
    """Findings in the mean."""
    auroc: Estimate
    average_precision: Estimate


def finding_metrics(
    labels: Shaped[np.ndarray, "case finding"],
    scores: Shaped[np.ndarray, "case finding"],
    averages: Averages,
    seed: int = 0,
    groups: Groups | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> tuple[list[FindingMetrics], dict[str, MacroMetrics]]:
    """(metrics of each finding, means over the columns in `averages`).

    A label is 1, 0, or NaN where it is not stated. `groups`, such as patients, are resampled whole.
    """
    columns = rankings(labels, scores)
    num = len(columns)
    estimates = bootstrap(
        lambda counts: metric_values(columns, averages, counts),
        len(labels),
        seed,
        num_resamples,
        groups=groups,
    )
    areas, precisions = estimates[: len(estimates) // 2], estimates[len(estimates) // 2 :]
    findings = [
        FindingMetrics(column.num_positive, column.num_negative, area, precision)
        for column, area, precision in zip(columns, areas[:num], precisions[:num], strict=True)
    ]
    macros = {
        name: MacroMetrics(sum(findings[index].is_evaluable for index in indices), area, precision)
        for (name, indices), area, precision in zip(
            averages.items(), areas[num:], precisions[num:], strict=True
        )
    }
    return findings, macros


def metric_values(
    columns: Sequence[Ranking], averages: Averages, counts: Counts
) -> Float[np.ndarray, "resample value"]:
    """AUROCs of all columns and their means, then average precisions and their means."""
    # One column at a time: its weights take as much memory as the counts.
    metrics = np.stack([_both(column, counts) for column in columns], axis=2)
    parts = []
    for values in metrics:
        means = [mean_of_defined(values[:, list(each)])[:, None] for each in averages.values()]
        parts += [values, *means]
    return np.concatenate(parts, axis=1)


def _both(column: Ranking, counts: Counts) -> np.ndarray:
    """(AUROC, average precision) of each resample, `metric resample`."""
    masses = column.masses(counts)
    return np.stack([auroc_of(*masses), precision_of(*masses)])
