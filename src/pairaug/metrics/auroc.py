"""Area under the receiver operating characteristic, for one label and for many.

    AUROC = P(s+ > s-) + P(s+ = s-) / 2

for a positive and a negative case drawn at random (Mann-Whitney).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped

from pairaug.metrics.bootstrap import Counts, Estimate, bootstrap


def auroc(
    labels: Shaped[np.ndarray, " case"], scores: Shaped[np.ndarray, " case"], seed: int = 0
) -> Estimate:
    """The chance that a positive case scores above a negative one, ties counting half."""
    return label_aurocs(labels[:, None], scores[:, None], seed)[0]


def label_aurocs(
    labels: Shaped[np.ndarray, "case label"],
    scores: Shaped[np.ndarray, "case label"],
    seed: int = 0,
) -> list[Estimate]:
    """The AUROC of each column, NaN where it has one class only; all on the same draws."""
    columns = _columns(labels, scores)
    return bootstrap(lambda counts: _aurocs(columns, counts), len(labels), seed)


def macro_auroc(
    labels: Shaped[np.ndarray, "case label"],
    scores: Shaped[np.ndarray, "case label"],
    seed: int = 0,
) -> Estimate:
    """The mean of the columns' AUROCs; a column with one class only does not count."""
    columns = _columns(labels, scores)

    def macro(counts: np.ndarray) -> np.ndarray:
        values = _aurocs(columns, counts)
        num_defined = (~np.isnan(values)).sum(axis=1)
        empty = np.full(len(values), math.nan)
        means = np.divide(np.nansum(values, axis=1), num_defined, out=empty, where=num_defined > 0)
        return means[:, None]

    return bootstrap(macro, len(labels), seed)[0]


def paired_auroc(
    positives: Shaped[np.ndarray, " case"], negatives: Shaped[np.ndarray, " case"], seed: int = 0
) -> Estimate:
    """The AUROC between two scores of the same cases, a case's two scores drawn together."""
    labels = np.repeat([True, False], [len(positives), len(negatives)])
    scores = np.concatenate([positives, negatives])
    columns = _columns(labels[:, None], scores[:, None])
    return bootstrap(lambda counts: _aurocs(columns, np.tile(counts, 2)), len(positives), seed)[0]


class _Column:
    """One label's cases in the order of their scores, and where each distinct score begins."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.is_positive = np.asarray(labels, dtype=bool)[self.order]
        ascending = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])

    def aurocs(self, counts: Counts) -> Float[np.ndarray, " draw"]:
        """One AUROC for each row of counts."""
        weights = counts[:, self.order]
        positive = np.add.reduceat(weights * self.is_positive, self.starts, axis=1)
        negative = np.add.reduceat(weights * ~self.is_positive, self.starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        num_pairs = positive.sum(axis=1) * negative.sum(axis=1)
        won = (positive * below).sum(axis=1)
        return np.divide(won, num_pairs, out=np.full(len(won), math.nan), where=num_pairs > 0)


def _columns(labels: np.ndarray, scores: np.ndarray) -> list[_Column]:
    return [_Column(*column) for column in zip(labels.T, scores.T, strict=True)]


def _aurocs(columns: list[_Column], counts: np.ndarray) -> np.ndarray:
    return np.stack([column.aurocs(counts) for column in columns], axis=1)
