"""A rule among siblings: of all that was made from one real pair or report, the best are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pairaug.candidates.ids import first_candidate_id
from pairaug.prune.bounds import Failures, Means, ScoreName, lacking, record
from pairaug.prune.columns import Columns
from pairaug.settings import StageSettings

REASONS = {"not_among_best": "enough others made from the same real pair, or report, score higher"}


class _SiblingRule(StageSettings):
    """A rank among pairs of one origin. Of equal scores the pair with the smaller id is better.

    A child is always in its parent's part, so this is decided part by part and yet does not depend
    on the parts.
    """

    k: int = Field(default=1, ge=1, description="How many are kept of each family.")
    score: ScoreName = Field(default="image_report", description="The score that they compete by.")


class BestOfParentRule(_SiblingRule):
    """Keeps the best few of all pairs of the branch that were made from the same real pair."""

    rule: Literal["per-parent-best"] = Field(
        default="per-parent-best",
        description="The kind of rule: a rank among all that was made from one real pair.",
    )

    def fitting(self) -> BestFitting:
        """What is to be fitted: nothing but the pairs' number and mean."""
        return BestFitting(self)


class BestOfReportRule(_SiblingRule):
    """Keeps the best few candidates of each report, so that no report is lost to easier ones."""

    rule: Literal["per-report-best"] = Field(
        default="per-report-best",
        description="The kind of rule: a rank among the candidates of one report.",
    )

    def fitting(self) -> BestFitting:
        """What is to be fitted: nothing but the pairs' number and mean."""
        return BestFitting(self)


class BestFitting:
    """Counts; siblings compete when they are decided."""

    needs_vectors = False

    def __init__(self, rule: BestOfParentRule | BestOfReportRule) -> None:
        self._rule = rule
        self._means = Means((rule.score,))

    def add(self, columns: Columns, sources: Columns) -> None:
        """Counts the pairs of a part that have the score."""
        del sources
        self._means.add(columns)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule."""
        rule = self._rule
        return record(rule.rule, self._means, {}, k=rule.k, score=rule.score)


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are not kept; `columns` must hold all children of each parent in it."""
    score, k = str(fitted["score"]), int(fitted["k"])
    values = columns.table_of([score])[:, 0]
    of_whom = columns.parents
    if fitted["rule"] == "per-report-best":
        of_whom = [first_candidate_id(pair_id) for pair_id in columns.ids]
    families: defaultdict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for row in np.flatnonzero(~np.isnan(values)).tolist():
        families[of_whom[row]].append((-values[row], columns.ids[row], row))
    failures = lacking(columns, [score])
    for family in families.values():
        for place, (negative, _, row) in enumerate(sorted(family)[k:], start=k + 1):
            failures[row] = (
                "not_among_best",
                f"{score} {-negative:.4f} is number {place} of {len(family)}",
            )
    return failures
