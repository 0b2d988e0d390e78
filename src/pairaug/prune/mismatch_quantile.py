"""The rule `mismatch-quantile`: a score above those of images with other patients' reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pairaug.errors import RunError
from pairaug.prune.bounds import Failures, Means, ScoreName, not_above, record
from pairaug.prune.columns import Columns
from pairaug.prune.mismatches import MismatchSample, described, quantile_of
from pairaug.settings import StageSettings

REASONS = {
    "below_mismatch_quantile": "a score is not above the quantile of mismatched pairs: images with "
    "reports of other patients"
}


class MismatchQuantileRule(StageSettings):
    """Keeps a pair whose every score is above a quantile of that score between patients.

        keep  iff  S_k > the q-quantile of S_k between images and reports of different patients

    Images and reports are the branch's own. At 0.95, one image in twenty would pass with another
    patient's report.
    """

    rule: Literal["mismatch-quantile"] = Field(
        default="mismatch-quantile",
        description="The kind of rule: above the scores of mismatched pairs.",
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
        description="Pairs of the branch that are mismatched, each with every other one; chosen "
        "by a hash of their ids.",
    )

    def fitting(self) -> MismatchQuantileFitting:
        """An empty sample of the branch."""
        return MismatchQuantileFitting(self)


class MismatchQuantileFitting:
    """Samples a branch; memory is bounded by `sample_size`."""

    needs_vectors = True

    def __init__(self, rule: MismatchQuantileRule) -> None:
        self._rule = rule
        self._means = Means(rule.scores)
        self._sample = MismatchSample(rule.sample_size)

    def add(self, columns: Columns, sources: Columns) -> None:
        """Adds the pairs of a part."""
        self._means.add(columns)
        self._sample.add(columns, sources)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule; `RunError` if no two pairs can be mismatched."""
        mismatches = {name: self._sample.values(name) for name in self._rule.scores}
        empty = [name for name, values in mismatches.items() if not len(values)]
        if empty and self._means.num_pairs:
            raise RunError(
                f"prune by mismatch-quantile needs scored pairs of two patients, with their "
                f"vectors and their sources': there are none for {empty[0]}. Choose another rule."
            )
        found = {name: values for name, values in mismatches.items() if len(values)}
        bounds = {name: quantile_of(values, self._rule.quantile) for name, values in found.items()}
        return record(
            self._rule.rule,
            self._means,
            bounds,
            quantile=self._rule.quantile,
            mismatches={name: described(values) for name, values in found.items()},
        )


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that are dropped."""
    return not_above(columns, fitted["bounds"], "below_mismatch_quantile")
