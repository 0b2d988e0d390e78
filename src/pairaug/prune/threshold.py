"""Rules with a fixed bound: `threshold` on a cosine, `logit-threshold` on a scaled cosine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pairaug.prune.bounds import Failures, Means, ScoreName, not_above, record
from pairaug.prune.columns import Columns
from pairaug.settings import StageSettings

REASONS = {"below_threshold": "a score is not above the threshold of its rule"}


class ThresholdRule(StageSettings):
    """Keeps a pair whose score is above a fixed bound; the paper's rule for new patients."""

    rule: Literal["threshold"] = Field(
        default="threshold", description="The kind of rule: a fixed bound."
    )
    threshold: float = Field(
        default=0.3,
        ge=-1,
        le=1,
        description="A kept pair's cosine exceeds it. 0.3 is the paper's tau; each scorer needs "
        "its own.",
    )
    score: ScoreName = Field(default="image_report", description="The score that is compared.")

    def fitting(self) -> FixedBound:
        """The fitting; it only counts pairs and their mean."""
        return FixedBound(self.rule, self.score, self.threshold)


class LogitThresholdRule(StageSettings):
    """Keeps a pair whose logit, cosine times scale, is above a bound: the paper's released code.

        keep  iff  scale * S > threshold

    Only for comparison with that code: the scale is specific to a model.
    """

    rule: Literal["logit-threshold"] = Field(
        default="logit-threshold",
        description="The kind of rule: a fixed bound on the scaled cosine.",
    )
    threshold: float = Field(
        default=0.3, description="A kept pair's logit exceeds it; 0.3 in the paper's code."
    )
    scale: float = Field(
        gt=0,
        description="Multiplies the cosine: exp of the model's `logit_scale`, stored in "
        "`trace.score.logit_scale`. MedCLIP's training began at 14.2857.",
    )
    score: ScoreName = Field(default="image_report", description="The score that is compared.")

    def fitting(self) -> FixedBound:
        """The fitting; it only counts pairs and their mean."""
        logit = {"threshold": self.threshold, "scale": self.scale}
        return FixedBound(self.rule, self.score, self.threshold / self.scale, logit=logit)


class FixedBound:
    """A bound that does not depend on the pairs."""

    needs_vectors = False

    def __init__(self, kind: str, score: str, bound: float, **more: Any) -> None:
        self._kind, self._score, self._bound, self._more = kind, score, bound, more
        self._means = Means((score,))

    def add(self, columns: Columns, sources: Columns) -> None:
        """Counts the pairs."""
        del sources
        self._means.add(columns)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule."""
        return record(self._kind, self._means, {self._score: self._bound}, **self._more)


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are dropped."""
    return not_above(columns, fitted["bounds"], "below_threshold")
