"""Area under the receiver operating characteristic, for one label and for many.

    AUROC = P(s+ > s-) + P(s+ = s-) / 2

for a positive and a negative case picked at random (Mann-Whitney).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from pairaug.metrics.bootstrap import Counts, Estimate, Groups, bootstrap
from pairaug.metrics.ranking import Ranking, ResampleValues, mean_of_defined, rankings


def auroc(
    labels: Shaped[np.ndarray, " case"],
    scores: Shaped[np.ndarray, " case"],
    seed: int = 0,
    groups: Groups | None = None,
) -> Estimate:
    """Probability that a positive case scores above a negative one; ties count half."""
    return label_aurocs(labels[:, None], scores[:, None], seed, groups)[0]


def label_aurocs(
    labels: Shaped[np.ndarray, "case label"],
    scores: Shaped[np.ndarray, "case label"],
    seed: int = 0,
    groups: Groups | None = None,
) -> list[Estimate]:
    """AUROC of each column, all on the same resamples; NaN for a column with one class only.

    A label of NaN means not stated: the case is ignored in that column.
    """
    columns = rankings(labels, scores)
    return bootstrap(
        lambda counts: column_aurocs(columns, counts), len(labels), seed, groups=groups
    )


def macro_auroc(
    labels: Shaped[np.ndarray, "case label"],
    scores: Shaped[np.ndarray, "case label"],
    seed: int = 0,
    groups: Groups | None = None,
) -> Estimate:
    """Mean AUROC over columns; columns with one class only are ignored."""
    columns = rankings(labels, scores)

    def macro(counts: np.ndarray) -> np.ndarray:
        return mean_of_defined(column_aurocs(columns, counts))[:, None]

    return bootstrap(macro, len(labels), seed, groups=groups)[0]


def paired_auroc(
    positives: Shaped[np.ndarray, " case"], negatives: Shaped[np.ndarray, " case"], seed: int = 0
) -> Estimate:
    """AUROC between two scores of the same cases; both scores of a case are resampled together."""
    labels = np.repeat([True, False], [len(positives), len(negatives)])
    scores = np.concatenate([positives, negatives])
    columns = rankings(labels[:, None], scores[:, None])
    num = len(positives)
    return bootstrap(lambda counts: column_aurocs(columns, np.tile(counts, 2)), num, seed)[0]


def own_report_auroc(
    cosines: Float[np.ndarray, "image report"],
    is_other: Bool[np.ndarray, "image report"],
    seed: int = 0,
    groups: Groups | None = None,
) -> Estimate:
    """Probability that an image's own report scores above another one; ties count half.

    `cosines` has own reports on the diagonal. `is_other` is true where a report is wrong for an
    image: it belongs to another patient and states something else. Images and reports are
    resampled together, by `groups`.
    """
    own = np.diagonal(cosines)[:, None]
    won = ((own > cosines) + 0.5 * (own == cosines)) * is_other
    others = is_other.astype(np.float64)

    def statistic(counts: np.ndarray) -> np.ndarray:
        total = ((counts @ others) * counts).sum(axis=1)
        right = ((counts @ won) * counts).sum(axis=1)
        quotient = np.divide(right, total, out=np.full(len(counts), math.nan), where=total > 0)
        return quotient[:, None]

    return bootstrap(statistic, len(cosines), seed, groups=groups)[0]


def column_aurocs(
    columns: Sequence[Ranking], counts: Counts
) -> Float[np.ndarray, "resample label"]:
    """AUROC for each row of counts and each ranking."""
    return np.stack([auroc_of(*column.masses(counts)) for column in columns], axis=1)


def auroc_of(
    positive: Float[np.ndarray, "resample score"], negative: Float[np.ndarray, "resample score"]
) -> ResampleValues:
    """AUROC from the counts at each ascending score; NaN without positives or negatives."""
    below = np.cumsum(negative, axis=1) - negative / 2
    num_pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * below).sum(axis=1)
    return np.divide(won, num_pairs, out=np.full(len(won), math.nan), where=num_pairs > 0)
