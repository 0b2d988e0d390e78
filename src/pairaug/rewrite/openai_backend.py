"""Sends requests to a server with OpenAI's interface: vLLM, llama.cpp, Ollama, TGI, OpenAI, Azure.

A request is repeated while a repeat can help. Report text goes only to the server in the settings:
no log, no proxy for local servers, no redirect.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any

from pairaug.errors import BackendError
from pairaug.rewrite.backends import Failure
from pairaug.rewrite.budget import Tab
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.completion import (
    EMPTY,
    UNREADABLE,
    BadAnswerError,
    Completion,
    read_completion,
)
from pairaug.rewrite.endpoints import endpoint_of, is_encrypted, open_client, post
from pairaug.rewrite.privacy import host_of, refuse_if_remote
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.refusals import TOO_MANY_REQUESTS, ServerError, error_of_response, failure_of
from pairaug.rewrite.settings import RewriteSettings

log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 60.0
# This number of failures in a row means that the server is gone, not that a report is odd.
_MAX_FAILURES_IN_A_ROW = 8
_NO_CONNECTION, _TIMEOUT = "no connection", "no answer in time"


class Server:
    """The model behind an endpoint; `complete` returns an answer or a failure, or ends the run."""

    def __init__(self, settings: RewriteSettings) -> None:
        refuse_if_remote(settings)
        # Azure identifies a model by its deployment; the setting is for prices and traces.
        deployment = settings.azure.deployment if settings.backend == "azure" else None
        self.model = settings.model or deployment or ""
        self.location = endpoint_of(settings)
        self.host = host_of(settings)
        self.concurrency = settings.concurrency
        self.takes_schema = True
        self.num_sent = 0
        self._asked_for = deployment or self.model
        self._retries = settings.retries
        self._timeout = settings.timeout_seconds
        self._clients = _Clients(settings)
        self._failures_in_a_row = 0
        self._num_too_long = 0
        self._has_answered = False
        self._is_gone: BackendError | None = None

    async def complete(self, body: Mapping[str, Any], key: str, tab: Tab) -> Completion | Failure:
        """The answer to a request, repeated up to `retries` times."""
        if self._is_gone:
            raise self._is_gone  # queued requests are not sent
        body, rng = {**body, "model": self._asked_for}, Random(key)
        outcome: Completion | Failure = UNREADABLE
        for repeat in range(self._retries + 1):
            outcome, wait = await self._try(body, key, tab)
            if isinstance(outcome, Completion) or not _may_differ(outcome):
                self._note_answer(outcome)
                return outcome
            if repeat < self._retries:
                backoff = min(_FIRST_WAIT_SECONDS * 2**repeat, _LONGEST_WAIT_SECONDS)
                seconds = backoff * (0.5 + rng.random() / 2) if wait is None else wait
                log.info("language model: %s; retrying in %.1f s", outcome.why, seconds)
                await asyncio.sleep(seconds)
        assert isinstance(outcome, Failure)
        self._note_failure(outcome)
        return outcome

    def _note_answer(self, outcome: Completion | Failure) -> None:
        if isinstance(outcome, Completion) or outcome.reason is not Reason.CONTEXT_LENGTH:
            self._failures_in_a_row, self._has_answered = 0, True
            return
        self._num_too_long += 1
        if not self._has_answered and self._num_too_long >= _MAX_FAILURES_IN_A_ROW:
            self._is_gone = BackendError(
                f"{self.host}: the first {self._num_too_long} reports do not fit the model's "
                "window; configure a longer window on the server, or set rewrite.max_tokens lower"
            )
            raise self._is_gone

    def _note_failure(self, failure: Failure) -> None:
        """Raise if the server is gone, or keeps rejecting this key for its rate limit."""
        if failure == TOO_MANY_REQUESTS:
            self._is_gone = BackendError(
                f"{self.host} still answers {failure.why} after {self._retries + 1} attempts; set "
                "rewrite.concurrency lower, or run again later; paid answers are kept"
            )
            raise self._is_gone
        self._failures_in_a_row += 1
        is_unreachable = failure.why in (_NO_CONNECTION, _TIMEOUT) and not self._has_answered
        if is_unreachable or self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW:
            self._is_gone = BackendError(
                f"{self.host} gives no answer ({failure.why}) after {self._retries + 1} attempts; "
                "check that the server runs, then run again; paid answers are kept"
            )
            raise self._is_gone

    async def _try(
        self, body: Mapping[str, Any], key: str, tab: Tab
    ) -> tuple[Completion | Failure, float | None]:
        """Send one request; return the outcome and the seconds that the server asks to wait."""
        tab.reserve()
        used: Usage | None = None
        try:
            outcome, used, wait = await self._ask(body, key, tab)
            if isinstance(outcome, ServerError):
                outcome = failure_of(outcome, body, self.host)
        except BackendError as error:
            self._is_gone = error
            raise
        finally:
            tab.settle(used)
        return outcome, wait

    async def _ask(
        self, body: Mapping[str, Any], key: str, tab: Tab
    ) -> tuple[Completion | Failure | ServerError, Usage | None, float | None]:
        """The server's reply to one request, its usage, and the seconds that it asks to wait."""
        import openai

        self.num_sent += 1
        try:
            # The client's timeout is per piece of an answer, which may arrive byte by byte.
            with self._clients.least_busy() as client:
                async with asyncio.timeout(self._timeout):
                    content = await post(client, body, key)
        except BadAnswerError:
            return UNREADABLE, tab.estimated(), None
        except (openai.APITimeoutError, TimeoutError):
            return Failure(_TIMEOUT), None, None
        except openai.APIConnectionError:
            return Failure(_NO_CONNECTION), None, None
        except openai.APIStatusError as error:
            failed = error_of_response(error.status_code, error.response.content)
            return failed, None, _retry_after(error.response.headers)
        outcome, usage = read_completion(content)
        if usage is None and not isinstance(outcome, ServerError):
            usage = tab.estimated(outcome.text) if outcome != UNREADABLE else tab.estimated()
        return outcome, usage, None

    async def close(self) -> None:
        """Close the connections."""
        await self._clients.close()


class _Clients:
    """Several clients with few connections each: a pool scans its connections at each request."""

    _CONNECTIONS = 8

    def __init__(self, settings: RewriteSettings) -> None:
        # With TLS, each client loads certificates, which takes longer than it saves.
        num = 1 if is_encrypted(settings) else math.ceil(settings.concurrency / self._CONNECTIONS)
        self._clients = [open_client(settings) for _ in range(num)]
        self._num_busy = [0] * num

    @contextmanager
    def least_busy(self) -> Iterator[Any]:
        """The client with the fewest requests; its count is increased."""
        index = self._num_busy.index(min(self._num_busy))
        self._num_busy[index] += 1
        try:
            yield self._clients[index]
        finally:
            self._num_busy[index] -= 1

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


def _may_differ(failure: Failure) -> bool:
    """True for a failure that may not recur if the request is repeated."""
    return failure == EMPTY or failure.reason in (Reason.BACKEND_ERROR, Reason.UNREADABLE_ANSWER)


def _retry_after(headers: Any) -> float | None:
    """Seconds that the server asks to wait, within bounds; None if it does not."""
    asked = headers.get("retry-after", "")
    try:
        if headers.get("retry-after-ms"):
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(asked)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None
