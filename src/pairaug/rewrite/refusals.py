"""Errors of servers with OpenAI's interface, and the response to each.

One report is dropped, the request is repeated, a parameter is left out of all requests, or the run
ends. A server's message is inspected but never passed on: it may quote the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pairaug.errors import BackendError
from pairaug.rewrite.backends import Failure
from pairaug.rewrite.known import LACK_OF_PARAMETER, Lack, LackError
from pairaug.rewrite.reasons import Reason
from pairaug.system.json_text import JSONTextError, parse_json

FILTERED = Failure("the server's content filter refuses it", Reason.CONTENT_FILTER)
TOO_LONG = Failure("instruction and report do not fit the model's window", Reason.CONTEXT_LENGTH)
TOO_MANY_REQUESTS = Failure("429, too many requests")
_STATUSES = frozenset(map(str, range(400, 600)))
_NO_VALID_JSON = Failure("the model wrote no valid JSON", Reason.UNREADABLE_ANSWER)

_QUOTA = (
    "insufficient_quota", "insufficient_balance", "insufficient balance", "billing_hard_limit",
    "billing_not_active", "credit balance", "insufficient credits", "out of credits",
    "payment required",
)  # fmt: skip
_FILTER = (
    "content_filter", "responsibleaipolicyviolation", "content_policy", "content management policy",
    "data_inspection_failed", "flagged", "moderation", "prohibited_content", "safety system",
)  # fmt: skip
_WINDOW = (
    "context_length_exceeded", "exceed_context_size", "context length", "context size",
    "context window", "maximum number of tokens", "too many tokens", "prompt is too long",
    "input is too long", "reduce the length", "max_new_tokens` must be",
    "must be at least 1, got -", "larger than the maximum context", "string_above_max_length",
    "n_ctx",
)  # fmt: skip
_SYSTEM = ("system role", "'system'", '"system"', "system message", "developer instruction")
_ROLES = ("roles must alternate", "only user and assistant", "only user, assistant")
_SCHEMA = ("response_format", "json_schema", "structured", "schema", "grammar", "guided")
_UNSUPPORTED = (
    "unsupported", "not support", "n't support", "unknown", "unrecognized", "unrecognised",
    "unexpected", "extra", "not permitted", "not allowed", "invalid parameter", "invalid argument",
    "no such", "additional propert", "deprecated", "cannot be set", "not a valid", "not enabled",
)  # fmt: skip


class ServerError(NamedTuple):
    """A server's message about an error, in lower case."""

    status: int
    text: str
    param: str = ""

    def says(self, *words: str) -> bool:
        """True if the message contains one of `words`."""
        return any(word in self.text for word in words)


def error_of_response(status: int, content: bytes) -> ServerError:
    """The error in a response with a status other than 200."""
    try:
        answer = parse_json(content)
    except JSONTextError:
        return ServerError(status, content[:10_000].decode("utf-8", "replace").lower())
    answer = answer[0] if isinstance(answer, list) and answer else answer  # Gemini's is in a list
    return error_in_answer(answer, status) if isinstance(answer, dict) else ServerError(status, "")


def error_in_answer(answer: Mapping[str, Any], status: int | None) -> ServerError:
    """The error in a JSON object; if `status` is None, it is read from the object."""
    error = answer.get("error") or answer
    if not isinstance(error, dict):
        return ServerError(status or 200, str(error).lower())
    code = str(error.get("code"))
    if status is None:
        status = int(code) if code in _STATUSES else 200
    words = " ".join(_texts_in({**error, "detail": answer.get("detail")}))
    return ServerError(status, words.lower(), str(error.get("param") or "").lower())


def _texts_in(value: Any) -> list[str]:
    """All texts in a value, keys included: servers put the message in different fields."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts_in(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts_in(part)]
    return [value] if isinstance(value, str) else []


def failure_of(error: ServerError, body: Mapping[str, Any], host: str) -> Failure:
    """The failure of one request from a server's error; a `BACKEND_ERROR` may be repeated.

    Raises `BackendError` if no request can succeed, and `LackError` if the server does not support
    a part of `body` that can be left out.
    """
    status = error.status
    if status == 402 or error.says(*_QUOTA):
        raise BackendError(
            f"{host} answers {status}: the quota or the credit of this key is used up; answers "
            "that are paid for are kept; add credit, then run again"
        )
    if status == 429:
        return TOO_MANY_REQUESTS
    if status in (400, 403, 422, 451) and error.says(*_FILTER):
        return FILTERED
    if (status in (200, 400, 413, 422, 500) and error.says(*_WINDOW)) or status == 413:
        return TOO_LONG
    if status == 400 and error.says("json_validate_failed", "failed_generation"):
        return _NO_VALID_JSON
    if status in (200, 400, 422, 500, 501):
        _refuse_lack(error, body, host)
    if status >= 500 or status in (200, 408, 409, 425):
        return Failure(f"status {status}" if status != 200 else "an error in place of an answer")
    hint = _STATUS_HINTS.get(status, "the request was refused")
    raise BackendError(f"{host} answers {status} ({hint})")


def _refuse_lack(error: ServerError, body: Mapping[str, Any], host: str) -> None:
    """Raise `LackError` if the error names a part of `body` that can be left out."""
    is_unsupported = error.says(*_UNSUPPORTED)
    if is_unsupported and error.param in LACK_OF_PARAMETER and error.param in body:
        raise LackError(LACK_OF_PARAMETER[error.param], host, error.status)
    if body["messages"][0]["role"] == "system" and (
        error.says(*_ROLES) or (is_unsupported and error.says(*_SYSTEM))
    ):
        raise LackError(Lack.SYSTEM, host, error.status)
    if "response_format" in body and error.says(*_SCHEMA):
        raise LackError(Lack.SCHEMA, host, error.status)
    for name, lack in LACK_OF_PARAMETER.items():
        is_named = re.search(rf"(?<!\w){name}(?!\w)", error.text)
        if is_unsupported and is_named and name in body:
            raise LackError(lack, host, error.status)


_STATUS_HINTS = {
    400: "it does not accept the request: check rewrite.model and the other request settings",
    401: "the key is wrong: check what rewrite.api_key_env or rewrite.api_key_file names",
    403: "this key may not use the model: check rewrite.model",
    404: "the model or path does not exist: check rewrite.model and rewrite.base_url, or "
    "rewrite.azure",
}
