"""The rule `top-k`: the best few pairs of each group, by real pair or by report."""

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

REASONS = {
    "not_in_top_k": "at least `k` other pairs of the same real pair, or report, score higher"
}


class TopKRule(StageSettings):
    """Keeps the `k` best pairs of each group. Of equal scores the smaller id ranks higher.

    A child is always in its parent's part, so each part is decided alone and the result does not
    depend on how a run is split into parts.
    """

    rule: Literal["top-k"] = Field(
        default="top-k", description="The kind of rule: the best few of each group."
    )
    k: int = Field(default=1, ge=1, description="Pairs kept of each group.")
    score: ScoreName = Field(default="image_report", description="The score that ranks the pairs.")
    group_by: Literal["parent", "report"] = Field(
        default="parent",
        description="`parent`: all pairs of the branch made from one real pair; `report`: the "
        "candidates of one rewritten report, so that no report is lost.",
    )

    def fitting(self) -> TopKFitting:
        """Counts and means; ranks are computed when the rule is applied."""
        return TopKFitting(self)


class TopKFitting:
    """Counts the pairs; they are ranked when the rule is applied."""

    needs_vectors = False

    def __init__(self, rule: TopKRule) -> None:
        self._rule = rule
        self._means = Means((rule.score,))

    def add(self, columns: Columns, sources: Columns) -> None:
        """Counts the pairs of a part that have the score."""
        del sources
        self._means.add(columns)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule."""
        rule = self._rule
        return record(
            rule.rule, self._means, {}, k=rule.k, score=rule.score, group_by=rule.group_by
        )


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are dropped; `columns` must hold all children of each parent in it."""
    score, k = str(fitted["score"]), int(fitted["k"])
    values = columns.table_of([score])[:, 0]
    group_of = columns.parents
    if fitted["group_by"] == "report":
        group_of = [first_candidate_id(pair_id) for pair_id in columns.ids]
    groups: defaultdict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for row in np.flatnonzero(~np.isnan(values)).tolist():
        groups[group_of[row]].append((-values[row], columns.ids[row], row))
    failures = lacking(columns, [score])
    for group in groups.values():
        for rank, (negative, _, row) in enumerate(sorted(group)[k:], start=k + 1):
            detail = f"{score} {-negative:.4f} is number {rank} of {len(group)}"
            failures[row] = ("not_in_top_k", detail)
    return failures
