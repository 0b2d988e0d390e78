"""What most rules come down to: bounds that a kept pair's scores are above, and what is below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from pairaug.prune.columns import Columns
from pairaug.prune.exact import ExactSum

ScoreName = Literal["image_report", "image_image", "change"]

Failures = dict[int, tuple[str, str]]
"""Row → (drop reason, detail); a row that passes is not in it."""


class Means:
    """How many pairs have all of some scores, and the means of these scores, without rounding."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.num_pairs = 0
        self._sums = {name: ExactSum() for name in self.names}

    def add(self, columns: Columns) -> np.ndarray:
        """Adds the pairs; float64 `pair score`, the scores of those that have all."""
        values = columns.table_of(self.names)
        complete = values[~np.isnan(values).any(axis=1)]
        self.num_pairs += len(complete)
        if len(complete):
            for place, name in enumerate(self.names):
                self._sums[name].add_all(complete[:, place])
        return complete

    def values(self) -> dict[str, float]:
        """Score → mean; empty without pairs."""
        if not self.num_pairs:
            return {}
        return {name: total.value() / self.num_pairs for name, total in self._sums.items()}


def record(kind: str, means: Means, bounds: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """What is recorded of every fitted rule, as plain JSON values."""
    return {
        "rule": kind,
        "num_pairs": means.num_pairs,
        "means": means.values(),
        "bounds": dict(bounds),
        **more,
    }


def lacking(columns: Columns, names: Sequence[str]) -> Failures:
    """The rows in which a score is null, as `no_score`."""
    missing = (
        np.isnan(columns.table_of(names)) if names else np.zeros((len(columns), 0), dtype=bool)
    )
    return {
        int(row): ("no_score", ", ".join(np.compress(missing[row], names)))
        for row in np.flatnonzero(missing.any(axis=1))
    }


def not_above(columns: Columns, bounds: Mapping[str, float], reason: str) -> Failures:
    """The rows in which a score is null or not above its bound."""
    if not bounds:
        return {}
    names = list(bounds)
    values = columns.table_of(names)
    # A null is below every bound; it is named as a null.
    fails = ~(values > np.array([bounds[name] for name in names]))
    texts = [f"{name} %.4f <= {bounds[name]:.4f}" for name in names]
    failures: Failures = {}
    # One pattern of failing scores at a time: most of a large run may be dropped, and this is
    # where the time goes.
    patterns = fails @ (1 << np.arange(len(names)))
    for pattern in np.unique(patterns[patterns > 0]).tolist():
        rows = np.flatnonzero(patterns == pattern)
        places = [place for place in range(len(names)) if pattern >> place & 1]
        template = ", ".join(texts[place] for place in places)
        details = [template % tuple(row) for row in values[rows][:, places].tolist()]
        failures.update(zip(rows.tolist(), ((reason, detail) for detail in details), strict=True))
    return failures | lacking(columns, names)
