"""Errors of servers: the end of the run, a drop, a retry, or a parameter left out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairaug.errors import BackendError
from pairaug.pair import Pair
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
SOURCE = "Small left pleural effusion. No pneumothorax."
REVERSED = "No pleural effusion. Large right pneumothorax."


def error(status: int, message: str, code: Any = None, **more: Any) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "code": code, **more}
    return Reply(status=status, body=json.dumps({"error": error}).encode())


def pairs_of(make_pair: MakePair, number: int) -> list[Pair]:
    return [
        make_pair(f"{k} cm left pleural effusion. No pneumothorax.", str(k)) for k in range(number)
    ]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error(429, "You exceeded your current quota.", "insufficient_quota"), "quota or the cred"),
        (error(429, "Insufficient Balance", "insufficient_balance"), "quota or the credit"),
        (error(402, "Payment required"), "quota or the credit"),
        (error(400, "Your credit balance is too low to access the API."), "quota or the credit"),
        (error(401, "Incorrect API key provided: sk-quokka."), "the key is wrong"),
        (error(403, "Project does not have access to the model"), "may not use the model"),
        (error(404, "The model does not exist", "model_not_found"), "model or path does not"),
        (
            Reply(status=404, body=b'{"object": "error", "message": "quokka"}'),
            "model or path does not",
        ),
        (Reply(body=b'{"error": {"message": "quokka", "code": 401}}'), "the key is wrong"),
        (Reply(body=b'{"error": {"message": "quokka", "code": "insufficient_quota"}}'), "quota"),
    ],
)
def test_permanent_errors_end_the_run_at_once(
    rewrite, chat_server: ChatServer, make_pair: MakePair, reply: Reply, message: str
):
    chat_server.answer = lambda request, number: reply
    with pytest.raises(BackendError, match=message) as caught:
        rewrite(pairs_of(make_pair, 3), concurrency=1)
    assert len(chat_server.requests) == 1
    assert "quokka" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(400, "Filtered.", "content_filter"), "content_filter"),
        (
            error(
                400, "The response was filtered.", None,
                innererror={
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_result": {"violence": {"filtered": True}},
                },
            ),
            "content_filter",
        ),
        (error(400, "no", "content_policy_violation"), "content_filter"),
        (error(403, "Input was flagged by moderation"), "content_filter"),
        (error(400, "This model's maximum context length is 64 tokens."), "context_length"),
        (error(400, "no", "context_length_exceeded"), "context_length"),
        (error(400, "no", 400, type="exceed_context_size_error", n_ctx=64), "context_length"),
        (error(500, "the request exceeds the available context size"), "context_length"),
        (error(400, "max_tokens must be at least 1, got -186."), "context_length"),
        (error(422, "`inputs` tokens + `max_new_tokens` must be <= 64"), "context_length"),
        (Reply(status=413, body=b""), "context_length"),
    ],
)  # fmt: skip
def test_an_error_of_one_report_is_one_drop(
    rewrite, chat_server: ChatServer, make_pair: MakePair, reply: Reply, reason: str
):
    chat_server.answer = lambda request, number: reply if number == 2 else Reply(REVERSED)
    children = rewrite(pairs_of(make_pair, 3), branches=["inter"], concurrency=1)
    assert [child.drop and child.drop.reason for child in children] == [None, reason, None]
    assert len(chat_server.requests) == 3


@pytest.mark.parametrize(
    "reply",
    [
        error(529, "Overloaded"),
        error(408, "late"),
        error(503, "loading the model"),
        error(400, "Failed to generate JSON.", "json_validate_failed"),
        Reply(body=b'{"error": {"message": "slow down", "code": 429}}'),
        Reply(body=b'{"error": "upstream failed"}'),
        Reply(body=b'{"object": "error", "message": "engine died", "code": 500}'),
        Reply(body=b'{"choices": [{"error": {"code": 502}, "message": {"content": "No ed"}}]}'),
    ],
)
def test_temporary_errors_are_retried(
    rewrite, chat_server: ChatServer, make_pair: MakePair, reply: Reply
):
    chat_server.answer = lambda request, number: reply if number <= 2 else Reply(REVERSED)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"])
    assert inter.drop is None
    assert len(chat_server.requests) == 3
    assert len({json.dumps(request) for request in chat_server.requests}) == 1


def test_a_rate_limit_that_lasts_ends_the_run_and_drops_nothing(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    busy = Reply(status=429, body=b"{}", headers={"Retry-After": "0"})
    chat_server.answer = lambda request, number: busy
    with pytest.raises(BackendError, match=r"still answers 429.* after 3 attempts.*concurrency"):
        rewrite(pairs_of(make_pair, 3), retries=2, concurrency=1)
    assert len(chat_server.requests) == 3


def test_a_slow_answer_times_out(rewrite, chat_server: ChatServer, make_pair: MakePair):
    chat_server.answer = lambda request, number: Reply(REVERSED, drips=True)
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"gives no answer \(no answer in time\)"):
        rewrite([make_pair(SOURCE)], branches=["inter"], retries=1, timeout_seconds=0.5)
    assert time.monotonic() - started < 5  # each byte arrives in time, the whole answer would not


def test_a_window_that_no_report_fits_ends_the_run(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    chat_server.answer = lambda request, number: error(400, "maximum context length is 64")
    with pytest.raises(BackendError, match=r"do not fit the model's window.*rewrite\.max_tokens"):
        rewrite(pairs_of(make_pair, 20), concurrency=1)
    assert len(chat_server.requests) == 8


def answering_without(*names: str, message: str = "Unsupported parameter: '{}'") -> Callable:
    """A server that rejects requests with one of `names`, one name at a time."""

    def answer(request: dict[str, Any], number: int) -> Reply:
        for name in names:
            if name in request:
                return error(400, message.format(name), "unsupported_parameter", param=name)
        return Reply(REVERSED)

    return answer


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("seed",), "Unsupported parameter: '{}'"),
        (("seed", "top_p"), "Unknown field: {}"),
        (("temperature",), "Unsupported value: '{}' does not support 0.5 with this model."),
        (("max_tokens",), "'{}' is not supported. Use 'max_completion_tokens' instead."),
        (("max_tokens", "max_completion_tokens"), "Unrecognized request argument: {}"),
        (("response_format", "seed", "temperature", "top_p"), "Extra inputs: {} not permitted"),
    ],
)
def test_unsupported_parameters_are_left_out(
    rewrite, chat_server: ChatServer, make_pair: MakePair, names: tuple[str, ...], message: str,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    chat_server.answer = answering_without(*names, message=message)
    pairs = pairs_of(make_pair, 4)
    children = rewrite(pairs, branches=["inter"], concurrency=1)
    assert all(child.drop is None for child in children)
    assert len(chat_server.requests) == 4 + len(names)  # found once, and kept
    assert not set(names) & set(chat_server.requests[-1])
    if names == ("max_tokens",):
        assert chat_server.requests[-1]["max_completion_tokens"] == 300
    warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warnings) == len(names)
    # The lacks are cached with the answers: no request is sent, or rejected, again.
    assert rewrite(pairs, branches=["inter"], concurrency=1) == children
    assert len(chat_server.requests) == 4 + len(names)


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "System role not supported"),
        Reply(status=400, body=b'{"object": "error", "message": "System role not supported"}'),
        error(500, "Jinja Exception: System role not supported"),
        error(400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        error(400, "Only user and assistant roles are supported!"),
        error(400, "'messages[0].role' does not support 'system' with this model."),
        error(400, "Developer instruction is not enabled for models/quokka"),
    ],
)
def test_a_server_without_system_messages(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path, refusal: Reply
):
    def answer(request: dict[str, Any], number: int) -> Reply:
        has_system = request["messages"][0]["role"] == "system"
        return refusal if has_system else Reply(REVERSED)

    chat_server.answer = answer
    pairs = pairs_of(make_pair, 3)
    children = rewrite(pairs, branches=["inter"], concurrency=1)
    assert all(child.drop is None for child in children)
    assert len(chat_server.requests) == 4
    first, fold = chat_server.requests[:2]
    (message,) = fold["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith(first["messages"][0]["content"] + "\n\n")
    assert message["content"].endswith(" cm left pleural effusion. No pneumothorax.")
    assert "response_format" in fold  # it rejected the role, not the schema
    # An answer to the merged message is cached under another key.
    chat_server.answer = lambda request, number: Reply(REVERSED)
    other = tmp_path / "other"
    rewrite(pairs, branches=["inter"], concurrency=1, folder=other)
    assert len(chat_server.requests) == 7
