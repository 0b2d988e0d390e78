"""Reading any response gives a text, a failure, or an error for the user."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from pairaug.errors import BackendError
from pairaug.pair import Report
from pairaug.rewrite.backends import Answer, Failure
from pairaug.rewrite.completion import Completion, read_completion
from pairaug.rewrite.known import LackError
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.refusals import ServerError, error_of_response, failure_of
from pairaug.rewrite.structured import read_answer

BODY: dict[str, Any] = {
    "messages": [{"role": "system", "content": "Rewrite."}, {"role": "user", "content": "x"}],
    "max_tokens": 300,
    "seed": 1,
    "response_format": {},
}
NAMES = st.sampled_from(
    ["choices", "message", "content", "finish_reason", "usage", "error", "code", "type", "param",
     "refusal", "tool_calls", "text", "prompt_tokens", "total_tokens", "detail", "report"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["stop", "length", "content_filter", "seed is not supported", "system role"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
MARKS = st.sampled_from(
    ["<think>", "</think>", "[THINK]", "<|channel|>", "final", "<|message|>", "<answer>", "```",
     '{"report": ', '"', "{", "[", "}", "\\ud800", "No edema. ", ",", "assistantfinal", "analysis"]
)  # fmt: skip


def is_read(outcome: object) -> bool:
    if isinstance(outcome, Failure):
        return isinstance(outcome.reason, Reason)
    return isinstance(outcome, Completion) and isinstance(
        read_answer(outcome.text), Answer | Failure
    )


@given(st.binary() | VALUES.map(lambda value: json.dumps({"choices": [value]}).encode()))
@example(b'{"error": [1]}')
@example(b'{"choices": [{"error": true}]}')
def test_any_body(content: bytes):
    outcome, usage = read_completion(content)
    assert usage is None or min(usage) >= 0
    assert isinstance(outcome, ServerError) or is_read(outcome)


@given(VALUES, st.sampled_from(["stop", "length", None, 7]))
def test_any_message(message: Any, ended: Any):
    choice = {"message": message, "finish_reason": ended}
    outcome, _ = read_completion(json.dumps({"choices": [choice]}).encode())
    assert is_read(outcome)


@given(st.integers(300, 599), st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_error(status: int, content: bytes):
    with contextlib.suppress(BackendError, LackError):
        assert isinstance(failure_of(error_of_response(status, content), BODY, "host"), Failure)


@given(st.lists(MARKS | st.text(max_size=5), max_size=30).map("".join))
@example('{"report": ' + "[" * 100_000)
@example("{" * 100_000)
@example('{"a":' * 100_000)
@example("<think>" * 50_000)
@example("<answer>" + " " * 200_000)
def test_any_text(raw: str):
    answer = read_answer(raw)
    if isinstance(answer, Answer):
        assert isinstance(answer.report, Report)
        answer.report.text.encode()
