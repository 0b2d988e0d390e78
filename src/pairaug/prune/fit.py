"""Fitting: one pass over the parts of a run gives the numbers that decide on every pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from pydantic import Field

from pairaug.pair import Branch
from pairaug.prune import all_of
from pairaug.prune.all_of import BranchRule, fitting_of
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns, Scored, columns_of, columns_of_part
from pairaug.prune.gate import GateSettings, drops_all, failures_of
from pairaug.prune.mean_margin import MeanMarginRule
from pairaug.prune.near_duplicates import Copies, DuplicateRule, MemorisedRule
from pairaug.prune.threshold import ThresholdRule
from pairaug.settings import StageSettings


class PruneSettings(StageSettings):
    """A rule for each branch of synthetic pairs, the check of the scorer, and what is a copy."""

    inter: BranchRule = Field(
        default_factory=ThresholdRule,
        description="The rule for new patients, or a list of rules that must all keep a pair.",
    )
    intra: BranchRule = Field(
        default_factory=MeanMarginRule,
        description="The rule for edits, or a list of rules that must all keep a pair.",
    )
    gate: GateSettings = Field(
        default_factory=GateSettings,
        description="The test that the scorer must pass on the real pairs before it may prune.",
    )
    duplicate: DuplicateRule | None = Field(
        default=None,
        description="Keep only the best of synthetic pairs that are nearly the same; null: keep "
        "all. Compares every kept pair with every other.",
    )
    memorised: MemorisedRule | None = Field(
        default=None,
        description="Drop images that are nearly a real training image; null: keep all. Compares "
        "every kept image with every real one.",
    )


FittedRules: TypeAlias = dict[str, dict[str, Any]]
"""By branch: `rule`, `num_pairs` it was fitted on, `means` by score and `bounds` by score. A kept
pair's scores exceed all bounds. By `duplicate` and `memorised`, where they are set: the bound and
what it was measured on. A run adds `gate`: whether the scorer may prune. Plain JSON values,
recorded with the run."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The fitted rules, and the pairs that are copies."""

    fitted: FittedRules
    copies: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Id → drop reason and detail, of the pairs that are copies."""


class PruneRule:
    """The rules of all branches, before they are fitted."""

    def __init__(self, settings: PruneSettings) -> None:
        self._settings = settings

    def fit(self, parts: Iterable[Iterable[Scored]]) -> FittedRules:
        """The rules' bounds, from one pass over all parts of a run.

        Sums are exact, so neither the order nor the size of the parts changes a bound. Dropped
        pairs, real pairs and pairs that lack one of the scores do not count.
        """
        return self.decide(columns_of(part) for part in parts).fitted

    def decide_parts(self, paths: Iterable[Path]) -> Decision:
        """The same from parts on disk, each read once and without texts and images."""
        with_vectors = self.needs_vectors
        return self.decide(columns_of_part(path, with_vectors=with_vectors) for path in paths)

    @property
    def needs_vectors(self) -> bool:
        """True if scores alone are not enough."""
        settings = self._settings
        rules = [fitting_of(settings.inter), fitting_of(settings.intra)]
        wants_copies = settings.duplicate is not None or settings.memorised is not None
        return wants_copies or any(rule.needs_vectors for rule in rules)

    def decide(self, parts: Iterable[Columns]) -> Decision:
        """Bounds, and copies if they are to be dropped, from one pass over the parts' columns."""
        fittings = {
            Branch.INTER: fitting_of(self._settings.inter),
            Branch.INTRA: fitting_of(self._settings.intra),
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
        fitted: FittedRules = {
            branch.value: fitting.fitted() for branch, fitting in fittings.items()
        }
        if near_copies is None:
            return Decision(fitted)
        measured, found = near_copies.find(lambda columns: apply(fitted, columns))
        return Decision({**fitted, **measured}, found)


def apply(fitted: FittedRules, columns: Columns) -> Failures:
    """The rows of living synthetic pairs that their branch's rule drops."""
    failures: Failures = {}
    for branch in (Branch.INTER, Branch.INTRA):
        rows = columns.rows_of(branch)
        if drops_all(fitted):
            failures |= failures_of(fitted, rows)
        elif len(rows) and branch.value in fitted:
            found = all_of.apply(fitted[branch.value], columns.take(rows))
            failures |= {int(rows[row]): why for row, why in found.items()}
    return failures
