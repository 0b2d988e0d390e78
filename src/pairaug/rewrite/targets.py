"""Which finding each rewrite is asked to show, so that rare ones are not left rare.

A finding is sampled by the inverse of how often the run's real reports state it. The sample depends on
the run's seed, the report and the variant; the counts on all real reports together. So parts, their
order and resuming change nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random

from pairaug.findings import Statement
from pairaug.pair import Branch
from pairaug.rewrite.topics import AIRSPACE, Change

_FLOOR_FRACTION = 0.01
"""A finding that fewer reports state is sampled as if so many did; else one would be all there is."""


def count_stated(reports: Iterable[Sequence[Statement]]) -> tuple[int, Counter[str]]:
    """How many reports there are, and how many of them state each finding."""
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
        """A finding that this report can be given or, in `intra`, that can change in it.

        None where there is none. `among` is what the backend can write about. A new patient is
        asked to have what the report does not state, so that at least that much is another.
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
    """True where a rewrite states its target (inter), or changes what is said of it (intra)."""
    if branch is Branch.INTER:
        return any(s.finding == target and s.presence == "present" for s in after)
    return any(_kind(change.finding) == _kind(target) for change in changes)


def _kind(finding: str) -> str:
    return "airspace" if finding in AIRSPACE else finding
