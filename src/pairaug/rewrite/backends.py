"""What every backend offers: one request in, one answer or one failure out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pairaug.findings import Statement
from pairaug.pair import Branch, Report
from pairaug.rewrite.reasons import Reason


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that was not accepted: its text, and why in words that hold no report text."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a rewrite of one cleaned report.

    `report` is at most `max_words` long, so that original and rewrite can be compared. `seed`
    depends on the run's seed, the report and the variant alone. `target` is a finding that the
    rewrite must state (inter) or change (intra). `rejected` holds the answers of earlier attempts.
    """

    branch: Branch
    report: str
    stated: tuple[Statement, ...]
    max_words: int
    seed: int
    variant: int = 0
    target: str | None = None
    rejected: Sequence[Rejected] = ()

    @property
    def attempt(self) -> int:
        """0 for the first."""
        return len(self.rejected)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a language model says that it changed; never taken for the truth."""

    finding: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A rewritten report. `raw` is the answer as a model gave it; rules have none.

    `source` is what of the request's report was rewritten; None for all of it.
    """

    report: Report
    raw: str = ""
    claims: tuple[Claim, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason that there is no answer: a class of error, never its text.

    `again` says that another attempt, with another seed, may do better. `text` is what came of an
    answer that was cut.
    """

    why: str
    reason: Reason = Reason.BACKEND_ERROR
    again: bool = False
    text: str = field(default="", repr=False)


class Backend(Protocol):
    """Something that rewrites reports."""

    name: str
    model: str
    """Which version of it: a model's name, or the edition of the rules."""
    concurrency: int
    """Requests worth having in flight at once."""
    seeds_by: Literal["pair", "report"]
    """"report": equal reports share an answer. "pair": each gets one of its own."""
    findings: frozenset[str]
    """What it can be asked to write about."""

    async def answer(self, request: Request) -> Answer | Failure: ...

    def instruction_hash(self, branch: Branch) -> str | None:
        """Which instruction is followed, for the trace; None without one."""
        ...

    def spent(self) -> str:
        """What the run has spent so far, for the progress line; empty where nothing is."""
        ...

    async def close(self) -> None: ...
