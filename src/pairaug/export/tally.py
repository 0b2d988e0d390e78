"""Counts of an export's pairs, scores and labels by branch, taken while it is written."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pairaug.export.captions import is_other_section
from pairaug.export.settings import TextChoice
from pairaug.pair import FINDINGS, SCORES, Branch, Pair

SPLITS = ("train", "validation", "test")

QUANTILES = {"lowest": 0.0, "5 %": 0.05, "25 %": 0.25, "50 %": 0.5, "75 %": 0.75, "95 %": 0.95}
QUANTILES["highest"] = 1.0
"""Name → quantile of a score in the card and in `export.json`."""

_STATES = {True: "present", False: "absent", None: "not stated"}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The contents of an export, as in `export.json`."""

    counts: Mapping[str, Mapping[str, int]]
    """Split → branch → pairs."""
    lost: Mapping[str, int]
    """Reason → kept pairs that could not be written."""
    left_out: Mapping[str, int]
    """Reason → kept pairs excluded by the settings."""
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Branch → score → {pairs, and each of `QUANTILES`}."""
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]
    """Branch → finding → {present, absent, not stated}."""
    other_section: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Layout → branch → pairs with the other section as text, because the chosen one is empty."""
    formats: tuple[str, ...] = ()
    edition: str = ""
    """A hash of the export's contents."""
    files: tuple[str, ...] = ()
    """Files of the layouts, relative to the export's folder."""

    @property
    def num_pairs(self) -> int:
        """All pairs written, real ones included."""
        return sum(sum(by_branch.values()) for by_branch in self.counts.values())

    @property
    def by_branch(self) -> dict[str, int]:
        """Branch → pairs written, over all splits."""
        total: Counter[str] = Counter()
        for by_branch in self.counts.values():
            total.update(by_branch)
        return {branch.value: total[branch.value] for branch in Branch}


@dataclass(slots=True)
class Tally:
    """The running counts. Memory: 24 bytes per pair for scores; the rest does not grow."""

    texts: Mapping[str, TextChoice] = field(default_factory=dict)
    """Layout → the section used as text."""
    other_section: Counter[tuple[str, str]] = field(default_factory=Counter)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    scores: dict[tuple[str, str], array[float]] = field(default_factory=dict)
    labels: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, pair: Pair) -> None:
        """Counts a pair that has been written."""
        branch = pair.branch.value
        self.counts[pair.split, branch] += 1
        for layout, section in self.texts.items():
            self.other_section[layout, branch] += is_other_section(pair.report, section)
        for name, value in pair.scores.items():
            if value is not None:
                self.scores.setdefault((branch, name), array("d")).append(value)
        for name in FINDINGS:
            self.labels[branch, name, _STATES[pair.labels.get(name)]] += 1

    def report(self) -> ExportReport:
        """The counts in a fixed order, so that equal exports have equal cards."""
        written = {branch for _, branch in self.counts}
        branches = [branch.value for branch in Branch if branch.value in written]
        by_split = {
            split: {
                branch: self.counts[split, branch]
                for branch in branches
                if self.counts[split, branch]
            }
            for split in SPLITS
        }
        return ExportReport(
            counts={split: by_branch for split, by_branch in by_split.items() if by_branch},
            other_section={
                layout: {
                    branch: self.other_section[layout, branch]
                    for branch in branches
                    if self.other_section[layout, branch]
                }
                for layout in self.texts
            },
            lost=dict(sorted(self.lost.items())),
            left_out=dict(sorted(self.left_out.items())),
            scores={branch: self._scores_of(branch) for branch in branches},
            labels={
                branch: {
                    name: {state: self.labels[branch, name, state] for state in _STATES.values()}
                    for name in FINDINGS
                }
                for branch in branches
            },
        )

    def _scores_of(self, branch: str) -> dict[str, dict[str, float]]:
        return {
            name: _spread(self.scores[branch, name])
            for name in SCORES
            if (branch, name) in self.scores
        }


def _spread(values: array[float]) -> dict[str, float]:
    found = np.quantile(np.asarray(values), list(QUANTILES.values()))
    named = zip(QUANTILES, found, strict=True)
    return {"pairs": len(values), **{name: round(float(value), 6) for name, value in named}}
