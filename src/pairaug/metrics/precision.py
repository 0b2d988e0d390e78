"""Average precision, the area under the precision-recall curve.

    AP = sum over thresholds of (R_n - R_(n-1)) P_n

with recall R and precision P of the cases that score at least the threshold, and one threshold
per distinct score, without interpolation.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped

from pairaug.metrics.bootstrap import Estimate, Groups, bootstrap
from pairaug.metrics.ranking import ResampleValues, rankings


def average_precision(
    labels: Shaped[np.ndarray, " case"],
    scores: Shaped[np.ndarray, " case"],
    seed: int = 0,
    groups: Groups | None = None,
) -> Estimate:
    """Average precision of one label; chance is the fraction of positive cases.

    NaN if all stated cases have one class: without negatives it would be 1 for any scores.
    """
    return label_average_precisions(labels[:, None], scores[:, None], seed, groups)[0]


def label_average_precisions(
    labels: Shaped[np.ndarray, "case label"],
    scores: Shaped[np.ndarray, "case label"],
    seed: int = 0,
    groups: Groups | None = None,
) -> list[Estimate]:
    """Average precision of each column, all on the same resamples."""
    columns = rankings(labels, scores)

    def values(counts: np.ndarray) -> np.ndarray:
        return np.stack([precision_of(*column.masses(counts)) for column in columns], axis=1)

    return bootstrap(values, len(labels), seed, groups=groups)


def precision_of(
    positive: Float[np.ndarray, "resample score"], negative: Float[np.ndarray, "resample score"]
) -> ResampleValues:
    """Average precision from the counts at each ascending score; NaN with one class only."""
    hits = np.cumsum(positive[:, ::-1], axis=1)
    chosen = np.cumsum((positive + negative)[:, ::-1], axis=1)
    # A threshold that no case of a resample reaches adds no recall either.
    precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
    num_positive = positive.sum(axis=1)
    won = (positive[:, ::-1] * precision).sum(axis=1)
    has_both = (num_positive > 0) & (negative.sum(axis=1) > 0)
    return np.divide(won, num_positive, out=np.full(len(won), math.nan), where=has_both)
