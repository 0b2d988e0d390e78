"""All documented answers, refusals and failures of models are recognized."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pairaug.pair import Pair
from pairaug.rewrite.backends import Failure
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.completion import Completion, read_completion
from pairaug.rewrite.reasons import Reason
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
SOURCE = "Small left pleural effusion. No pneumothorax."
REVERSED = "No pleural effusion. Large right pneumothorax."
USAGE = {"prompt_tokens": 500, "completion_tokens": 300, "total_tokens": 800}


def body_of(content: Any, finish_reason: Any = "stop", **message: Any) -> bytes:
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **message},
    }
    return json.dumps({"id": "c", "choices": [choice], "usage": USAGE}).encode()


def text_part(text: str, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, "text": text}


@pytest.mark.parametrize(
    "content",
    [
        REVERSED,
        [text_part(REVERSED)],
        [{"type": "thinking", "thinking": [text_part("First")]}, text_part(REVERSED)],
        [text_part(REVERSED[:10], "output_text"), text_part(REVERSED[10:], "output_text")],
        [{"type": "reasoning", "text": "First"}, text_part(REVERSED)],
    ],
)
@pytest.mark.parametrize("ended", ["stop", "eos_token", "end_turn", None, "STOP"])
def test_a_text_is_read_from_any_form_of_content(content: Any, ended: Any):
    outcome, usage = read_completion(body_of(content, ended, reasoning_content="First"))
    assert outcome == Completion(REVERSED)
    assert usage == Usage(1, 500, 300)


DECLINED: list[tuple[str, bytes, Reason]] = [
    ("cut", body_of(REVERSED[:-8], "length"), Reason.CUT),
    ("cut, with another name", body_of(REVERSED[:-8], "MAX_TOKENS"), Reason.CUT),
    ("cut, by the window", body_of(REVERSED[:-8], "model_length"), Reason.CUT),
    ("only thoughts fitted", body_of(None, "length", reasoning="First"), Reason.CUT),
    ("filtered", body_of(None, "content_filter"), Reason.CONTENT_FILTER),
    ("filtered in half", body_of("No pleural", "content_filter"), Reason.CONTENT_FILTER),
    ("Gemini's filter", body_of(None, "content_filter: RECITATION"), Reason.CONTENT_FILTER),
    ("Gemini's name", body_of(None, "SAFETY"), Reason.CONTENT_FILTER),
    ("a refusal", body_of(None, refusal="I will not."), Reason.REFUSAL),
    ("a refusal beside text", body_of(REVERSED, refusal="I will not."), Reason.REFUSAL),
    ("a refusing part", body_of([{"type": "refusal", "refusal": "No."}]), Reason.REFUSAL),
    ("Anthropic's refusal", body_of("", "refusal"), Reason.REFUSAL),
    ("a tool", body_of(None, "tool_calls", tool_calls=[{"id": "1"}]), Reason.TOOL_CALL),
    ("a tool call marked as stop", body_of("", tool_calls=[{"id": "1"}]), Reason.TOOL_CALL),
    ("a function", body_of(None, "function_call", function_call={"name": "f"}), Reason.TOOL_CALL),
    ("nothing", body_of(""), Reason.EMPTY_ANSWER),
    ("null", body_of(None), Reason.EMPTY_ANSWER),
    ("no parts", body_of([]), Reason.EMPTY_ANSWER),
    ("only thoughts", body_of(None, reasoning_content="First"), Reason.EMPTY_ANSWER),
    ("only a part of thoughts", body_of([{"type": "thinking"}]), Reason.EMPTY_ANSWER),
    ("broken off", body_of(REVERSED[:-8], "abort"), Reason.BACKEND_ERROR),
    ("an unknown end", body_of(REVERSED[:-8], "quokka"), Reason.BACKEND_ERROR),
]  # fmt: skip


@pytest.mark.parametrize(("_", "body", "reason"), DECLINED)
def test_failures_have_a_reason_and_usage(_: str, body: bytes, reason: Reason):
    outcome, usage = read_completion(body)
    assert isinstance(outcome, Failure)
    assert outcome.reason == reason
    assert usage == Usage(1, 500, 300)
    assert "pleural" not in outcome.why


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"42", b'"text"', b"<html>gateway</html>", b"{}", b'{"choices": []}',
        b'{"choices": [null]}', b'{"choices": {"0": 1}}', b'{"choices": [{"text": "No edema."}]}',
        b'{"choices": [{"message": "No edema."}]}', b"\xff\xfe\x00", b'{"choices": [{"ind',
        b"[" * 5000, b'{"choices": ' * 5000, b'{"choices": [{"message": {"content": "\\ud800"}}]}',
        body_of(REVERSED).replace(b"500", b"NaN"),
    ],
)  # fmt: skip
def test_an_invalid_response_is_one_failed_attempt(body: bytes):
    outcome, _ = read_completion(body)
    assert isinstance(outcome, Failure)
    assert outcome.reason == Reason.UNREADABLE_ANSWER


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (USAGE, Usage(1, 500, 300)),
        ({"prompt_tokens": 500, "completion_tokens": 20, "total_tokens": 800}, Usage(1, 500, 300)),
        ({"input_tokens": 7, "output_tokens": 5}, Usage(1, 7, 5)),
        ({"prompt_tokens": 7}, Usage(1, 7, 0)),
        ({"prompt_tokens": -7, "completion_tokens": 10**30}, None),
        ({"prompt_tokens": "many"}, None),
        ({}, None),
        (None, None),
        ("free", None),
    ],
)
def test_usage_is_what_the_server_counts(stated: Any, expected: Usage | None):
    body = json.loads(body_of(REVERSED))
    body["usage"] = stated
    assert read_completion(json.dumps(body).encode())[1] == expected


@pytest.mark.parametrize(
    ("body", "reason", "num_asked"),
    [
        # Requested with another seed, `attempts` times; or once, if that does not help.
        (body_of(REVERSED[:-8], "length"), "cut", 3),
        (body_of(None, "length", reasoning="First"), "cut", 1),
        (body_of(None, refusal="I will not."), "refusal", 1),
        (body_of(None, "content_filter"), "content_filter", 1),
        (body_of(None, "tool_calls", tool_calls=[{"id": "1"}]), "tool_call", 3),
        (body_of(None, reasoning_content="First"), "empty_answer", 3),
        (body_of("<think>First"), "empty_answer", 3),
        (body_of('{"report": ' + "[" * 5000), "unreadable_answer", 3),
        # The same request, with `retries` repeats.
        (body_of(""), "empty_answer", 2),
        (b'{"choices": ' * 5000, "unreadable_answer", 2),
        (b"<html>", "unreadable_answer", 2),
        (b"\xff\xfe", "unreadable_answer", 2),
    ],
)  # fmt: skip
def test_each_failure_is_a_drop_after_useful_retries(
    rewrite, chat_server: ChatServer, make_pair: MakePair, body: bytes, reason: str, num_asked: int
):
    chat_server.answer = lambda request, number: Reply(body=body)
    reported: list[str] = []
    (inter,) = rewrite(
        [make_pair(SOURCE)],
        branches=["inter"],
        attempts=3,
        retries=1,
        report_status=reported.append,
    )
    assert inter.drop is not None
    assert inter.drop.reason == reason
    assert len(chat_server.requests) == num_asked
    if b"usage" in body:
        assert reported[-1].endswith(f", {800 * num_asked:,} tokens")
    assert len({request["seed"] for request in chat_server.requests}) in (1, num_asked)


def test_truncated_text_is_requested_again_and_never_accepted(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    cut = body_of("No pleural effusion. Large right pneumo", "length")
    chat_server.answer = lambda request, number: Reply(body=cut) if number == 1 else Reply(REVERSED)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"])
    assert inter.drop is None
    assert inter.report.text == REVERSED
    assert inter.trace["rewrite"]["attempts"] == 2
    assert "cut" in chat_server.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_answer_is_not_read_to_its_end(
    rewrite, chat_server: ChatServer, make_pair: MakePair, packed: bool
):
    headers = {"Content-Encoding": "gzip"} if packed else {}
    body = b"\x1f\x8b" if packed else body_of("effusion " * 1_000_000)
    chat_server.answer = lambda request, number: Reply(body=body, headers=headers)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"], retries=0)
    assert inter.drop is not None
    assert inter.drop.reason == "unreadable_answer"
    assert chat_server.headers[0]["accept-encoding"] == "identity"
