"""Cases sorted by score for each label, for rank statistics of many resamples.

Cases are sorted once; a resample only weights them. A case whose label is not stated (NaN) is left
out for that label.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from pairaug.metrics.bootstrap import Counts

ResampleValues = Float[np.ndarray, " resample"]


class Ranking:
    """Stated cases of one label, ascending by score, with the start of each distinct score."""

    def __init__(
        self, labels: Shaped[np.ndarray, " case"], scores: Shaped[np.ndarray, " case"]
    ) -> None:
        states = np.asarray(labels, dtype=float)
        stated = np.flatnonzero(~np.isnan(states))
        self.order = stated[np.argsort(scores[stated], kind="stable")]
        self.is_positive = states[self.order] > 0
        ascending = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])

    @property
    def num_positive(self) -> int:
        """Number of stated cases with the finding."""
        return int(self.is_positive.sum())

    @property
    def num_negative(self) -> int:
        """Number of stated cases without the finding."""
        return len(self.order) - self.num_positive

    def masses(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """(positives, negatives) at each distinct score, ascending; `resample score` both."""
        if not len(self.order):
            nothing = np.zeros((len(counts), 1))
            return nothing, nothing
        weights = counts[:, self.order]
        positive = np.add.reduceat(weights * self.is_positive, self.starts, axis=1)
        return positive, np.add.reduceat(weights, self.starts, axis=1) - positive


def rankings(
    labels: Shaped[np.ndarray, "case label"], scores: Shaped[np.ndarray, "case label"]
) -> list[Ranking]:
    """One ranking for each column."""
    return [Ranking(*column) for column in zip(labels.T, scores.T, strict=True)]


def mean_of_defined(values: Float[np.ndarray, "resample value"]) -> ResampleValues:
    """Mean of the values in each row that are not NaN; NaN where all are."""
    num_defined = (~np.isnan(values)).sum(axis=1)
    empty = np.full(len(values), np.nan)
    return np.divide(np.nansum(values, axis=1), num_defined, out=empty, where=num_defined > 0)
