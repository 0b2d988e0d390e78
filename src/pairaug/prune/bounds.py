"""Bounds on scores, which most rules are fitted to, and the rows that do not exceed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from pairaug.pair import SCORES
from pairaug.prune.columns import Columns
from pairaug.prune.exact import ExactSum

ScoreName = Literal["image_report", "image_image", "directional"]

Failures = dict[int, tuple[str, str]]
"""Row → (drop reason, detail) of the rows that are dropped."""


class Means:
    """Number of pairs that have all of some scores, and the exact means of these scores."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.num_pairs = 0
        self._sums = {name: ExactSum() for name in self.names}

    def add(self, columns: Columns) -> np.ndarray:
        """Adds pairs; returns the scores of those that have all, float64 `pair score`."""
        values = columns.table_of(self.names)
        complete = values[~np.isnan(values).any(axis=1)]
        self.num_pairs += len(complete)
        if len(complete):
            for column, name in enumerate(self.names):
                self._sums[name].add_all(complete[:, column])
        return complete

    def values(self) -> dict[str, float]:
        """Score → mean; empty without pairs."""
        if not self.num_pairs:
            return {}
        return {name: total.value() / self.num_pairs for name, total in self._sums.items()}


def record(kind: str, means: Means, bounds: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """The record of a fitted rule, as plain JSON values."""
    return {
        "rule": kind,
        "num_pairs": means.num_pairs,
        "means": means.values(),
        "bounds": dict(bounds),
        **more,
    }


def lacking(columns: Columns, names: Sequence[str]) -> Failures:
    """The rows in which a score is null, with the reason `no_score`."""
    missing = (
        np.isnan(columns.table_of(names)) if names else np.zeros((len(columns), 0), dtype=bool)
    )
    return {
        int(row): ("no_score", ", ".join(np.compress(missing[row], names)))
        for row in np.flatnonzero(missing.any(axis=1))
    }


def not_above(columns: Columns, bounds: Mapping[str, float], reason: str) -> Failures:
    """The rows in which a score is null or not above its bound."""
    if not bounds:  # fitted to no pair: each lacks a score
        return lacking(columns, SCORES)
    names = list(bounds)
    values = columns.table_of(names)
    # A null is below every bound; it is named as a null.
    fails = ~(values > np.array([bounds[name] for name in names]))
    texts = [f"{name} %.4f <= {bounds[name]:.4f}" for name in names]
    failures: Failures = {}
    # One pattern of failing scores at a time: this is fast where most of a large run is dropped.
    patterns = fails @ (1 << np.arange(len(names)))
    for pattern in np.unique(patterns[patterns > 0]).tolist():
        rows = np.flatnonzero(patterns == pattern)
        columns_below = [column for column in range(len(names)) if pattern >> column & 1]
        template = ", ".join(texts[column] for column in columns_below)
        details = [template % tuple(row) for row in values[rows][:, columns_below].tolist()]
        failures.update(zip(rows.tolist(), ((reason, detail) for detail in details), strict=True))
    return failures | lacking(columns, names)
