"""Rewriting by rules: deterministic, offline, for any English chest report."""

from __future__ import annotations

from random import Random
from typing import Literal

from pairaug.pair import Branch, Report
from pairaug.rewrite.backends import Answer, Failure, Request
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.rules.inter import other_patient, written
from pairaug.rewrite.rules.intra import change_report
from pairaug.rewrite.rules.kinds import KINDS

EDITION = "4"
"""Increase it whenever the same seed gives other texts."""

_NOTHING_TO_CHANGE = Failure("the rules know no change for it", Reason.NOTHING_TO_CHANGE)


class RulesBackend:
    """The backend without a model: each attempt is another sample with the request's seed."""

    name = "rules"
    model = f"rules-{EDITION}"
    concurrency = 1
    seeds_by: Literal["pair", "report"] = "pair"
    findings = frozenset(kind.topic.finding for kind in KINDS.values())

    async def answer(self, request: Request) -> Answer | Failure:
        rng = Random(f"{request.seed}/{request.branch}/{request.attempt}")
        if request.branch is Branch.INTER:
            patient = other_patient(request.stated, rng, request.target)
            if patient is None:
                return _NOTHING_TO_CHANGE
            return Answer(written(patient, rng, request.max_words))
        changed = change_report(request.report, rng, request.max_words, request.target)
        if changed is None:
            return _NOTHING_TO_CHANGE
        return Answer(Report(findings=changed.after), source=changed.before)

    def instruction_hash(self, branch: Branch) -> None:
        """None: rules have no instruction."""

    def spent(self) -> str:
        """Empty: rules are free."""
        return ""

    async def close(self) -> None:
        """Does nothing."""
