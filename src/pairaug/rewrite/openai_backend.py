"""Rewriting by a server with OpenAI's interface: vLLM, llama.cpp, Ollama, TGI, or OpenAI itself.

Every answer is kept on disk before it is used. Report text goes to the server that the settings
name, and nowhere else: no log, no proxy for local servers, no redirect.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from random import Random
from typing import Any, Literal

from pairaug.errors import BackendError, MissingExtraError
from pairaug.pair import Branch, Report
from pairaug.rewrite.backends import Failure, Request
from pairaug.rewrite.cache import AnswerCache, cache_key, default_cache_path
from pairaug.rewrite.check import tidied
from pairaug.rewrite.privacy import is_loopback, refuse_if_remote
from pairaug.rewrite.settings import RewriteSettings
from pairaug.rewrite.templates import load_instructions

log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 60.0
# So many requests that fail in a row mean that the server is gone, not that a report is odd.
_MAX_FAILURES_IN_A_ROW = 8
_NO_CONNECTION, _TIMEOUT = "no connection", "no answer in time"


class _NoRequestText(logging.Filter):
    """Drops what the client library logs below a warning: at debug level it logs whole requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


def _open_client(settings: RewriteSettings) -> Any:
    try:
        import openai
    except ImportError as error:
        raise MissingExtraError("rewriting with backend openai", "openai", "llm") from error
    is_local = is_loopback(settings.base_url)
    key = os.environ.get(settings.api_key_env)
    if not key and not is_local:
        raise BackendError(
            f"the environment variable {settings.api_key_env} is not set; it must hold the key for "
            f"{settings.base_url} (rewrite.api_key_env names another variable)"
        )
    for name in ("openai._base_client", "openai._response", "openai._legacy_response"):
        logger = logging.getLogger(name)
        if not any(isinstance(known, _NoRequestText) for known in logger.filters):
            logger.addFilter(_NoRequestText())
    return openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=key or "none",
        timeout=settings.timeout_seconds,
        max_retries=0,  # retried here, where an answer is also read and kept
        # A proxy or a redirect would take text for a local server off this machine.
        http_client=openai.DefaultAsyncHttpxClient(
            timeout=settings.timeout_seconds, trust_env=not is_local, follow_redirects=False
        ),
    )


class OpenAiBackend:
    """Asks a chat model; one request per attempt, each answer cached."""

    name = "openai"
    seeds_by: Literal["pair", "report"] = "report"

    def __init__(self, settings: RewriteSettings) -> None:
        refuse_if_remote(settings)
        assert settings.model is not None
        self.model = settings.model
        self.concurrency = settings.concurrency
        self._settings = settings
        self._client = _open_client(settings)
        self._instructions = load_instructions(settings.instructions)
        self._cache = AnswerCache(settings.cache or default_cache_path())
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._in_flight: dict[str, asyncio.Future[str | Failure]] = {}
        self._failures_in_a_row = 0
        self._has_answered = False
        self._is_gone: BackendError | None = None

    async def answer(self, request: Request) -> Report | Failure:
        body = self._body(request)
        key = cache_key({"base_url": self._settings.base_url, **body, "variant": request.variant})
        kept = self._cache.get(key)
        if kept is None:
            kept = await self._asked_once(key, body)
        return kept if isinstance(kept, Failure) else Report(findings=tidied(kept))

    def _body(self, request: Request) -> dict[str, Any]:
        """What is sent; all of it, and the address, is in the cache's key."""
        return {
            "model": self.model,
            "messages": self._instructions.messages(request),
            "temperature": self._settings.temperature,
            "top_p": self._settings.top_p,
            "max_tokens": self._settings.max_tokens,
            # 31 bits: several servers read the seed as a signed 32-bit number.
            "seed": (request.seed + request.attempt) % 2**31,
        }

    async def _asked_once(self, key: str, body: dict[str, Any]) -> str | Failure:
        """The answer to a request that may be in flight already, for an equal report."""
        if key in self._in_flight:
            return await asyncio.shield(self._in_flight[key])
        future = asyncio.get_running_loop().create_future()
        self._in_flight[key] = future
        try:
            async with self._slots:
                outcome = await self._asked(key, body)
            if isinstance(outcome, str):
                self._cache.put(key, outcome)  # before anyone uses it
            future.set_result(outcome)
        except BaseException as error:
            # A cancelled request too: who waits for the same answer would otherwise wait for ever.
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen here, whether or not another task waits for it
            raise
        finally:
            del self._in_flight[key]
        return outcome

    async def _asked(self, key: str, body: dict[str, Any]) -> str | Failure:
        """The answer's text, after as many repeats as the settings allow."""
        if self._is_gone:
            raise self._is_gone  # what is still in the queue is not tried
        rng = Random(key)
        why = ""
        for repeat in range(self._settings.retries + 1):
            outcome, wait = await self._try(body)
            if isinstance(outcome, str):
                self._failures_in_a_row, self._has_answered = 0, True
                return outcome
            why = outcome.why
            if repeat < self._settings.retries:
                backoff = min(_FIRST_WAIT_SECONDS * 2**repeat, _LONGEST_WAIT_SECONDS)
                seconds = backoff * (0.5 + rng.random() / 2) if wait is None else wait
                log.info("language model: %s; asking again in %.1f s", why, seconds)
                await asyncio.sleep(seconds)
        self._failures_in_a_row += 1
        is_unreachable = why in (_NO_CONNECTION, _TIMEOUT) and not self._has_answered
        if is_unreachable or self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW:
            self._is_gone = BackendError(
                f"{self._settings.base_url} gives no answer ({why}) after "
                f"{self._settings.retries + 1} tries; check that the server runs, then run again: "
                "answers that are paid for are kept"
            )
            raise self._is_gone
        return Failure(why)

    async def _try(self, body: dict[str, Any]) -> tuple[str | Failure, float | None]:
        """One request: its text, or what went wrong and how long the server asks to wait."""
        import openai

        try:
            answer = await self._client.chat.completions.create(**body)
            return _text_of(answer), None
        except openai.RateLimitError as error:
            return Failure("429, too many requests"), _retry_after(error.response.headers)
        except openai.APITimeoutError:
            return Failure(_TIMEOUT), None
        except openai.APIConnectionError:
            return Failure(_NO_CONNECTION), None
        except openai.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in (408, 409):
                return Failure(f"status {error.status_code}"), _retry_after(error.response.headers)
            # The body may quote the request: only the status is told.
            raise BackendError(
                f"{self._settings.base_url} answers {error.status_code} "
                f"({_STATUS_HINTS.get(error.status_code, 'the request was refused')})"
            ) from None
        except (openai.APIError, json.JSONDecodeError, UnicodeDecodeError):
            return Failure("an answer that cannot be read"), None

    def instruction_hash(self, branch: Branch) -> str:
        return self._instructions.fingerprint(branch)

    async def close(self) -> None:
        await self._client.close()
        self._cache.close()


_STATUS_HINTS = {
    400: "it does not accept the request: check rewrite.model and the other openai settings",
    401: "the key is wrong: check the variable that rewrite.api_key_env names",
    403: "this key may not use the model: check rewrite.model",
    404: "it knows no such model or path: check rewrite.model and rewrite.base_url",
}


def _text_of(answer: Any) -> str | Failure:
    """The text of a chat completion; a failure where it has none."""
    try:
        choice = answer.choices[0]
        text = choice.message.content
    except (AttributeError, IndexError, TypeError):
        return Failure("an answer that cannot be read")
    if not isinstance(text, str) or not text.strip():
        return Failure("an empty answer")
    return text


def _retry_after(headers: Any) -> float | None:
    """Seconds that the server asks to wait, within bounds; None where it asks nothing."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)
