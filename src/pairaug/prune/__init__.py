"""Drops synthetic pairs by a rule for each branch, fitted on the whole run and then applied.

Rules read stored scores, and stored vectors where needed, so a rule can be changed in seconds.
Real pairs always stay. One file for each kind of rule; no tensor library is needed.
"""

from __future__ import annotations

from pairaug.prune import (
    gate,
    mean_margin,
    mismatch_quantile,
    near_duplicates,
    quantile,
    threshold,
    top_k,
)
from pairaug.prune.all_of import BranchRule, Rule
from pairaug.prune.bounds import ScoreName
from pairaug.prune.columns import Scored
from pairaug.prune.fit import Decision, FittedRules, PruneRule, PruneSettings
from pairaug.prune.gate import measure_gate
from pairaug.prune.mean_margin import MeanMarginRule
from pairaug.prune.stage import Prune
from pairaug.prune.threshold import ThresholdRule

DROP_REASONS = {
    **threshold.REASONS,
    **mean_margin.REASONS,
    **quantile.REASONS,
    **top_k.REASONS,
    **mismatch_quantile.REASONS,
    "no_score": "a score that the rule compares is null",
    **near_duplicates.REASONS,
    **gate.REASONS,
}

__all__ = [
    "DROP_REASONS",
    "BranchRule",
    "Decision",
    "FittedRules",
    "MeanMarginRule",
    "Prune",
    "PruneRule",
    "PruneSettings",
    "Rule",
    "ScoreName",
    "Scored",
    "ThresholdRule",
    "measure_gate",
]
