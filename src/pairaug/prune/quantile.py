"""The rule `quantile`: scores above a quantile of the branch's own."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pairaug.prune.bounds import Failures, Means, ScoreName, not_above, record
from pairaug.prune.columns import Columns
from pairaug.settings import StageSettings

REASONS = {"below_quantile": "a score is not above the quantile of its branch"}


class QuantileRule(StageSettings):
    """Keeps a pair whose every score is above a quantile of its branch.

    keep  iff  S_k > the smallest value that at least the fraction q of all S_k does not exceed
    """

    rule: Literal["quantile"] = Field(
        default="quantile", description="The kind of rule: a fraction of the branch."
    )
    quantile: float = Field(
        default=0.5, gt=0, lt=1, description="The fraction of pairs that each score drops."
    )
    scores: tuple[ScoreName, ...] = Field(
        default=("image_report",), min_length=1, description="The scores that are compared."
    )

    def fitting(self) -> QuantileFitting:
        """Lists of the scores, empty so far."""
        return QuantileFitting(self)


class QuantileFitting:
    """Collects a branch's scores: eight bytes for each pair and score."""

    needs_vectors = False

    def __init__(self, rule: QuantileRule) -> None:
        self._rule = rule
        self._means = Means(rule.scores)
        self._values = {name: array("d") for name in rule.scores}

    def add(self, columns: Columns, sources: Columns) -> None:
        """Adds the pairs of a part that have all scores."""
        del sources
        complete = self._means.add(columns)
        for column, name in enumerate(self._rule.scores):
            self._values[name].frombytes(np.ascontiguousarray(complete[:, column]).tobytes())

    def fitted(self) -> dict[str, Any]:
        """The record of the rule."""
        bounds = {
            name: float(
                np.quantile(np.frombuffer(values), self._rule.quantile, method="inverted_cdf")
            )
            for name, values in self._values.items()
            if len(values)
        }
        return record(self._rule.rule, self._means, bounds, quantile=self._rule.quantile)


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are dropped."""
    return not_above(columns, fitted["bounds"], "below_quantile")
