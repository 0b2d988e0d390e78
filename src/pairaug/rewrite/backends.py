"""The interface of all backends: a request in, an answer or a failure out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pairaug.findings import Statement
from pairaug.pair import Branch, Report
from pairaug.rewrite.reasons import Reason


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that was not accepted: its text, and the reason, which quotes no report text."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request to rewrite one cleaned report.

    `report` has at most `max_words` words, so that original and rewrite are comparable. `seed`
    depends only on the run's seed, the report and the variant. `target` is a finding that the
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
        """Index of the attempt; 0 is the first."""
        return len(self.rejected)


@dataclass(frozen=True, slots=True)
class Claim:
    """A change that the language model claims to have made; not trusted."""

    finding: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A rewritten report. `raw` is the model's unprocessed answer; None for rules.

    `source` is the part of the request's report that was rewritten; None for all of it.
    """

    report: Report
    raw: str = ""
    claims: tuple[Claim, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason for a missing answer: a class of error, never the error's text.

    `again` is true if another attempt, with another seed, may succeed. `text` is the part received
    of a truncated answer.
    """

    why: str
    reason: Reason = Reason.BACKEND_ERROR
    again: bool = False
    text: str = field(default="", repr=False)


class Backend(Protocol):
    """A backend that rewrites reports."""

    name: str
    model: str
    """The backend's version: a model's name, or the edition of the rules."""
    concurrency: int
    """Number of requests to have in flight at once."""
    seeds_by: Literal["pair", "report"]
    """"report": equal reports share an answer. "pair": one answer per pair."""
    findings: frozenset[str]
    """Findings that can be targets."""

    async def answer(self, request: Request) -> Answer | Failure: ...

    def instruction_hash(self, branch: Branch) -> str | None:
        """Hash of the instruction, for the trace; None without an instruction."""
        ...

    def spent(self) -> str:
        """The run's spending so far, for the progress line; empty if nothing was spent."""
        ...

    async def close(self) -> None: ...
