"""The rewrite stage: real pairs in, the same pairs and their rewritten children out.

Which words a rewrite has is the backend's, whether it may be used is `check.py`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.util import find_spec
from typing import Any, NamedTuple

from pairaug.errors import MissingExtraError
from pairaug.findings import Statement, extract, labels_of
from pairaug.findings.cleaning import source_prompt
from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite.backends import Backend, Failure, Rejected, Request
from pairaug.rewrite.check import check
from pairaug.rewrite.event_loop import EventLoopThread
from pairaug.rewrite.privacy import refuse_if_remote, refuse_source
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.rules import Rules
from pairaug.rewrite.settings import RewriteSettings
from pairaug.rewrite.templates import load_instructions
from pairaug.stage import Context, seed_for

# Children begun ahead of the one that is waited for, for each request that may be in flight: a slow
# answer at the head of the queue then leaves the others work to do.
_AHEAD = 4


class Task(NamedTuple):
    """One child to be made."""

    parent: Pair
    branch: Branch
    variant: int

    @property
    def name(self) -> str:
        return f"{self.branch.value}-{self.variant}"


@dataclass(frozen=True, slots=True)
class _Begun:
    """A pair that goes out as it is, and its children, which may still be in work."""

    pair: Pair
    children: tuple[Future[Pair], ...] = ()


class Rewrite:
    """Makes `variants` inter and intra children of every living real pair, without images.

    A child that no attempt makes acceptable comes out dropped, with the last answer as its report
    and what was wrong with it as its reason. Other pairs pass through.
    """

    name = "rewrite"

    def __init__(self, settings: RewriteSettings, context: Context) -> None:
        self._settings = settings
        self._context = context
        if settings.backend == "openai":
            refuse_if_remote(settings)
            load_instructions(settings.instructions)
            if find_spec("openai") is None:
                raise MissingExtraError("rewriting with backend openai", "openai", "llm")

    @staticmethod
    def weights(settings: RewriteSettings) -> dict[str, str]:
        """Hashes of the instructions that a language model gets; rules have none."""
        if settings.backend == "rules":
            return {}
        instructions = load_instructions(settings.instructions)
        texts = {"inter": instructions.inter, "intra": instructions.intra}
        return {
            f"instructions/{name}": sha256(text.encode()).hexdigest()
            for name, text in texts.items()
        }

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        backend = self._open()
        window = _AHEAD * backend.concurrency
        begun: deque[_Begun] = deque()
        with EventLoopThread() as loop:
            try:
                for pair in pairs:
                    begun.append(self._begin(pair, backend, loop))
                    while sum(len(one.children) for one in begun) > window:
                        yield from self._finish(begun.popleft())
                while begun:
                    yield from self._finish(begun.popleft())
            finally:
                loop.run(backend.close())

    def _open(self) -> Backend:
        if self._settings.backend == "rules":
            return Rules()
        from pairaug.rewrite.openai_backend import OpenAiBackend

        return OpenAiBackend(self._settings)

    def _begin(self, pair: Pair, backend: Backend, loop: EventLoopThread) -> _Begun:
        if pair.branch is not Branch.REAL or pair.drop is not None:
            return _Begun(pair)
        if self._settings.backend == "openai":
            refuse_source(self._settings, str(pair.trace.get("read", {}).get("access", "")))
        num_words = len(pair.report.text.split())
        if num_words == 0:
            return _Begun(pair.dropped(self.name, Reason.EMPTY_REPORT.value))
        if num_words < self._settings.min_words:
            detail = f"{num_words} of at least {self._settings.min_words} words"
            return _Begun(pair.dropped(self.name, Reason.REPORT_TOO_SHORT.value, detail))
        source = source_prompt(pair.report.text, self._settings.max_words)
        stated = tuple(extract(source))
        tasks = [
            Task(pair, Branch(branch), variant)
            for branch in self._settings.branches
            for variant in range(self._settings.variants)
        ]
        return _Begun(
            pair,
            tuple(loop.submit(self._child(task, source, stated, backend)) for task in tasks),
        )

    def _finish(self, begun: _Begun) -> Iterator[Pair]:
        children = [future.result() for future in begun.children]
        if begun.pair.branch is Branch.REAL:
            self._context.report_progress(1)
        yield begun.pair
        yield from children

    async def _child(
        self, task: Task, source: str, stated: tuple[Statement, ...], backend: Backend
    ) -> Pair:
        """The child of one task, accepted or dropped."""
        if not stated:
            child = self._made(task, Report())
            return child.dropped(self.name, Reason.NOTHING_TO_CHANGE.value, "it states no finding")
        request = Request(
            task.branch,
            source,
            stated,
            self._settings.max_words,
            self._seed(task, source, backend),
            task.variant,
        )
        entries: dict[str, Any] = {
            "backend": backend.name,
            "model": backend.model,
            "seed": request.seed,
            "instruction": backend.instruction_hash(task.branch),
        }
        return await self._asked(task, request, backend, entries)

    async def _asked(
        self, task: Task, request: Request, backend: Backend, entries: dict[str, Any]
    ) -> Pair:
        """The child made of the first acceptable answer, or dropped for what the last one lacks."""
        rejected: list[Rejected] = []
        report, reason, why = Report(), Reason.BACKEND_ERROR, ""
        for attempt in range(self._settings.attempts):
            answer = await backend.answer(replace(request, rejected=tuple(rejected)))
            entries["attempts"] = attempt + 1
            if isinstance(answer, Failure):
                reason, why = answer.reason, answer.why
                break
            report = answer
            verdict = check(task.branch, request.stated, report.text, request.max_words)
            if verdict.reason is None:
                entries["changes"] = [change.as_json() for change in verdict.changes]
                return self._made(task, report, **entries)
            reason, why = verdict.reason, verdict.detail
            rejected.append(Rejected(report.text, why))
        entries["rejected"] = [one.why for one in rejected]
        return self._made(task, report, **entries).dropped(self.name, reason.value, why)

    def _made(self, task: Task, report: Report, **entries: Any) -> Pair:
        child = task.parent.child(
            task.name,
            branch=task.branch,
            report=report,
            labels=labels_of(extract(report.text)) if report.text else {},
        )
        return child.with_trace(self.name, **entries, num_words=len(report.text.split()))

    def _seed(self, task: Task, source: str, backend: Backend) -> int:
        """A seed for the child; where answers are shared, for its report."""
        whose = f"{task.parent.id}~{task.name}"
        if backend.seeds_by == "report":
            whose = f"{sha256(source.encode()).hexdigest()}~{task.name}"
        return seed_for(self._context.seed, whose, self.name)
