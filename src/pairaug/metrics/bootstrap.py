"""Percentile bootstrap intervals: whole cases are drawn anew with replacement.

A draw is a row of counts, how often each case was drawn: statistics that can be computed from
counts need no copy of the data, and many draws are computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

NUM_DRAWS = 1000
LEVEL = 0.95

Counts = Float[np.ndarray, "draw case"]

# Counts held in memory at once.
_MAX_COUNTS = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its interval, and the number of cases behind it; NaN where it is undefined."""

    value: float
    low: float
    high: float
    num: int
    level: float = LEVEL

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values for JSON, None where a number is undefined."""
        return {
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "num": self.num,
            "level": self.level,
        }


def bootstrap(
    statistic: Callable[[Counts], Float[np.ndarray, "draw value"]],
    num: int,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
    level: float = LEVEL,
) -> list[Estimate]:
    """One estimate for each value of `statistic`, which is computed from counts of `num` cases.

    The estimate itself has every case once. Draws in which a value is undefined (NaN), such as an
    AUROC without a positive case, are left out of its interval.
    """
    values = statistic(np.ones((1, num)))[0]
    rng = np.random.default_rng(seed)
    drawn: list[np.ndarray] = []
    at_once = max(1, min(num_draws, _MAX_COUNTS // max(1, num)))
    for start in range(0, num_draws, at_once):
        drawn.append(statistic(_counts(rng, min(at_once, num_draws - start), num)))
    return [
        _estimate(float(value), column, num, level)
        for value, column in zip(values, np.concatenate(drawn).T, strict=True)
    ]


def mean(values: Shaped[np.ndarray, " case"], seed: int = 0) -> Estimate:
    """Their mean."""
    column = np.asarray(values, dtype=float)
    return ratio(column, np.ones_like(column), seed)


def share(hits: Bool[np.ndarray, " case"], seed: int = 0) -> Estimate:
    """The share that is true, in [0, 1]."""
    return mean(hits, seed)


def ratio(
    numerators: Shaped[np.ndarray, " case"],
    denominators: Shaped[np.ndarray, " case"],
    seed: int = 0,
) -> Estimate:
    """The sum of one column over the sum of the other, cases drawn in pairs."""
    above, below = (np.asarray(column, dtype=float) for column in (numerators, denominators))

    def quotient(counts: np.ndarray) -> np.ndarray:
        totals = counts @ below
        # Without any case, or with nothing to divide by, there is no ratio.
        return np.divide(
            counts @ above, totals, out=np.full(len(counts), math.nan), where=totals != 0
        )[:, None]

    return bootstrap(quotient, len(above), seed)[0]


def _counts(rng: np.random.Generator, num_draws: int, num: int) -> np.ndarray:
    if num == 0:
        return np.zeros((num_draws, 0))
    cases = rng.integers(num, size=(num_draws, num)) + num * np.arange(num_draws)[:, None]
    return np.bincount(cases.ravel(), minlength=num_draws * num).reshape(num_draws, num) * 1.0


def _estimate(value: float, drawn: np.ndarray, num: int, level: float) -> Estimate:
    defined = drawn[~np.isnan(drawn)]
    if len(defined) == 0:
        return Estimate(value, math.nan, math.nan, num, level)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), num, level)


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
