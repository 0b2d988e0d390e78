"""Asking a server with OpenAI's interface: vLLM, llama.cpp, Ollama, TGI, OpenAI itself, or Azure.

One request, repeated while a repeat can help. Report text goes to the server that the settings
name, and nowhere else: no log, no proxy for local servers, no redirect.
"""

from __future__ import annotations

import asyncio
import json
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
from pairaug.rewrite.chat import Completion, SchemaRefusedError
from pairaug.rewrite.endpoints import is_encrypted, open_client, place_of
from pairaug.rewrite.privacy import host_of, refuse_if_remote
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.settings import RewriteSettings

log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 60.0
# So many requests that fail in a row mean that the server is gone, not that a report is odd.
_MAX_FAILURES_IN_A_ROW = 8
_NO_CONNECTION, _TIMEOUT = "no connection", "no answer in time"
_UNREADABLE = Failure("an answer that cannot be read")
_FILTERED = Failure("the server's content filter refuses it", Reason.REFUSAL)
# What servers name in their answer when they take no schema.
_SCHEMA_WORDS = ("response_format", "json_schema", "structured", "schema", "grammar", "guided")


class Server:
    """The model behind an endpoint; `complete` gives an answer, a failure, or ends the run."""

    def __init__(self, settings: RewriteSettings) -> None:
        refuse_if_remote(settings)
        # Azure knows a model by its deployment; the setting names it for prices and traces.
        deployment = settings.azure.deployment if settings.backend == "azure" else None
        self.model = settings.model or deployment or ""
        self.place = place_of(settings)
        self.host = host_of(settings)
        self.concurrency = settings.concurrency
        self.takes_schema = True
        self.num_sent = 0
        self._asked_for = deployment or self.model
        self._retries = settings.retries
        self._clients = _Clients(settings)
        self._failures_in_a_row = 0
        self._has_answered = False
        self._is_gone: BackendError | None = None

    async def complete(self, body: Mapping[str, Any], key: str) -> Completion | Failure:
        """The answer to a request, after as many repeats as the settings allow."""
        if self._is_gone:
            raise self._is_gone  # what is still in the queue is not tried
        body, rng = {**body, "model": self._asked_for}, Random(key)
        outcome: Completion | Failure = _UNREADABLE
        for repeat in range(self._retries + 1):
            with self._clients.least_busy() as client:
                outcome, wait = await self._try(client, body, key)
            if isinstance(outcome, Completion) or outcome.reason is not Reason.BACKEND_ERROR:
                self._failures_in_a_row, self._has_answered = 0, True
                return outcome
            if repeat < self._retries:
                backoff = min(_FIRST_WAIT_SECONDS * 2**repeat, _LONGEST_WAIT_SECONDS)
                seconds = backoff * (0.5 + rng.random() / 2) if wait is None else wait
                log.info("language model: %s; asking again in %.1f s", outcome.why, seconds)
                await asyncio.sleep(seconds)
        assert isinstance(outcome, Failure)
        self._failures_in_a_row += 1
        is_unreachable = outcome.why in (_NO_CONNECTION, _TIMEOUT) and not self._has_answered
        if is_unreachable or self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW:
            self._is_gone = BackendError(
                f"{self.host} gives no answer ({outcome.why}) after {self._retries + 1} tries; "
                "check that the server runs, then run again: answers that are paid for are kept"
            )
            raise self._is_gone
        return outcome

    async def _try(
        self, client: Any, body: Mapping[str, Any], key: str
    ) -> tuple[Completion | Failure, float | None]:
        """One request: what came of it, and how long the server asks to wait."""
        import openai

        self.num_sent += 1
        try:
            # Not `chat.completions.create`: taking the request and the answer apart by their
            # types costs it more time than all the rest.
            answer = await client.post(
                "/chat/completions", body=body, cast_to=object, options={"idempotency_key": key}
            )
            return _read(answer), None
        except openai.RateLimitError as error:
            return Failure("429, too many requests"), _retry_after(error.response.headers)
        except openai.APITimeoutError:
            return Failure(_TIMEOUT), None
        except openai.APIConnectionError:
            return Failure(_NO_CONNECTION), None
        except openai.APIStatusError as error:
            return self._refused(error, "response_format" in body)
        except (openai.APIError, json.JSONDecodeError, UnicodeDecodeError):
            return _UNREADABLE, None

    def _refused(self, error: Any, has_schema: bool) -> tuple[Failure, float | None]:
        """What a status other than 429 means for this request; most end the run."""
        status = error.status_code
        if status >= 500 or status in (408, 409):
            return Failure(f"status {status}"), _retry_after(error.response.headers)
        told = _told(error)
        if status == 400 and "content_filter" in told:
            return _FILTERED, None
        if status in (400, 422) and has_schema and any(word in told for word in _SCHEMA_WORDS):
            raise SchemaRefusedError(f"{self.host} answers {status} to a request with a schema")
        # The body may quote the request: only the status is told.
        raise BackendError(
            f"{self.host} answers {status} ({_STATUS_HINTS.get(status, 'the request was refused')})"
        ) from None

    async def close(self) -> None:
        """Let go of the connections."""
        await self._clients.close()


class _Clients:
    """Clients of a few connections each: a pool looks at all of its own before each request."""

    _CONNECTIONS = 8

    def __init__(self, settings: RewriteSettings) -> None:
        # Each client over TLS loads certificates of its own, which takes longer than it saves.
        num = 1 if is_encrypted(settings) else math.ceil(settings.concurrency / self._CONNECTIONS)
        self._clients = [open_client(settings) for _ in range(num)]
        self._num_busy = [0] * num

    @contextmanager
    def least_busy(self) -> Iterator[Any]:
        """The client with the fewest requests, counted as having one more."""
        index = self._num_busy.index(min(self._num_busy))
        self._num_busy[index] += 1
        try:
            yield self._clients[index]
        finally:
            self._num_busy[index] -= 1

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


_STATUS_HINTS = {
    400: "it does not accept the request: check rewrite.model and what else the request holds",
    401: "the key is wrong: check what rewrite.api_key_env or rewrite.api_key_file names",
    403: "this key may not use the model: check rewrite.model",
    404: "it knows no such model or path: check rewrite.model and rewrite.base_url, or "
    "rewrite.azure",
}


def _told(error: Any) -> str:
    """The body of a refusal in lower case; for looking into, never for telling."""
    return json.dumps(error.body, default=str).lower() if error.body is not None else ""


def _read(answer: Any) -> Completion | Failure:
    """The text and the tokens of a chat completion; a failure where it has no text."""
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"]
        reason = choice.get("finish_reason")
        usage = answer.get("usage") or {}
        tokens = tuple(int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return _UNREADABLE
    if reason == "content_filter":
        return _FILTERED
    if not isinstance(text, str) or not text.strip():
        return Failure("an empty answer")
    return Completion(text, *tokens)


def _retry_after(headers: Any) -> float | None:
    """Seconds that the server asks to wait, within bounds; None where it asks nothing."""
    asked = headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)
