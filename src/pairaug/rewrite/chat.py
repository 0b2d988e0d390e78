"""Rewriting by a model that follows instructions, wherever it runs.

Every answer is kept on disk before it is used; equal requests are asked once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pairaug.errors import BackendError
from pairaug.pair import Branch
from pairaug.rewrite.audit import Audit
from pairaug.rewrite.backends import Answer, Failure, Request
from pairaug.rewrite.budget import Budget, BudgetSpentError, rough_tokens
from pairaug.rewrite.cache import AnswerCache, Usage, cache_key, default_cache_path
from pairaug.rewrite.replay import Recorder
from pairaug.rewrite.settings import SERVERS, RewriteSettings
from pairaug.rewrite.structured import RESPONSE_FORMAT, Format, read_answer
from pairaug.rewrite.templates import Message, instructions_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answers, with the tokens that it counted; 0 where it counts none."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0


class SchemaRefusedError(Exception):
    """The model takes no schema for its answers."""


@dataclass(slots=True)
class KnownServer:
    """What was learned of a server, kept from one part of a run to the next."""

    refuses_schema: bool = False


class Model(Protocol):
    """A model that answers conversations."""

    model: str
    place: str
    """Where it is, for the keys of its answers."""
    host: str
    concurrency: int
    takes_schema: bool
    num_sent: int
    """Requests that have left for it, repeats included."""

    async def complete(self, body: Mapping[str, Any], key: str) -> Completion | Failure: ...

    async def close(self) -> None: ...


class ChatBackend:
    """Asks a model for each rewrite, within a budget; answers are cached, recorded and audited.

    `run` is the name under which spending is added up, `audit_path` where it is noted that a server
    was sent something, and `known` what an earlier part learned of that server.
    """

    seeds_by: Literal["pair", "report"] = "report"

    def __init__(
        self,
        settings: RewriteSettings,
        model: Model,
        run: str = "",
        audit_path: Path | None = None,
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
        self._audit = Audit(
            audit_path if settings.backend in SERVERS else None,
            to=model.host,
            backend=self.name,
            model=self.model,
            data_policy=settings.data_policy,
        )
        # Opened last: what fails above leaves no file open.
        self._cache = AnswerCache(settings.cache or default_cache_path())
        self._run = run
        self._budget = Budget(settings.budget, self._cache.spent(run))
        self._num_audited = 0
        self._slots = asyncio.Semaphore(model.concurrency)
        self._in_flight: dict[str, asyncio.Future[str | Failure]] = {}
        self._known = known or KnownServer()
        self._is_over_budget = False

    async def answer(self, request: Request) -> Answer | Failure:
        outcome = self._kept(request)
        while outcome is None:
            answer_format = self._format()
            try:
                outcome = await self._asked_once(request, answer_format)
            except SchemaRefusedError as error:
                self._do_without_schema(error)
        if self._recorder:
            self._recorder.add(request, outcome)
        return outcome if isinstance(outcome, Failure) else read_answer(outcome)

    def _format(self) -> Format:
        """The format to ask for; `auto` asks for JSON where a schema can hold a model to it."""
        chosen = self._settings.answer_format
        if chosen != "auto":
            return chosen
        return (
            "json" if self._chat_model.takes_schema and not self._known.refuses_schema else "text"
        )

    def _do_without_schema(self, refusal: SchemaRefusedError) -> None:
        if self._settings.answer_format == "json":
            raise BackendError(f"{refusal}; set rewrite.answer_format to text or auto") from refusal
        if not self._known.refuses_schema:
            log.warning("%s; the report alone is asked for instead", refusal)
        self._known.refuses_schema = True

    def _kept(self, request: Request) -> str | None:
        """The cached answer, in whichever format it was given."""
        chosen = self._settings.answer_format
        formats: tuple[Format, ...] = ("json", "text") if chosen == "auto" else (chosen,)
        for answer_format in formats:
            kept = self._cache.get(self._key(request, answer_format))
            if kept is not None:
                return kept
        return None

    def _key(self, request: Request, answer_format: Format) -> str:
        """The key of an answer: everything that decides what is sent, and where it goes to."""
        settings = self._settings
        return cache_key(
            {
                "branch": request.branch.value,
                "report": request.report,
                "max_words": request.max_words,
                "seed": request.seed,
                "variant": request.variant,
                "target": request.target,
                "rejected": [(rejected.text, rejected.why) for rejected in request.rejected],
                "place": self._chat_model.place,
                "model": self.model,
                "instructions": self._shas[request.branch],
                "format": answer_format,
                "sampling": [settings.temperature, settings.top_p, settings.max_tokens],
            }
        )

    def _body(self, request: Request, answer_format: Format) -> dict[str, Any]:
        """What is sent."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": self._instructions.messages(request, answer_format),
            "temperature": self._settings.temperature,
            "top_p": self._settings.top_p,
            "max_tokens": self._settings.max_tokens,
            # 31 bits: several servers read the seed as a signed 32-bit number.
            "seed": (request.seed + request.attempt) % 2**31,
        }
        if answer_format == "json" and self._chat_model.takes_schema:
            body["response_format"] = RESPONSE_FORMAT
        return body

    async def _asked_once(self, request: Request, answer_format: Format) -> str | Failure:
        """The answer to a request that may be in flight already, for an equal report."""
        key = self._key(request, answer_format)
        if key in self._in_flight:
            return await asyncio.shield(self._in_flight[key])
        future = asyncio.get_running_loop().create_future()
        self._in_flight[key] = future
        try:
            async with self._slots:
                if answer_format == "json" and self._format() == "text":
                    # Another request has learned it while this one waited.
                    raise SchemaRefusedError
                outcome = await self._paid_for(key, self._body(request, answer_format))
            future.set_result(outcome)
        except BaseException as error:  # whatever it is, nobody may wait for ever
            # A cancelled request too: who waits for the same answer would otherwise wait for ever.
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen here, whether or not another task waits for it
            raise
        finally:
            del self._in_flight[key]
        return outcome

    async def _paid_for(self, key: str, body: dict[str, Any]) -> str | Failure:
        reserved = self._reserved(body["messages"])
        used = Usage()
        try:
            outcome = await self._chat_model.complete(body, key)
            if isinstance(outcome, Failure):
                return outcome
            used = Usage(
                1,
                outcome.input_tokens or rough_tokens(body["messages"]),
                outcome.output_tokens or rough_tokens([{"content": outcome.text}]),
            )
            await self._cache.put(key, outcome.text, self._run, used)  # before anyone uses it
            return outcome.text
        finally:
            self._budget.settle(reserved, used)
            self._note_sent(used)

    def _note_sent(self, used: Usage) -> None:
        num_sent = self._chat_model.num_sent
        self._audit.count(requests=num_sent - self._num_audited, **used._asdict())
        self._num_audited = num_sent

    def _reserved(self, messages: list[Message]) -> Usage:
        try:
            return self._budget.reserve(messages, self._settings.max_tokens)
        except BudgetSpentError:
            self._is_over_budget = True
            raise

    def instruction_hash(self, branch: Branch) -> str:
        return self._instructions.fingerprint(branch)

    def spent(self) -> str:
        return self._budget.in_words()

    async def close(self) -> None:
        if self._is_over_budget and self._in_flight:
            # What is being answered will be billed: it is waited for and kept.
            await asyncio.wait(
                list(self._in_flight.values()), timeout=self._settings.timeout_seconds
            )
        await self._chat_model.close()
        await self._cache.close()
        self._note_sent(Usage())
        self._audit.close()
        if self._recorder:
            self._recorder.close()
