"""Which synthetic pairs are kept: a rule for each branch, fitted on the whole run, then applied.

A rule sees stored scores only, so that it can be changed in seconds. Real pairs always stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from pairaug.pair import Branch, Drop, Pair
from pairaug.settings import StageSettings
from pairaug.stage import Context

ScoreName = Literal["image_report", "image_image", "change"]

DROP_REASONS = {
    "below_threshold": "a score is not above the threshold of its rule",
    "below_mean": "a score is not above its branch's mean less the margin",
    "no_score": "a score that the rule asks for is null",
}


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


class MeanMarginRule(StageSettings):
    """Keeps a pair whose every score is above its mean less a margin; the paper's for edits.

        keep  iff  S_k > mean(S_k) / scalar - margin  for every k

    The means are over the whole branch, over all parts.
    """

    rule: Literal["mean-margin"] = Field(
        default="mean-margin", description="The kind of rule: a distance from the mean."
    )
    margin: float = Field(
        default=0.003,
        ge=0,
        description="How far below the mean is still kept; 0.003 in the paper's code.",
    )
    scalar: float = Field(
        default=1.0, gt=0, description="What the mean is divided by first; 1 in the paper's code."
    )
    scores: tuple[ScoreName, ...] = Field(
        default=("image_report", "image_image", "change"),
        min_length=1,
        description="The scores that are compared: S1, S2 and S3 in the paper.",
    )


Rule = Annotated[ThresholdRule | MeanMarginRule, Field(discriminator="rule")]


class PruneSettings(StageSettings):
    """One rule for each branch of synthetic pairs."""

    inter: Rule = Field(default_factory=ThresholdRule, description="Which new patients are kept.")
    intra: Rule = Field(
        default_factory=MeanMarginRule,
        description="Which changed films of known patients are kept.",
    )


class Scored(Protocol):
    """What fitting needs of a pair."""

    @property
    def branch(self) -> Branch: ...

    @property
    def scores(self) -> Mapping[str, float | None]: ...

    @property
    def drop(self) -> Drop | None: ...


Fitted = dict[str, dict[str, Any]]
"""By branch: `rule`, `num_pairs` it was fitted on, `means` by score, and `bounds` by score. A kept
pair's scores are above all of the bounds. Plain JSON values, recorded with the run."""


class PruneRule:
    """The rules of all branches, before they are fitted."""

    def __init__(self, settings: PruneSettings) -> None:
        self._rules: dict[Branch, ThresholdRule | MeanMarginRule] = {
            Branch.INTER: settings.inter,
            Branch.INTRA: settings.intra,
        }

    def fit(self, parts: Iterable[Iterable[Scored]]) -> Fitted:
        """The rules' bounds, from one pass over all parts of a run.

        Sums are exact, so that neither the order nor the size of the parts can change a bound.
        Dropped and real pairs do not count, nor does a pair that lacks one of the scores.
        """
        sums = {
            branch: {name: _ExactSum() for name in _names(rule)}
            for branch, rule in self._rules.items()
        }
        num_pairs = dict.fromkeys(self._rules, 0)
        for part in parts:
            for pair in part:
                if pair.drop is not None or pair.branch not in self._rules:
                    continue
                values = {name: pair.scores.get(name) for name in sums[pair.branch]}
                if None in values.values():
                    continue
                num_pairs[pair.branch] += 1
                for name, value in values.items():
                    assert value is not None
                    sums[pair.branch][name].add(value)
        return {
            branch.value: _fitted(rule, sums[branch], num_pairs[branch])
            for branch, rule in self._rules.items()
        }


class Prune:
    """The stage: marks the synthetic pairs that fail their branch's rule."""

    name = "prune"

    def __init__(self, settings: PruneSettings, fitted: Fitted, context: Context) -> None:
        del settings  # All that decides is in `fitted`, which was made from them.
        self._fitted = fitted
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair as it is, or dropped; real pairs as they are."""
        for pair in pairs:
            fitted = self._fitted.get(pair.branch.value)
            if fitted is None:
                yield pair
            else:
                yield self._judged(pair, fitted)
                self._context.report_progress(1)

    def _judged(self, pair: Pair, fitted: Mapping[str, Any]) -> Pair:
        pair = pair.with_trace(self.name, rule=fitted["rule"])
        bounds: Mapping[str, float] = fitted["bounds"]
        lacking = [name for name in bounds if pair.scores.get(name) is None]
        if lacking:
            return pair.dropped(self.name, "no_score", ", ".join(lacking))
        failures = [
            f"{name} {value:.4f} <= {bound:.4f}"
            for name, bound in bounds.items()
            if (value := pair.scores[name]) is not None and not value > bound
        ]
        if failures:
            return pair.dropped(self.name, _REASONS[fitted["rule"]], ", ".join(failures))
        return pair


_REASONS = {"threshold": "below_threshold", "mean-margin": "below_mean"}


def _names(rule: ThresholdRule | MeanMarginRule) -> tuple[str, ...]:
    return (rule.score,) if isinstance(rule, ThresholdRule) else rule.scores


def _fitted(
    rule: ThresholdRule | MeanMarginRule, sums: Mapping[str, _ExactSum], num_pairs: int
) -> dict[str, Any]:
    means = {name: exact.value() / num_pairs for name, exact in sums.items()} if num_pairs else {}
    if isinstance(rule, ThresholdRule):
        bounds = {rule.score: rule.threshold}
    else:
        bounds = {name: mean / rule.scalar - rule.margin for name, mean in means.items()}
    return {"rule": rule.rule, "num_pairs": num_pairs, "means": means, "bounds": bounds}


class _ExactSum:
    """A sum without rounding, until it is read: the same for every order of its terms.

    Shewchuk 1997, the algorithm of `math.fsum`, kept open between terms.
    """

    def __init__(self) -> None:
        self._partials: list[float] = []

    def add(self, term: float) -> None:
        """Adds one finite number."""
        partials: list[float] = []
        for partial in self._partials:
            if abs(term) < abs(partial):
                term, partial = partial, term
            total = term + partial
            rest = partial - (total - term)
            if rest:
                partials.append(rest)
            term = total
        partials.append(term)
        self._partials = partials

    def value(self) -> float:
        """The double nearest to the exact sum."""
        return math.fsum(self._partials)
