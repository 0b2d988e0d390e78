"""Rewriting by an instruction-tuned model, in this process or on a server.

Every answer is cached on disk before it is used; equal requests are sent once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pairaug.errors import BackendError
from pairaug.pair import Branch
from pairaug.rewrite.audit import RequestLog
from pairaug.rewrite.backends import Answer, Failure, Request
from pairaug.rewrite.budget import Budget, BudgetSpentError, Tab
from pairaug.rewrite.cache import AnswerCache, Usage, cache_key
from pairaug.rewrite.completion import Completion
from pairaug.rewrite.known import KnownServer, Lack, LackError, adapt
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.replay import Recorder, as_json, failure_in
from pairaug.rewrite.settings import SERVERS, RewriteSettings
from pairaug.rewrite.structured import RESPONSE_FORMAT, Format, read_answer
from pairaug.rewrite.templates import instructions_of

log = logging.getLogger(__name__)


# Failures that were paid for and would repeat; requests with other failures are sent again.
_FINAL = (Reason.CUT, Reason.REFUSAL, Reason.CONTENT_FILTER)


class Form(NamedTuple):
    """The requested format, and the parameters left out because the server lacks them."""

    answer_format: Format
    lacks: tuple[Lack, ...]


class Model(Protocol):
    """A model that answers conversations."""

    model: str
    location: str
    """The server's address or the weights' hash, for the keys of answers."""
    host: str
    concurrency: int
    takes_schema: bool
    num_sent: int
    """Number of requests sent, repeats included."""

    async def complete(self, body: Mapping[str, Any], key: str, tab: Tab) -> Completion | Failure:
        """The answer to a request; `tab` records each attempt.

        Raises `LackError` if the model does not support part of the request.
        """
        ...

    async def close(self) -> None: ...


class Kept(NamedTuple):
    """The files for a run's answers, its spending, and its audit."""

    run: str = ""
    """The name under which spending is recorded."""
    audit: Path | None = None
    answers: Path | None = None
    """None: answers are not kept after the backend is closed."""


class ChatBackend:
    """Asks a model for each rewrite, within a budget; answers are cached, recorded and audited.

    `known` holds what earlier parts of the run learned about the server.
    """

    seeds_by: Literal["pair", "report"] = "report"

    def __init__(
        self,
        settings: RewriteSettings,
        model: Model,
        kept: Kept,
        known: KnownServer | None = None,
    ) -> None:
        self.name = settings.backend
        self.model = model.model
        self.concurrency = model.concurrency
        self.findings = frozenset(settings.target_findings)
        self._settings = settings
        self._chat_model = model
        self._instructions = instructions_of(settings)
        self._shas = {
            branch: self._instructions.sha256(branch.value)
            for branch in Branch
            if branch is not Branch.REAL
        }
        self._recorder = Recorder(settings.record) if settings.record else None
        self._audit = RequestLog(
            kept.audit if settings.backend in SERVERS else None,
            to=model.host,
            backend=self.name,
            model=self.model,
            data_policy=settings.data_policy,
        )
        # Opened last, so that a failure above leaves no file open.
        self._cache = AnswerCache(kept.answers)
        self._run = kept.run
        self._budget = Budget(settings.budget, self._cache.spent(kept.run))
        self._num_audited = 0
        self._slots = asyncio.Semaphore(model.concurrency)
        self._in_flight: dict[str, asyncio.Future[str | Failure]] = {}
        self._unreadable: set[str] = set()  # keys of cached answers that cannot be read
        self._known = known or KnownServer()
        self._server = cache_key({"run": kept.run, "place": model.location, "model": model.model})
        if not self._known.lacks:
            names = set(Lack)
            found = [Lack(one) for one in self._cache.lacks(self._server) if one in names]
            self._known.lacks = tuple(found)
        self._is_over_budget = False

    async def answer(self, request: Request) -> Answer | Failure:
        outcome = self._cached(request)
        while outcome is None:
            try:
                outcome = await self._ask_once(request, self._form())
            except LackError as error:
                await self._do_without(error)
        if self._recorder:
            self._recorder.add(request, outcome)
        return outcome if isinstance(outcome, Failure) else read_answer(outcome)

    def _form(self) -> Form:
        """The requested form; `auto` asks for JSON if the model supports a schema."""
        lacks, chosen = self._known.lacks, self._settings.answer_format
        if chosen == "auto":
            is_held = self._chat_model.takes_schema and Lack.SCHEMA not in lacks
            chosen = "json" if is_held else "text"
        return Form(chosen, tuple(lack for lack in lacks if lack is not Lack.SCHEMA))

    async def _do_without(self, error: LackError) -> None:
        known = self._known
        if error.lack in known.lacks:
            return  # another request has found this out already
        if error.lack is Lack.SCHEMA and self._settings.answer_format == "json":
            raise BackendError(f"{error}; set rewrite.answer_format to text or auto") from error
        known.lacks += (error.lack,)
        log.warning("%s", error)
        await self._cache.learn(self._server, known.lacks)

    def _cached(self, request: Request) -> str | Failure | None:
        """The cached answer, in any form that could have been requested."""
        chosen = self._settings.answer_format
        formats: tuple[Format, ...] = ("json", "text") if chosen == "auto" else (chosen,)
        lacks = self._form().lacks
        for num_known in range(len(lacks), -1, -1):
            for answer_format in formats:
                key = self._key(request, Form(answer_format, lacks[:num_known]))
                kept = self._cached_under(key)
                if kept is not None:
                    return kept
        return None

    def _cached_under(self, key: str) -> str | Failure | None:
        kept = self._cache.get(key)
        if kept is not None:
            if kept and not isinstance(read_answer(kept), Failure):
                return kept
            self._unreadable.add(key)
        failure = self._cache.failure(key)
        try:
            return failure_in(failure) if failure else None
        except (ValueError, KeyError):
            return None

    def _key(self, request: Request, form: Form) -> str:
        """The key of an answer: all inputs that determine the request, and the model's location."""
        settings = self._settings
        shaping: dict[str, Any] = {
            "branch": request.branch.value,
            "report": request.report,
            "max_words": request.max_words,
            "seed": request.seed,
            "variant": request.variant,
            "target": request.target,
            "rejected": [(rejected.text, rejected.why) for rejected in request.rejected],
            "place": self._chat_model.location,
            "model": self.model,
            "instructions": self._shas[request.branch],
            "format": form.answer_format,
            "sampling": [settings.temperature, settings.top_p, settings.max_tokens],
        }
        if form.lacks:
            shaping["without"] = sorted(form.lacks)
        return cache_key(shaping)

    def _body(self, request: Request, form: Form) -> dict[str, Any]:
        """The request's body."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": self._instructions.messages(request, form.answer_format),
            "temperature": self._settings.temperature,
            "top_p": self._settings.top_p,
            "max_tokens": self._settings.max_tokens,
            # 31 bits: several servers read the seed as a signed 32-bit number.
            "seed": (request.seed + request.attempt) % 2**31,
        }
        if form.answer_format == "json" and self._chat_model.takes_schema:
            body["response_format"] = RESPONSE_FORMAT
        return adapt(body, form.lacks)

    async def _ask_once(self, request: Request, form: Form) -> str | Failure:
        """The answer to a request; shared with an equal request in flight."""
        key = self._key(request, form)
        if key in self._in_flight:
            return await asyncio.shield(self._in_flight[key])
        future = asyncio.get_running_loop().create_future()
        self._in_flight[key] = future
        try:
            async with self._slots:
                if form != self._form():
                    # Another request has found a lack of the server while this one waited.
                    raise LackError(self._known.lacks[-1])
                outcome = await self._request_answer(key, self._body(request, form))
            future.set_result(outcome)
        except BaseException as error:  # on any error, waiting tasks must be released
            # Also on cancellation: tasks that wait for the same answer would otherwise never end.
            if not future.done():
                future.set_exception(error)
                future.exception()  # mark as retrieved: possibly no task waits for it
            raise
        finally:
            del self._in_flight[key]
        return outcome

    async def _request_answer(self, key: str, body: dict[str, Any]) -> str | Failure:
        tab = Tab(self._budget, body["messages"], self._settings.max_tokens)
        try:
            outcome = await self._chat_model.complete(body, key, tab)
        except Exception as error:  # on any error, record the cost
            self._is_over_budget |= isinstance(error, BudgetSpentError)
            await self._cache.spend(self._run, tab.used)
            raise
        finally:
            self._note_sent(tab.used)
        return await self._cache_from_now(key, outcome, tab.used)

    async def _cache_from_now(
        self, key: str, outcome: Completion | Failure, used: Usage
    ) -> str | Failure:
        """Stores the outcome's cost, and the outcome if a repeat would give it again."""
        failure = outcome if isinstance(outcome, Failure) else read_answer(outcome.text)
        if isinstance(outcome, Completion) and not isinstance(failure, Failure):
            over = key in self._unreadable
            await self._cache.put(key, outcome.text, self._run, used, over=over)
            return outcome.text
        assert isinstance(failure, Failure)
        if failure.reason in _FINAL and used.answers:
            await self._cache.put_failure(key, as_json(failure), self._run, used)
        else:
            await self._cache.spend(self._run, used)
        return failure

    def _note_sent(self, used: Usage) -> None:
        num_sent = self._chat_model.num_sent
        self._audit.count(requests=num_sent - self._num_audited, **used._asdict())
        self._num_audited = num_sent

    def instruction_hash(self, branch: Branch) -> str:
        return self._instructions.fingerprint(branch)

    def spent(self) -> str:
        return self._budget.in_words()

    async def close(self) -> None:
        if self._is_over_budget and self._in_flight:
            # Answers in flight will be billed: wait for them and store them.
            await asyncio.wait(
                list(self._in_flight.values()), timeout=self._settings.timeout_seconds
            )
        await self._chat_model.close()
        await self._cache.close()
        self._note_sent(Usage())
        self._audit.close()
        if self._recorder:
            self._recorder.close()
