"""Answers as JSON: requested by a schema, read from any answer, replaced by text if refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

from pairaug.errors import BackendError
from pairaug.pair import Pair
from pairaug.rewrite.backends import Claim
from pairaug.rewrite.structured import read_answer
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
SOURCE = "Small left pleural effusion. No pneumothorax."
REVERSED = "No pleural effusion. Large right pneumothorax."
CHANGE = {"finding": "pleural effusion", "from": "present", "to": "absent"}
WHOLE = json.dumps({"report": REVERSED, "changes": [CHANGE]})


@pytest.mark.parametrize(
    "raw",
    [
        WHOLE,
        f"```json\n{WHOLE}\n```",
        f"Here is the report:\n{WHOLE}\nI hope that it helps.",
        f"<think>{{An effusion}} is to go.</think>{WHOLE}",
        WHOLE.replace("}]}", "},]}"),
        json.dumps({"thoughts": "none", "report": REVERSED}),
        f'{{"report": "{REVERSED.replace(" Large", chr(10) + "Large")}", "changes": []}}',
        REVERSED,
        f'"{REVERSED}"',
        f"```\n{REVERSED}\n```",
    ],
)
def test_the_report_is_found(raw: str):
    assert read_answer(raw).report.text == REVERSED


@pytest.mark.parametrize("raw", [WHOLE[:40], '{"text": "No edema."}', '{"report": 3}', "{}"])
def test_unreadable_answers_are_left_for_the_check(raw: str):
    assert "{" in read_answer(raw).report.text


def test_only_claims_in_the_schemas_words_are_kept():
    changes = [
        CHANGE,
        {"finding": "Pleural Effusion", "from": "Mild", "to": "severe"},
        {"finding": "Mrs Quokka's effusion", "from": "present", "to": "absent"},
        {"finding": "edema", "from": "a quokka", "to": "absent"},
        "edema",
    ]
    claims = read_answer(json.dumps({"report": REVERSED, "changes": changes})).claims
    assert claims == (
        Claim("pleural effusion", "present", "absent"),
        Claim("pleural effusion", "mild", "severe"),
    )
    assert read_answer(json.dumps({"report": REVERSED, "changes": "all"})).claims == ()


def test_a_schema_is_sent_and_claims_are_traced(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    chat_server.answer = lambda request, number: Reply(WHOLE)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"])
    sent = chat_server.requests[0]
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["report", "changes"]
    assert "one JSON object" in sent["messages"][0]["content"]
    assert inter.report.text == REVERSED
    entries = inter.trace["rewrite"]
    assert entries["claims"] == [
        {"finding": "pleural effusion", "before": "present", "after": "absent"}
    ]
    assert {"finding": "pneumothorax", "side": "right", "detail": None, "from": "absent",
            "to": "present"} in entries["changes"]  # fmt: skip


def test_an_incomplete_object_is_requested_again(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    chat_server.answer = lambda request, number: Reply(WHOLE[:40] if number == 1 else WHOLE)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"])
    assert inter.drop is None
    assert inter.trace["rewrite"]["attempts"] == 2


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_without_schemas_gets_text_requests(
    rewrite, chat_server: ChatServer, make_pair: MakePair, caplog: pytest.LogCaptureFixture,
    status: int,
):  # fmt: skip
    refusal = json.dumps({"error": {"message": f"unknown field response_format; {SOURCE}"}})

    def answer(request, number: int) -> Reply:
        has_schema = "response_format" in request
        return Reply(status=status, body=refusal.encode()) if has_schema else Reply(REVERSED)

    chat_server.answer = answer
    texts = [f"{k} cm left pleural effusion. No pneumothorax." for k in range(6)]
    pairs = [make_pair(text, str(index)) for index, text in enumerate(texts)]
    with caplog.at_level(logging.INFO):
        children = rewrite(pairs, branches=["inter"], concurrency=1)
    assert all(child.drop is None for child in children)
    assert sum("response_format" in request for request in chat_server.requests) == 1
    assert "report alone" in chat_server.requests[-1]["messages"][0]["content"]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"127.0.0.1 answers {status} to a request with a schema; "
        "the report alone is asked for instead"
    ]
    assert "effusion" not in caplog.text
    # Cached answers are found, though a new run does not know the server's lacks.
    num_before = len(chat_server.requests)
    assert rewrite(pairs, branches=["inter"]) == children
    assert len(chat_server.requests) == num_before


def test_an_unsupported_schema_ends_a_run_with_json(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    refusal = b'{"error": {"message": "json_schema is not supported"}}'
    chat_server.answer = lambda request, number: Reply(status=400, body=refusal)
    with pytest.raises(BackendError, match=r"rewrite\.answer_format"):
        rewrite([make_pair(SOURCE)], branches=["inter"], answer_format="json")


def test_text_is_requested_without_a_schema(rewrite, chat_server: ChatServer, make_pair: MakePair):
    chat_server.answer = lambda request, number: Reply(REVERSED)
    rewrite([make_pair(SOURCE)], branches=["inter"], answer_format="text")
    assert "response_format" not in chat_server.requests[0]
