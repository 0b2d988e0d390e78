"""Percentile bootstrap intervals: cases are drawn anew with replacement, whole rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

NUM_DRAWS = 1000
LEVEL = 0.95


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
    statistic: Callable[..., float],
    *columns: np.ndarray,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """`statistic(*columns)` with its percentile interval over cases drawn with replacement.

    `columns` are arrays with one row per case and stay aligned. Draws in which the statistic is
    undefined (NaN), such as an AUROC without a positive case, are left out of the interval.
    """
    if len(columns[0]) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, level)

    def as_vector(*drawn: np.ndarray) -> np.ndarray:
        return np.array([statistic(*drawn)])

    return bootstrap_vector(as_vector, *columns, seed=seed, num_draws=num_draws, level=level)[0]


def bootstrap_vector(
    statistic: Callable[..., np.ndarray],
    *columns: np.ndarray,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
    level: float = LEVEL,
) -> list[Estimate]:
    """As `bootstrap`, of a statistic with several values; all are computed on the same draws."""
    num = len(columns[0])
    if any(len(column) != num for column in columns):
        raise ValueError(f"columns differ in length: {[len(column) for column in columns]}")
    values = statistic(*columns)
    rng = np.random.default_rng(seed)
    drawn = np.empty((num_draws, len(values)))
    for place in range(num_draws):
        rows = rng.integers(num, size=num)
        drawn[place] = statistic(*(column[rows] for column in columns))
    tails = [(1 - level) / 2, (1 + level) / 2]
    estimates = []
    for value, draws in zip(values, drawn.T, strict=True):
        defined = draws[~np.isnan(draws)]
        low, high = np.quantile(defined, tails) if len(defined) else (math.nan, math.nan)
        estimates.append(Estimate(float(value), float(low), float(high), num, level))
    return estimates


def mean(values: Float[np.ndarray, " case"], seed: int = 0) -> Estimate:
    """Their mean."""
    return bootstrap(lambda drawn: float(np.mean(drawn)), np.asarray(values, float), seed=seed)


def share(hits: Bool[np.ndarray, " case"], seed: int = 0) -> Estimate:
    """The share that is true, in [0, 1]."""
    return mean(np.asarray(hits, dtype=float), seed=seed)


def ratio(
    numerators: Float[np.ndarray, " case"], denominators: Float[np.ndarray, " case"], seed: int = 0
) -> Estimate:
    """The mean of one column over the mean of the other, cases drawn in pairs."""

    def quotient(above: np.ndarray, below: np.ndarray) -> float:
        return float(np.mean(above) / np.mean(below)) if np.mean(below) != 0 else math.nan

    above, below = np.asarray(numerators, float), np.asarray(denominators, float)
    return bootstrap(quotient, above, below, seed=seed)


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
