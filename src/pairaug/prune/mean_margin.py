"""The rule `mean-margin`, the paper's for edits: scores above their mean minus a margin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pairaug.prune.bounds import Failures, Means, ScoreName, not_above, record
from pairaug.prune.columns import Columns
from pairaug.settings import StageSettings

REASONS = {"below_mean": "a score is not above its branch's mean minus the margin"}


class MeanMarginRule(StageSettings):
    """Keeps a pair whose every score is above its mean minus a margin; the paper's for edits.

        keep  iff  S_k > mean(S_k) / scalar - margin  for every k

    The means are over the whole branch, over all parts.
    """

    rule: Literal["mean-margin"] = Field(
        default="mean-margin", description="The kind of rule: a distance from the mean."
    )
    margin: float = Field(
        default=0.003,
        ge=0,
        description="Subtracted from the mean; 0.003 in the paper's code.",
    )
    scalar: float = Field(
        default=1.0, gt=0, description="Divides the mean first; 1 in the paper's code."
    )
    scores: tuple[ScoreName, ...] = Field(
        default=("image_report", "image_image", "directional"),
        min_length=1,
        description="The scores that are compared: S1, S2 and S3 in the paper.",
    )

    def fitting(self) -> MeanMarginFitting:
        """Sums of the scores, empty so far."""
        return MeanMarginFitting(self)


class MeanMarginFitting:
    """Sums a branch's scores exactly, so neither order nor parts change a bound."""

    needs_vectors = False

    def __init__(self, rule: MeanMarginRule) -> None:
        self._rule = rule
        self._means = Means(rule.scores)

    def add(self, columns: Columns, sources: Columns) -> None:
        """Adds the pairs of a part that have all scores."""
        del sources
        self._means.add(columns)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule."""
        bounds = {
            name: mean / self._rule.scalar - self._rule.margin
            for name, mean in self._means.values().items()
        }
        return record(self._rule.rule, self._means, bounds)


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are dropped."""
    return not_above(columns, fitted["bounds"], "below_mean")
