"""Several rules at once: a pair is kept if every one of them keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from pairaug.prune import mean_margin, mismatch_quantile, quantile, threshold, top_k
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns
from pairaug.prune.mean_margin import MeanMarginRule
from pairaug.prune.mismatch_quantile import NullCalibratedRule
from pairaug.prune.quantile import QuantileRule
from pairaug.prune.threshold import LogitThresholdRule, ThresholdRule
from pairaug.prune.top_k import BestOfParentRule, BestOfReportRule
from pairaug.settings import StageSettings

SingleRule = Annotated[
    ThresholdRule
    | MeanMarginRule
    | QuantileRule
    | BestOfParentRule
    | BestOfReportRule
    | NullCalibratedRule
    | LogitThresholdRule,
    Field(discriminator="rule"),
]

_APPLY = {
    "threshold": threshold.apply,
    "logit-threshold": threshold.apply,
    "mean-margin": mean_margin.apply,
    "quantile": quantile.apply,
    "per-parent-best": top_k.apply,
    "per-report-best": top_k.apply,
    "null-calibrated": mismatch_quantile.apply,
}


class AndRule(StageSettings):
    """Keeps a pair that every one of several rules keeps.

    Each is fitted on the whole branch, and siblings compete whether or not another rule keeps
    them, so the order of the rules changes nothing but which drop reason is named first.
    """

    rule: Literal["and"] = Field(default="and", description="The kind of rule: all of several.")
    rules: tuple[SingleRule, ...] = Field(
        min_length=1, description="The rules, a list of any of the other kinds."
    )

    def fitting(self) -> EveryFitting:
        """All rules, still to be fitted."""
        return EveryFitting(self)


class EveryFitting:
    """Fits each of the rules."""

    def __init__(self, rule: AndRule) -> None:
        self._rule = rule
        self._fittings = [each.fitting() for each in rule.rules]
        self.needs_vectors = any(fitting.needs_vectors for fitting in self._fittings)

    def add(self, columns: Columns, sources: Columns) -> None:
        """Adds the pairs of a part to each."""
        for fitting in self._fittings:
            fitting.add(columns, sources)

    def fitted(self) -> dict[str, Any]:
        """The record of the rule: of several bounds on one score the highest, and each rule's."""
        rules = [fitting.fitted() for fitting in self._fittings]
        bounds: dict[str, float] = {}
        means: dict[str, float] = {}
        for each in rules:
            means |= each["means"]
            for name, bound in each["bounds"].items():
                bounds[name] = max(bound, bounds.get(name, bound))
        return {
            "rule": self._rule.rule,
            "num_pairs": max(each["num_pairs"] for each in rules),
            "means": means,
            "bounds": bounds,
            "rules": rules,
        }


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that a fitted rule, of whatever kind, does not keep."""
    if fitted["rule"] != "and":
        return _APPLY[fitted["rule"]](fitted, columns)
    together: Failures = {}
    for each in fitted["rules"]:
        for row, (reason, detail) in _APPLY[each["rule"]](each, columns).items():
            first, details = together.get(row, (reason, ""))
            # A null is named before anything that was measured.
            first = reason if reason == "no_score" else first
            together[row] = (first, f"{details}, {detail}" if details else detail)
    return together
