"""AUROC and average precision of findings, each and on average, all on the same resamples."""

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
"""Name of a mean → the columns that it is over."""

FEW = 10
"""Intervals of fewer cases of a class are too narrow."""


@dataclass(frozen=True, slots=True)
class FindingMetrics:
    """How well one finding's scores rank the cases that state it; NaN with one class only."""

    num_positive: int
    num_negative: int
    auroc: Estimate
    average_precision: Estimate

    @property
    def is_evaluable(self) -> bool:
        """False where the stated cases are of one class, or there are none."""
        return min(self.num_positive, self.num_negative) > 0

    @property
    def is_scarce(self) -> bool:
        """True where one class has so few cases that resamples of them say little: the interval of a
        single one has no width of its own."""
        return self.is_evaluable and min(self.num_positive, self.num_negative) < FEW

    @property
    def is_inverted(self) -> bool:
        """True where the whole interval of the AUROC is below one half."""
        return self.is_evaluable and self.auroc.high < 0.5


@dataclass(frozen=True, slots=True)
class MacroMetrics:
    """Means over findings; those with one class only do not count."""

    num_findings: int
    """How many do count."""
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
    """(each finding's metrics, the means over the columns that `averages` name).

    A label is 1, 0, or NaN where it is not stated. `groups` are resampled whole, as patients should.
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
        name: MacroMetrics(sum(findings[place].is_evaluable for place in places), area, precision)
        for (name, places), area, precision in zip(
            averages.items(), areas[num:], precisions[num:], strict=True
        )
    }
    return findings, macros


def metric_values(
    columns: Sequence[Ranking], averages: Averages, counts: Counts
) -> Float[np.ndarray, "resample value"]:
    """AUROCs of all columns, their means, then average precisions and theirs."""
    # One column at a time: what it weighs is as large as the counts.
    each = np.stack([_both(column, counts) for column in columns], axis=2)
    parts = []
    for values in each:
        means = [mean_of_defined(values[:, list(places)])[:, None] for places in averages.values()]
        parts += [values, *means]
    return np.concatenate(parts, axis=1)


def _both(column: Ranking, counts: Counts) -> np.ndarray:
    """(AUROC, average precision) of each resample, `metric resample`."""
    masses = column.masses(counts)
    return np.stack([auroc_of(*masses), precision_of(*masses)])
