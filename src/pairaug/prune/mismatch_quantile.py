"""A rule whose number means something: above what images and reports of other patients reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pairaug.errors import RunError
from pairaug.prune.bounds import Failures, Means, ScoreName, not_above, record
from pairaug.prune.columns import Columns
from pairaug.prune.mismatches import NullSample, described, quantile_of
from pairaug.settings import StageSettings

REASONS = {"below_null": "a score is not above what images and reports of other patients reach"}


class NullCalibratedRule(StageSettings):
    """Keeps a pair whose every score is above a quantile of that score between patients.

    keep  iff  S_k > the q-quantile of S_k between images and reports of different patients

    The images and reports are the branch's own. At 0.95, one in twenty images would pass with a
    report that is not its own.
    """

    rule: Literal["null-calibrated"] = Field(
        default="null-calibrated", description="The kind of rule: better than by chance."
    )
    quantile: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="The fraction of mismatched pairs that would be dropped.",
    )
    scores: tuple[ScoreName, ...] = Field(
        default=("image_report",), min_length=1, description="The scores that are compared."
    )
    sample_size: int = Field(
        default=1024,
        ge=2,
        le=8192,
        description="Pairs of the branch, chosen by the hash of their ids, that are mismatched "
        "each with each.",
    )

    def fitting(self) -> NullFitting:
        """The sample, still to be sampled."""
        return NullFitting(self)


class NullFitting:
    """Samples the sample of a branch; memory is bounded by its size."""

    needs_vectors = True

    def __init__(self, rule: NullCalibratedRule) -> None:
        self._rule = rule
        self._means = Means(rule.scores)
        self._sample = NullSample(rule.sample_size)

    def add(self, columns: Columns, sources: Columns) -> None:
        """Adds the pairs of a part."""
        self._means.add(columns)
        self._sample.add(columns, sources)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule; `RunError` where nothing can be mismatched."""
        nulls = {name: self._sample.values(name) for name in self._rule.scores}
        empty = [name for name, values in nulls.items() if not len(values)]
        if empty and self._means.num_pairs:
            raise RunError(
                f"prune by null-calibrated needs scored pairs of two patients, with their vectors "
                f"and their sources': there are none for {empty[0]}. Choose another rule."
            )
        found = {name: values for name, values in nulls.items() if len(values)}
        bounds = {name: quantile_of(values, self._rule.quantile) for name, values in found.items()}
        return record(
            self._rule.rule,
            self._means,
            bounds,
            quantile=self._rule.quantile,
            nulls={name: described(values) for name, values in found.items()},
        )


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are not kept."""
    return not_above(columns, fitted["bounds"], "below_null")
