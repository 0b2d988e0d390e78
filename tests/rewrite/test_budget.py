"""A run's spending: counted, limited, reported, and logged in the audit without text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pairaug.errors import SettingsError
from pairaug.pair import Pair
from pairaug.rewrite.audit import RequestLog
from pairaug.rewrite.budget import Budget, BudgetSpentError, in_words, rough_tokens
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.settings import BudgetSettings
from pairaug.rewrite.status import Status
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
REVERSED = "No pleural effusion. Large right pneumothorax."
PRICES = {"price_input": 1.0, "price_output": 10.0}


def pairs_of(make_pair: MakePair, number: int = 20) -> list[Pair]:
    return [
        make_pair(f"{k} cm left pangolin effusion. No pneumothorax.", str(k)) for k in range(number)
    ]


def test_a_budget_stops_the_run_and_a_higher_one_resumes_it(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    chat_server.answer = lambda request, number: Reply(REVERSED, delay_seconds=0.01)
    pairs = pairs_of(make_pair)
    ask: dict[str, Any] = {"branches": ["inter"], "max_tokens": 100, "folder": tmp_path}
    with pytest.raises(BudgetSpentError, match=r"rewrite\.budget\.max_tokens is 2,500, and"):
        rewrite(pairs, budget={"max_tokens": 2500}, concurrency=2, **ask)
    num_paid = len(chat_server.requests)
    assert 5 <= num_paid < 20
    assert num_paid * 120 <= 2500
    with pytest.raises(BudgetSpentError):  # spending of the same run adds up
        rewrite(pairs, budget={"max_tokens": 2500}, concurrency=2, **ask)
    assert len(chat_server.requests) * 120 <= 2500
    children = rewrite(pairs, budget={"max_tokens": 40000}, concurrency=2, **ask)
    assert len(children) == 20
    assert len(chat_server.requests) == 20  # no request was repeated, none was lost in stopping


def test_another_run_has_its_own_budget(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    chat_server.answer = lambda request, number: Reply(REVERSED)
    pairs = pairs_of(make_pair, 4)
    ask: dict[str, Any] = {"branches": ["inter"], "concurrency": 1}
    rewrite(pairs, folder=tmp_path / "one", **ask)
    reserved = round(1.5 * rough_tokens(chat_server.requests[0]["messages"])) + 300
    # Four answers of 120 tokens fit, but not a fifth.
    budget = {"max_tokens": 3 * 120 + reserved + 60}
    rewrite(pairs, seed=1, folder=tmp_path / "two", budget=budget, **ask)
    with pytest.raises(BudgetSpentError):
        rewrite(pairs, seed=2, folder=tmp_path / "two", budget=budget, **ask)
    rewrite(pairs, seed=2, folder=tmp_path / "three", budget=budget, **ask)


USAGE = {"prompt_tokens": 500, "completion_tokens": 300, "total_tokens": 800}


def billed(content: str | None, finish_reason: str, **message: Any) -> Reply:
    choice = {"message": {"content": content, **message}, "finish_reason": finish_reason}
    return Reply(body=json.dumps({"choices": [choice], "usage": USAGE}).encode())


@pytest.mark.parametrize(
    "reply",
    [
        billed(None, "length", reasoning="First"),
        billed("No pleural effus", "length"),
        billed("", "stop"),
        billed(None, "stop", refusal="I will not."),
        billed(None, "content_filter"),
        billed(None, "tool_calls", tool_calls=[{"id": "1"}]),
        billed("<think>First", "stop"),
        Reply(body=json.dumps({"choices": [], "usage": USAGE}).encode()),
        Reply(body=json.dumps({"error": {"code": 500}, "usage": USAGE}).encode()),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_billed_answers_without_usable_text_are_counted(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path, reply: Reply,
    concurrency: int,
):  # fmt: skip
    chat_server.answer = lambda request, number: reply
    ask: dict[str, Any] = {
        "budget": {"max_tokens": 4000}, "retries": 2, "concurrency": concurrency,
        "folder": tmp_path, "fallback": "rules",
    }  # fmt: skip
    pairs = pairs_of(make_pair, 40)
    with pytest.raises(BudgetSpentError, match=r"rewrite\.budget\.max_tokens is 4,000, and"):
        rewrite(pairs, **ask)
    num_asked = len(chat_server.requests)
    assert 3 <= num_asked <= 4000 // 800 + concurrency
    with pytest.raises(BudgetSpentError):  # the spending is on disk, whatever the outcome
        rewrite(pairs, **ask)
    assert len(chat_server.requests) <= num_asked + 1


def test_cached_answers_are_free(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    chat_server.answer = lambda request, number: Reply(REVERSED)
    reported: list[str] = []
    for _ in range(2):
        rewrite(
            pairs_of(make_pair, 4),
            branches=["inter"],
            folder=tmp_path,
            report_status=reported.append,
        )
        assert reported[-1] == "100% accepted, 480 tokens"


def test_every_answered_attempt_is_counted(rewrite, chat_server: ChatServer, make_pair: MakePair):
    empty = billed("", "stop")
    chat_server.answer = lambda request, number: empty if number <= 2 else Reply(REVERSED)
    reported: list[str] = []
    rewrite(pairs_of(make_pair, 1), branches=["inter"], report_status=reported.append)
    assert reported[-1] == "100% accepted, 1,720 tokens"


@pytest.mark.parametrize("reply", [Reply(REVERSED, cuts_off=True), Reply(body=b"<html>")])
def test_a_lost_answer_is_counted_by_estimate(
    rewrite, chat_server: ChatServer, make_pair: MakePair, reply: Reply
):
    chat_server.answer = lambda request, number: reply
    reported: list[str] = []
    rewrite(pairs_of(make_pair, 1), branches=["inter"], retries=0, report_status=reported.append)
    num_tokens = int(reported[-1].split(", ", 1)[1].replace(",", "").split()[0])
    assert 200 < num_tokens < 800


def test_a_cost_needs_prices_and_is_reported():
    with pytest.raises(ValidationError, match="max_cost needs price_input and price_output"):
        BudgetSettings(max_cost=1.0)
    settings = BudgetSettings(max_cost=0.01, **PRICES)
    assert in_words(settings, Usage(1, 1000, 200)) == "1,200 tokens, 0.003 USD"
    assert in_words(BudgetSettings(), Usage(1, 1000, 200)) == "1,200 tokens"
    budget = Budget(settings, Usage(3, 1000, 600))
    messages = [{"role": "user", "content": "word " * 40}]
    reserved = budget.reserve(messages, 200)
    with pytest.raises(BudgetSpentError, match=r"max_cost is 0\.01, and 1,600 tokens, 0\.007 USD"):
        budget.reserve(messages, 200)
    budget.settle(reserved, Usage(1, 50, 20))
    budget.reserve(messages, 200)  # room again: less was used than was reserved


def test_usage_without_counts_is_estimated(rewrite, chat_server: ChatServer, make_pair: MakePair):
    body = {"choices": [{"message": {"content": REVERSED}, "finish_reason": "stop"}]}
    chat_server.answer = lambda request, number: Reply(body=json.dumps(body).encode())
    reported: list[str] = []
    rewrite(pairs_of(make_pair, 1), branches=["inter"], report_status=reported.append)
    num_tokens = int(reported[-1].split(", ", 1)[1].replace(",", "").split()[0])
    assert 200 < num_tokens < 800


def test_progress_reports_acceptance_and_spending(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    answers = [REVERSED, "The effusion is no quokka."]
    chat_server.answer = lambda request, number: Reply(answers[number % 2])
    reported: list[str] = []
    rewrite(
        pairs_of(make_pair, 4),
        branches=["inter"],
        attempts=1,
        report_status=reported.append,
        budget=PRICES,
    )
    assert reported[-1] == "50% accepted, 480 tokens, 0.0012 USD"


def test_status_is_reported_at_intervals():
    now, reported = [0.0], []
    status = Status(reported.append, lambda: now[0])
    for _ in range(5):
        status.count(True)
        status.report("")
        now[0] += 0.4
    assert reported == ["100% accepted"]
    status.report("", now=True)
    assert len(reported) == 2


def test_the_audit_has_times_hosts_and_counts(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    busy = Reply(status=429, body=b"{}", headers={"Retry-After": "0"})
    chat_server.answer = lambda request, number: busy if number == 1 else Reply(REVERSED)
    rewrite(pairs_of(make_pair, 3), branches=["inter"], folder=tmp_path, concurrency=1)
    text = (tmp_path / "audit.jsonl").read_text()
    opened, closed = map(json.loads, text.splitlines())
    assert opened["event"] == "opened"
    assert opened["to"] == "127.0.0.1"
    assert (opened["backend"], opened["model"]) == ("openai", "some-model")
    assert closed["event"] == "closed"
    assert closed["requests"] == 4
    assert closed["answers"] == 3
    assert (closed["input_tokens"], closed["output_tokens"]) == (300, 60)
    assert opened["time"] <= closed["time"]
    for word in ("pangolin", "effusion", "set/", "patient"):
        assert word not in text


def test_an_unwritable_audit_is_an_error_before_sending(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"rewrite\.audit cannot be written"):
        rewrite(pairs_of(make_pair, 1), audit=tmp_path / "file" / "audit.jsonl")
    assert chat_server.requests == []


def test_a_long_run_is_audited_continuously(tmp_path: Path):
    now = [0.0]
    audit = RequestLog(tmp_path / "audit.jsonl", lambda: now[0], to="somewhere")
    for _ in range(30):
        audit.count(requests=1)
        now[0] += 1
    audit.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["opened", "sent", "sent", "closed"]
    assert sum(line.get("requests", 0) for line in lines) == 30
