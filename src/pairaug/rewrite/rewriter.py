"""The rewrite stage: real pairs in, the same pairs and their rewritten children out.

The backend writes the text; `check.py` accepts or rejects it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple

from pairaug.findings import Statement, extract, is_english, report_labels
from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite.backends import Answer, Backend, Failure, Rejected, Request
from pairaug.rewrite.check import check
from pairaug.rewrite.cleaning import source_report
from pairaug.rewrite.event_loop import EventLoopThread
from pairaug.rewrite.opening import Opener, check_backend, hashes_of
from pairaug.rewrite.privacy import refuse_source
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.rules import RulesBackend
from pairaug.rewrite.sections import in_sections
from pairaug.rewrite.settings import RewriteSettings
from pairaug.rewrite.status import Status
from pairaug.rewrite.targets import Targets, count_stated
from pairaug.rewrite.window import Window
from pairaug.stage import RunContext, seed_for

# Children started ahead, per request that may be in flight, so that a slow answer at the head of
# the queue does not leave the other requests idle.
_AHEAD = 4


class RewriteTask(NamedTuple):
    """One child to rewrite."""

    parent: Pair
    branch: Branch
    variant: int

    @property
    def name(self) -> str:
        return f"{self.branch.value}-{self.variant}"


@dataclass(frozen=True, slots=True)
class _Begun:
    """A pair that is passed on, and its children, which may be unfinished."""

    pair: Pair
    children: tuple[Future[Pair], ...] = ()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The result of the attempts at one child; accepted if `reason` is None."""

    source: str
    """The text that was rewritten."""
    report: Report
    reason: Reason | None
    why: str
    entries: dict[str, Any]


class Rewrite:
    """Creates `variants` inter and intra children of every living real pair, without images.

    A child without an accepted answer is dropped, with the last answer as its report and the
    check's reason. Other pairs pass through.
    """

    name = "rewrite"

    def __init__(self, settings: RewriteSettings, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        check_backend(settings)
        self._opener = Opener(settings, context)
        self._fallback = RulesBackend() if settings.fallback == "rules" else None
        self._window = Window(settings.tokenizer) if settings.tokenizer else None
        self._status = Status(context.report_status)
        self._targets: Targets | None = None

    @staticmethod
    def weights(settings: RewriteSettings) -> dict[str, str]:
        """Hashes of inputs that determine the answers, besides settings; empty for rules."""
        return hashes_of(settings)

    def fit(self, pairs: Iterable[Pair]) -> None:
        """Count the findings of all real reports of the run, for balanced targets.

        Pass the whole manifest, not one part. Without balanced targets nothing is read.
        """
        if self._settings.targets == "balanced":
            reports = (
                extract(source_report(pair.report.text, self._settings.max_words))
                for pair in pairs
                if pair.branch is Branch.REAL and pair.drop is None and is_english(pair.report.text)
            )
            num_reports, counts = count_stated(reports)
            self._targets = Targets(self._settings.target_findings, num_reports, counts)

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        if self._settings.targets == "balanced" and self._targets is None:
            raise ValueError("rewrite.targets is balanced: call fit with all real pairs first")
        pairs, access = _with_access(pairs)
        backend = self._opener.open(access)
        window = _AHEAD * backend.concurrency
        begun: deque[_Begun] = deque()
        num_begun = 0
        with EventLoopThread() as loop:
            try:
                for pair in pairs:
                    begun.append(self._begin(pair, backend, loop))
                    num_begun += len(begun[-1].children)
                    while num_begun > window:
                        num_begun -= len(begun[0].children)
                        yield from self._finish(begun.popleft(), backend)
                while begun:
                    yield from self._finish(begun.popleft(), backend)
                self._status.report(backend.spent(), now=True)
            finally:
                loop.run(backend.close())

    def _begin(self, pair: Pair, backend: Backend, loop: EventLoopThread) -> _Begun:
        if pair.branch is not Branch.REAL or pair.drop is not None:
            return _Begun(pair)
        refuse_source(self._settings, _access_of(pair))
        num_words = len(pair.report.text.split())
        if num_words == 0:
            return _Begun(pair.dropped(self.name, Reason.EMPTY_REPORT.value))
        in_english = is_english(pair.report.text)
        # Not all languages separate words by spaces.
        if in_english and num_words < self._settings.min_words:
            detail = f"{num_words} of at least {self._settings.min_words} words"
            return _Begun(pair.dropped(self.name, Reason.REPORT_TOO_SHORT.value, detail))
        source, stated = pair.report.text, None
        if in_english:
            source = source_report(source, self._settings.max_words)
            stated = tuple(extract(source))
        tasks = [
            RewriteTask(pair, Branch(branch), variant)
            for branch in self._settings.branches
            for variant in range(self._settings.variants)
        ]
        return _Begun(
            pair,
            tuple(loop.submit(self._child(task, source, stated, backend)) for task in tasks),
        )

    def _finish(self, begun: _Begun, backend: Backend) -> Iterator[Pair]:
        children = [future.result() for future in begun.children]
        if begun.pair.branch is Branch.REAL:
            self._context.report_progress(1)
        for child in children:
            self._status.count(child.drop is None)
        self._status.report(backend.spent())
        yield begun.pair
        yield from children

    async def _child(
        self, task: RewriteTask, source: str, stated: tuple[Statement, ...] | None, backend: Backend
    ) -> Pair:
        """The child of one task, accepted or dropped; `stated` is None for another language."""
        if stated is None:
            child = self._new_child(task, source, Report())
            return child.dropped(self.name, Reason.REPORT_NOT_ENGLISH.value)
        if not stated:
            child = self._new_child(task, source, Report())
            return child.dropped(self.name, Reason.NOTHING_TO_CHANGE.value, "it states no finding")
        request = self._request(task, source, stated, backend)
        outcome = await self._attempt(request, backend)
        if outcome.reason is not None and self._fallback is not None and backend.name != "rules":
            outcome = await self._fallen_back(request, outcome, self._fallback)
        child = self._new_child(task, outcome.source, outcome.report, **outcome.entries)
        if outcome.reason is None:
            return child
        return child.dropped(self.name, outcome.reason.value, outcome.why)

    def _request(
        self, task: RewriteTask, source: str, stated: tuple[Statement, ...], backend: Backend
    ) -> Request:
        seed = self._seed(task, source, backend)
        target = None
        if self._targets is not None:
            target = self._targets.sample(task.branch, stated, seed, backend.findings)
        max_words = self._settings.max_words
        return Request(task.branch, source, stated, max_words, seed, task.variant, target)

    async def _attempt(self, request: Request, backend: Backend) -> _Outcome:
        """The first accepted answer, or the last one with the reason for its rejection."""
        entries: dict[str, Any] = {
            "backend": backend.name,
            "model": backend.model,
            "seed": request.seed,
            "instruction": backend.instruction_hash(request.branch),
        }
        if self._targets is not None:
            entries["target"] = request.target
        rejected: list[Rejected] = []
        source, report, reason, why = request.report, Report(), Reason.BACKEND_ERROR, ""
        for attempt in range(self._settings.attempts):
            answer = await backend.answer(replace(request, rejected=tuple(rejected)))
            entries["attempts"] = attempt + 1
            if isinstance(answer, Failure):
                reason, why, report = answer.reason, answer.why, Report(findings=answer.text)
                if not answer.again:
                    break
                rejected.append(Rejected(answer.text.strip(), why))
                continue
            report = answer.report
            source = request.report if answer.source is None else answer.source
            stated = request.stated if answer.source is None else extract(source)
            result = check(request.branch, stated, report.text, request.max_words, request.target)
            if result.reason is None:
                entries["changes"] = [change.as_json() for change in result.changes]
                return _Outcome(source, report, None, "", entries | _claim(answer))
            reason, why = result.reason, result.detail
            rejected.append(Rejected(answer.raw.strip() or report.text, why))
        entries["rejected"] = [one.why for one in rejected]
        return _Outcome(source, report, reason, why, entries)

    async def _fallen_back(
        self, request: Request, failed: _Outcome, rules: RulesBackend
    ) -> _Outcome:
        """The rules' rewrite, with the earlier failure in its trace; else that failure."""
        target = request.target if request.target in rules.findings else None
        outcome = await self._attempt(replace(request, target=target), rules)
        if outcome.reason is not None:
            return failed
        before = {
            "backend": failed.entries["backend"],
            "model": failed.entries["model"],
            "attempts": failed.entries["attempts"],
            "reason": failed.reason,
            "why": failed.why,
        }
        return replace(outcome, entries={**outcome.entries, "fallback_for": before})

    def _new_child(self, task: RewriteTask, source: str, report: Report, **entries: Any) -> Pair:
        child = task.parent.child(
            task.name,
            branch=task.branch,
            report=in_sections(report, task.parent.report) if report.text else report,
            source_report=source,
            labels=report_labels(report.text) if report.text else {},
        )
        if self._window is not None and report.text:
            entries |= self._window.marks(report.text)
        return child.with_trace(self.name, **entries, num_words=len(report.text.split()))

    def _seed(self, task: RewriteTask, source: str, backend: Backend) -> int:
        """The seed of the child, or of its report if equal reports share answers."""
        whose = f"{task.parent.id}~{task.name}"
        if backend.seeds_by == "report":
            whose = f"{sha256(source.encode()).hexdigest()}~{task.name}"
        return seed_for(self._context.seed, whose, self.name)


def _access_of(pair: Pair) -> str:
    """The terms of access of a pair's source; empty if not stated."""
    return str(pair.trace.get("read", {}).get("access", ""))


def _with_access(pairs: Iterable[Pair]) -> tuple[Iterable[Pair], str]:
    """The pairs, and the terms of access of the first: all pairs of a run have one source."""
    iterator = iter(pairs)
    first = next(iterator, None)
    if first is None:
        return (), ""
    return itertools.chain([first], iterator), _access_of(first)


def _claim(answer: Answer) -> dict[str, Any]:
    """The changes that the model claims, for the trace."""
    return {"claims": [asdict(claim) for claim in answer.claims]} if answer.claims else {}
