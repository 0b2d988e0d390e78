"""A branch's rule, or a list of rules of which every one must keep a pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from pydantic import Discriminator, Field, Tag

from pairaug.prune import mean_margin, mismatch_quantile, quantile, threshold, top_k
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns
from pairaug.prune.mean_margin import MeanMarginRule
from pairaug.prune.mismatch_quantile import MismatchQuantileRule
from pairaug.prune.quantile import QuantileRule
from pairaug.prune.threshold import LogitThresholdRule, ThresholdRule
from pairaug.prune.top_k import TopKRule
from pairaug.settings import LIST_TAG, ONE_TAG, list_or_one

ALL_OF = "all-of"
"""Name of a list of rules in records."""

Rule = Annotated[
    ThresholdRule
    | MeanMarginRule
    | QuantileRule
    | TopKRule
    | MismatchQuantileRule
    | LogitThresholdRule,
    Field(discriminator="rule"),
]

BranchRule = Annotated[
    Annotated[Rule, Tag(ONE_TAG)] | Annotated[tuple[Rule, ...], Field(min_length=1), Tag(LIST_TAG)],
    Discriminator(list_or_one),
]
"""One rule, or a list of rules that must all keep a pair.

Each rule of a list is fitted on the whole branch, and `top-k` ranks pairs that another rule drops
too, so the order of the list only decides which drop reason is named first.
"""

_APPLY = {
    "threshold": threshold.apply,
    "logit-threshold": threshold.apply,
    "mean-margin": mean_margin.apply,
    "quantile": quantile.apply,
    "top-k": top_k.apply,
    "mismatch-quantile": mismatch_quantile.apply,
}


class RuleFitting(Protocol):
    """A rule that is being fitted on the parts of a run."""

    needs_vectors: bool
    """True if scores alone are not enough."""

    def add(self, columns: Columns, sources: Columns) -> None:
        """Adds a branch's pairs of one part; `sources` are the real pairs of the part."""
        ...

    def fitted(self) -> dict[str, Any]:
        """The record of the fitted rule, as plain JSON values."""
        ...


def fitting_of(rule: BranchRule) -> RuleFitting:
    """The fitting of a branch's rule."""
    return AllOfFitting(rule) if isinstance(rule, tuple) else rule.fitting()


class AllOfFitting:
    """Fits each rule of a list."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._fittings: list[RuleFitting] = [rule.fitting() for rule in rules]
        self.needs_vectors = any(fitting.needs_vectors for fitting in self._fittings)

    def add(self, columns: Columns, sources: Columns) -> None:
        """Adds the pairs of a part to each."""
        for fitting in self._fittings:
            fitting.add(columns, sources)

    def fitted(self) -> dict[str, Any]:
        """The records of all rules. Of several bounds on one score, `bounds` has the highest."""
        rules = [fitting.fitted() for fitting in self._fittings]
        bounds: dict[str, float] = {}
        means: dict[str, float] = {}
        for each in rules:
            means |= each["means"]
            for name, bound in each["bounds"].items():
                bounds[name] = max(bound, bounds.get(name, bound))
        return {
            "rule": ALL_OF,
            "num_pairs": max(each["num_pairs"] for each in rules),
            "means": means,
            "bounds": bounds,
            "rules": rules,
        }


def apply(fitted: Mapping[str, Any], columns: Columns) -> Failures:
    """The rows that a fitted rule, or one of a list, drops."""
    if fitted["rule"] != ALL_OF:
        return _APPLY[fitted["rule"]](fitted, columns)
    together: Failures = {}
    for each in fitted["rules"]:
        for row, (reason, detail) in _APPLY[each["rule"]](each, columns).items():
            first, details = together.get(row, (reason, ""))
            # A missing score is named before anything that was measured.
            first = reason if reason == "no_score" else first
            together[row] = (first, f"{details}, {detail}" if details else detail)
    return together
