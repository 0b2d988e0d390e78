"""Samples a target finding for each rewrite, so that rare findings become more frequent.

A finding is sampled with the inverse of its frequency in the run's real reports. The sample depends
on the run's seed, the report and the variant, and the frequencies on all real reports. So parts,
their order and resuming change nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random

from pairaug.findings import Statement
from pairaug.pair import Branch
from pairaug.rewrite.topics import AIRSPACE, Change

_FLOOR_FRACTION = 0.01
"""Lowest frequency used for the weights, so that one very rare finding does not dominate."""


def count_stated(reports: Iterable[Sequence[Statement]]) -> tuple[int, Counter[str]]:
    """The number of reports, and the number of reports that state each finding."""
    num_reports, counts = 0, Counter[str]()
    for stated in reports:
        num_reports += 1
        counts.update({s.finding for s in stated if s.presence == "present"})
    return num_reports, counts


class Targets:
    """Samples a finding for each rewrite."""

    def __init__(
        self, findings: Sequence[str], num_reports: int, counts: Mapping[str, int]
    ) -> None:
        floor = max(1.0, _FLOOR_FRACTION * num_reports)
        self.weights = {
            finding: 1.0 / max(counts.get(finding, 0), floor) for finding in sorted(set(findings))
        }

    def sample(
        self, branch: Branch, stated: Sequence[Statement], seed: int, among: frozenset[str]
    ) -> str | None:
        """A finding to add to this report or, in `intra`, to change in it; None if impossible.

        `among` holds the findings that the backend can write about. For a new patient, the finding
        is one that the report does not state, so that at least this finding differs.
        """
        possible = [finding for finding in self.weights if finding in among]
        if branch is Branch.INTER:
            has = {s.finding for s in stated if s.presence == "present"}
            possible = [finding for finding in possible if finding not in has]
        if not possible:
            return None
        weights = [self.weights[finding] for finding in possible]
        return Random(f"{seed}/target").choices(possible, weights)[0]


def is_met(
    target: str, branch: Branch, after: Sequence[Statement], changes: Sequence[Change]
) -> bool:
    """True if a rewrite states its target (inter) or changes a statement on it (intra)."""
    if branch is Branch.INTER:
        return any(s.finding == target and s.presence == "present" for s in after)
    return any(_kind(change.finding) == _kind(target) for change in changes)


def _kind(finding: str) -> str:
    return "airspace" if finding in AIRSPACE else finding
