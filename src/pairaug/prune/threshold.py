"""Rules with a fixed bound: on a cosine, and on a logit as the paper's released code has it."""

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
        description="A kept pair's cosine is above it. The paper's tau, 0.3; a scorer's own scale "
        "decides what it means.",
    )
    score: ScoreName = Field(default="image_report", description="The score that is compared.")

    def fitting(self) -> FixedBound:
        """What is to be fitted: nothing but the pairs' number and mean."""
        return FixedBound(self.rule, self.score, self.threshold)


class LogitThresholdRule(StageSettings):
    """Keeps a pair whose logit, cosine times scale, is above a bound: the paper's released code.

        keep  iff  scale * S > threshold

    For comparison with numbers of that code only: the scale has no meaning but a model's own.
    """

    rule: Literal["logit-threshold"] = Field(
        default="logit-threshold",
        description="The kind of rule: a fixed bound on the scaled cosine.",
    )
    threshold: float = Field(
        default=0.3, description="A kept pair's logit is above it; 0.3 in the paper's code."
    )
    scale: float = Field(
        gt=0,
        description="What the cosine is multiplied by: exp of the model's `logit_scale`, as "
        "`trace.score.logit_scale` has it. MedCLIP's training began at 14.2857.",
    )
    score: ScoreName = Field(default="image_report", description="The score that is compared.")

    def fitting(self) -> FixedBound:
        """What is to be fitted: nothing but the pairs' number and mean."""
        logit = {"threshold": self.threshold, "scale": self.scale}
        return FixedBound(self.rule, self.score, self.threshold / self.scale, logit=logit)


class FixedBound:
    """A bound that no pair can change."""

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
    """The rows that are not kept."""
    return not_above(columns, fitted["bounds"], "below_threshold")
