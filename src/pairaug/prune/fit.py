"""Fitting: one pass over the parts of a run gives the numbers that decide about every pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pairaug.pair import Branch
from pairaug.prune import all_of
from pairaug.prune.all_of import AndRule
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns, Scored, columns_of, columns_of_part
from pairaug.prune.gate import GateSettings, drops_all, failures_of
from pairaug.prune.mean_margin import MeanMarginRule
from pairaug.prune.mismatch_quantile import NullCalibratedRule
from pairaug.prune.near_duplicates import Copies, DuplicateRule, MemorisedRule
from pairaug.prune.quantile import QuantileRule
from pairaug.prune.threshold import LogitThresholdRule, ThresholdRule
from pairaug.prune.top_k import BestOfParentRule, BestOfReportRule
from pairaug.settings import StageSettings

Rule = Annotated[
    ThresholdRule
    | MeanMarginRule
    | QuantileRule
    | BestOfParentRule
    | BestOfReportRule
    | NullCalibratedRule
    | LogitThresholdRule
    | AndRule,
    Field(discriminator="rule"),
]


class PruneSettings(StageSettings):
    """One rule for each branch of synthetic pairs, and what is dropped as a copy."""

    inter: Rule = Field(default_factory=ThresholdRule, description="Which new patients are kept.")
    intra: Rule = Field(
        default_factory=MeanMarginRule,
        description="Which changed images of known patients are kept.",
    )
    gate: GateSettings = Field(
        default_factory=GateSettings,
        description="What the scorer must show on the real pairs before its scores may decide.",
    )
    duplicate: DuplicateRule | None = Field(
        default=None,
        description="Of synthetic pairs that are nearly the same keep the best; null keeps all. "
        "Compares each kept pair with each.",
    )
    memorised: MemorisedRule | None = Field(
        default=None,
        description="Drop images that are nearly a real training image; null keeps all. Compares "
        "each kept image with each real one.",
    )


Fitted = dict[str, dict[str, Any]]
"""By branch: `rule`, `num_pairs` it was fitted on, `means` by score, and `bounds` by score. A kept
pair's scores are above all of the bounds. By `duplicate` and `memorised`, where they are asked for:
the bound and what it was measured on. A run adds `gate`: whether the scorer may decide. Plain JSON
values, recorded with the run."""


@dataclass(frozen=True, slots=True)
class Decision:
    """All that decides which pairs are kept."""

    fitted: Fitted
    copies: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Id → drop reason and detail, of the pairs that are near_duplicates."""


class PruneRule:
    """The rules of all branches, before they are fitted."""

    def __init__(self, settings: PruneSettings) -> None:
        self._settings = settings

    def fit(self, parts: Iterable[Iterable[Scored]]) -> Fitted:
        """The rules' bounds, from one pass over all parts of a run.

        Sums are exact, so that neither the order nor the size of the parts can change a bound.
        Dropped and real pairs do not count, nor does a pair that lacks one of the scores.
        """
        return self.decide(columns_of(part) for part in parts).fitted

    def decide_parts(self, paths: Iterable[Path]) -> Decision:
        """The same from parts on disk, each read once and without texts and images."""
        with_vectors = self.needs_vectors
        return self.decide(columns_of_part(path, with_vectors=with_vectors) for path in paths)

    @property
    def needs_vectors(self) -> bool:
        """True if scores alone do not decide."""
        settings = self._settings
        rules = [settings.inter.fitting(), settings.intra.fitting()]
        wants_copies = settings.duplicate is not None or settings.memorised is not None
        return wants_copies or any(rule.needs_vectors for rule in rules)

    def decide(self, parts: Iterable[Columns]) -> Decision:
        """Bounds, and copies where they are asked for, from one pass over the parts' columns."""
        fittings = {
            Branch.INTER: self._settings.inter.fitting(),
            Branch.INTRA: self._settings.intra.fitting(),
        }
        duplicate, memorised = self._settings.duplicate, self._settings.memorised
        near_copies = Copies(duplicate, memorised) if duplicate or memorised else None
        for part in parts:
            is_source = part.branches == Branch.REAL.value
            needs_sources = any(fitting.needs_vectors for fitting in fittings.values())
            sources = part.take(np.flatnonzero(is_source if needs_sources else is_source & False))
            for branch, fitting in fittings.items():
                rows = part.rows_of(branch)
                if len(rows):
                    fitting.add(part.take(rows), sources)
            if near_copies is not None:
                near_copies.add(part)
        fitted: Fitted = {branch.value: fitting.fitted() for branch, fitting in fittings.items()}
        if near_copies is None:
            return Decision(fitted)
        measured, found = near_copies.find(lambda columns: apply(fitted, columns))
        return Decision({**fitted, **measured}, found)


def apply(fitted: Fitted, columns: Columns) -> Failures:
    """The rows of living synthetic pairs that their branch's rule does not keep."""
    failures: Failures = {}
    for branch in (Branch.INTER, Branch.INTRA):
        rows = columns.rows_of(branch)
        if drops_all(fitted):
            failures |= failures_of(fitted, rows)
        elif len(rows) and branch.value in fitted:
            found = all_of.apply(fitted[branch.value], columns.take(rows))
            failures |= {int(rows[place]): why for place, why in found.items()}
    return failures
