"""Percentile bootstrap intervals: whole cases are resampled with replacement.

A resample is a row of counts, one per case, so a statistic needs no copy of the data and many
resamples are computed at once. Where several cases belong to one group, such as all images of a
patient, whole groups are resampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Shaped

NUM_RESAMPLES = 1000
LEVEL = 0.95

Counts = Float[np.ndarray, "resample case"]
Groups = Shaped[np.ndarray, " case"]

# Counts held in memory at once.
_MAX_COUNTS = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its confidence interval and its number of cases; NaN where it is undefined."""

    value: float
    low: float
    high: float
    num: int
    level: float = LEVEL

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        # All resamples gave the same value, so the percentile bootstrap has no interval.
        if self.low == self.high:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values for JSON; None where a number is undefined."""
        return {
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "num": self.num,
            "level": self.level,
        }


def bootstrap(
    statistic: Callable[[Counts], Float[np.ndarray, "resample value"]],
    num: int,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> list[Estimate]:
    """Estimates of the values of `statistic`, which is computed from counts of `num` cases.

    The value itself counts every case once. Resamples in which a value is undefined (NaN), such as
    an AUROC without a positive case, are left out of its interval. `groups` gives each case's
    group, such as its patient; groups are then resampled whole.
    """
    values, resampled = resample_values(statistic, num, seed, num_resamples, groups)
    return [
        interval(float(value), column, num, level)
        for value, column in zip(values, resampled.T, strict=True)
    ]


def resample_values(
    statistic: Callable[[Counts], Float[np.ndarray, "resample value"]],
    num: int,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: Groups | None = None,
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, "resample value"]]:
    """(values with every case once, values of each resample)."""
    codes = None if groups is None else np.unique(groups, return_inverse=True)[1]
    num_units = num if codes is None else int(codes.max(initial=-1)) + 1
    values = statistic(np.ones((1, num)))[0]
    rng = np.random.default_rng(seed)
    resampled: list[np.ndarray] = []
    at_once = max(1, min(num_resamples, _MAX_COUNTS // max(1, num)))
    for start in range(0, num_resamples, at_once):
        counts = _counts(rng, min(at_once, num_resamples - start), num_units)
        resampled.append(statistic(counts if codes is None else counts[:, codes]))
    return values, np.concatenate(resampled)


def interval(
    value: float, resampled: Float[np.ndarray, " resample"], num: int, level: float = LEVEL
) -> Estimate:
    """`value` with the percentiles of its resamples; undefined resamples (NaN) are ignored."""
    defined = resampled[~np.isnan(resampled)]
    if len(defined) == 0:
        return Estimate(value, math.nan, math.nan, num, level)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), num, level)


def mean(
    values: Shaped[np.ndarray, " case"],
    seed: int = 0,
    groups: Groups | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Mean of `values`."""
    column = np.asarray(values, dtype=float)
    return ratio(column, np.ones_like(column), seed, groups, num_resamples)


def fraction(
    hits: Bool[np.ndarray, " case"],
    seed: int = 0,
    groups: Groups | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Fraction of `hits` that is true, in [0, 1].

    Where all or none are true, every resample is the same. The interval is then that of Clopper
    and Pearson (1934), over groups where given: 0 of n has the upper end
    1 - (alpha / 2)^(1 / n), and n of n the lower end (alpha / 2)^(1 / n).
    """
    estimate = mean(hits, seed, groups, num_resamples)
    if estimate.value not in (0.0, 1.0):
        return estimate
    num_units = len(hits) if groups is None else len(np.unique(groups))
    reach = ((1 - estimate.level) / 2) ** (1 / num_units)
    if estimate.value == 1.0:
        return replace(estimate, low=reach)
    return replace(estimate, high=1.0 - reach)


def ratio(
    numerators: Shaped[np.ndarray, " case"],
    denominators: Shaped[np.ndarray, " case"],
    seed: int = 0,
    groups: Groups | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Sum of one column over the sum of the other, both columns resampled together."""
    above, below = (np.asarray(column, dtype=float) for column in (numerators, denominators))

    def quotient(counts: np.ndarray) -> np.ndarray:
        totals = counts @ below
        # Undefined without cases or with a denominator of 0.
        return np.divide(
            counts @ above, totals, out=np.full(len(counts), math.nan), where=totals != 0
        )[:, None]

    return bootstrap(quotient, len(above), seed, num_resamples, groups=groups)[0]


def _counts(rng: np.random.Generator, num_resamples: int, num: int) -> np.ndarray:
    if num == 0:
        return np.zeros((num_resamples, 0))
    cases = rng.integers(num, size=(num_resamples, num)) + num * np.arange(num_resamples)[:, None]
    return (
        np.bincount(cases.ravel(), minlength=num_resamples * num).reshape(num_resamples, num) * 1.0
    )


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
