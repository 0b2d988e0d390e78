"""A rule among siblings: of all that was made from one real pair, the best few are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pairaug.prune.bounds import Failures, Means, ScoreName, lacking, record
from pairaug.prune.columns import Columns
from pairaug.settings import StageSettings

REASONS = {"not_among_best": "enough others made from the same real pair score higher"}


class BestRule(StageSettings):
    """Keeps the best few of all pairs of the branch that were made from the same real pair.

    A child is always in its parent's part, so this is decided part by part and yet does not depend
    on the parts. Of equal scores the pair with the smaller id is the better one.
    """

    rule: Literal["per-parent-best"] = Field(
        default="per-parent-best", description="The kind of rule: a rank among siblings."
    )
    k: int = Field(default=1, ge=1, description="How many are kept for each real pair.")
    score: ScoreName = Field(default="image_report", description="The score that they compete by.")

    def fitting(self) -> BestFitting:
        """What is to be fitted: nothing but the pairs' number and mean."""
        return BestFitting(self)


class BestFitting:
    """Counts; siblings compete when they are judged."""

    needs_vectors = False

    def __init__(self, rule: BestRule) -> None:
        self._rule = rule
        self._means = Means((rule.score,))

    def add(self, columns: Columns, sources: Columns) -> None:
        """Counts the pairs of a part that have the score."""
        del sources
        self._means.add(columns)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule."""
        return record(self._rule.rule, self._means, {}, k=self._rule.k, score=self._rule.score)


def judge(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are not kept; `columns` must hold all children of each parent in it."""
    score, k = str(fitted["score"]), int(fitted["k"])
    values = columns.table_of([score])[:, 0]
    families: defaultdict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for row in np.flatnonzero(~np.isnan(values)).tolist():
        families[columns.parents[row]].append((-values[row], columns.ids[row], row))
    failures = lacking(columns, [score])
    for family in families.values():
        for place, (negative, _, row) in enumerate(sorted(family)[k:], start=k + 1):
            failures[row] = (
                "not_among_best",
                f"{score} {-negative:.4f} is number {place} of {len(family)}",
            )
    return failures
