"""Area under the receiver operating characteristic, for one label and for many."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped
from scipy.stats import rankdata

from pairaug.metrics.bootstrap import Estimate, bootstrap, bootstrap_vector


def auroc(
    labels: Shaped[np.ndarray, " case"], scores: Float[np.ndarray, " case"], seed: int = 0
) -> Estimate:
    """The chance that a positive case scores above a negative one, ties counting half."""
    return bootstrap(
        lambda y, s: float(_aurocs(y, s)[0]),
        np.asarray(labels, bool)[:, None],
        np.asarray(scores, float)[:, None],
        seed=seed,
    )


def column_aurocs(
    labels: Shaped[np.ndarray, "case label"], scores: Float[np.ndarray, "case label"]
) -> Float[np.ndarray, " label"]:
    """AUROC of each column; NaN where a column has no positive or no negative case."""
    return _aurocs(np.asarray(labels, bool), np.asarray(scores, float))


def label_aurocs(
    labels: Shaped[np.ndarray, "case label"],
    scores: Float[np.ndarray, "case label"],
    seed: int = 0,
) -> list[Estimate]:
    """The columns' AUROCs, each with its interval, all on the same draws."""
    return bootstrap_vector(_aurocs, np.asarray(labels, bool), np.asarray(scores, float), seed=seed)


def macro_auroc(
    labels: Shaped[np.ndarray, "case label"],
    scores: Float[np.ndarray, "case label"],
    seed: int = 0,
) -> Estimate:
    """The mean of the columns' AUROCs; a column with one class only does not count."""

    def macro(y: np.ndarray, s: np.ndarray) -> float:
        values = _aurocs(y, s)
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else math.nan

    return bootstrap(macro, np.asarray(labels, bool), np.asarray(scores, float), seed=seed)


def _aurocs(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    # Mann-Whitney: (sum of the positives' ranks - its least possible value) / (pos * neg).
    num_positive = labels.sum(axis=0).astype(float)
    num_negative = len(labels) - num_positive
    ranks = np.where(labels, rankdata(scores, axis=0), 0.0).sum(axis=0)
    least = num_positive * (num_positive + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (ranks - least) / (num_positive * num_negative)
