"""The backend for OpenAI's interface, against a server on this machine that misbehaves."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from pairaug.errors import BackendError
from pairaug.pair import Pair
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite.openai_backend import _retry_after
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
SOURCE = "Small left pleural effusion. No pneumothorax."
REVERSED = "No pleural effusion. Large right pneumothorax."
CHANGED = "Large left pleural effusion. No pneumothorax."


def is_inter(request: dict[str, Any]) -> bool:
    return "another, plausible patient" in request["messages"][0]["content"]


def good(request: dict[str, Any], number: int = 0) -> Reply:
    return Reply(REVERSED if is_inter(request) else CHANGED)


def test_requests_and_children(
    rewrite, chat_server: ChatServer, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOME_KEY", "key-from-the-environment")
    chat_server.answer = good
    inter, intra = rewrite([make_pair("Stable " + SOURCE)], api_key_env="SOME_KEY")
    assert (inter.drop, intra.drop) == (None, None)
    assert (inter.report.findings, intra.report.findings) == (REVERSED, CHANGED)
    assert inter.trace["rewrite"]["backend"] == "openai"
    assert inter.trace["rewrite"]["model"] == "some-model"
    assert inter.trace["rewrite"]["instruction"] != intra.trace["rewrite"]["instruction"]
    assert len(chat_server.requests) == 2
    for request in chat_server.requests:
        assert request["model"] == "some-model"
        assert (request["temperature"], request["top_p"], request["max_tokens"]) == (0.5, 1.0, 300)
        assert [message["role"] for message in request["messages"]] == ["system", "user"]
        assert request["messages"][1]["content"] == SOURCE
        assert "50 words" in request["messages"][0]["content"]
    assert set(chat_server.authorizations) == {"Bearer key-from-the-environment"}


TROUBLE = {
    "429 with a wait": Reply(status=429, body=b"{}", headers={"Retry-After": "0"}),
    "429 without": Reply(status=429, body=b"{}"),
    "500": Reply(status=500, body=b"oh dear"),
    "503": Reply(status=503, body=b""),
    "half of the JSON": Reply(body=b'{"id": "chat-1", "choices": [{"ind'),
    "not JSON": Reply(body=b"<html>gateway</html>"),
    "JSON of another kind": Reply(body=b'{"answer": 42}'),
    "no choice": Reply(body=b'{"id":"c","object":"chat.completion","model":"m","choices":[]}'),
    "an empty answer": Reply(text="  "),
    "a connection that breaks": Reply(text=REVERSED, cuts_off=True),
    "a server that hangs": Reply(text=REVERSED, delay_seconds=1.5),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLE)
def test_temporary_failures_are_retried(
    rewrite, chat_server: ChatServer, make_pair: MakePair, trouble: str
):
    chat_server.answer = lambda request, number: TROUBLE[trouble] if number <= 2 else good(request)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"], timeout_seconds=1.0)
    assert inter.drop is None
    assert inter.report.text == REVERSED
    assert inter.trace["rewrite"]["attempts"] == 1
    assert len(chat_server.requests) == 3


def test_retry_after_is_waited_for(rewrite, chat_server: ChatServer, make_pair: MakePair):
    busy = Reply(status=429, body=b"{}", headers={"Retry-After": "1"})
    chat_server.answer = lambda request, number: busy if number == 1 else good(request)
    start = time.monotonic()
    rewrite([make_pair(SOURCE)], branches=["inter"])
    assert time.monotonic() - start >= 1.0


def test_retry_after_may_be_a_date(rewrite, chat_server: ChatServer, make_pair: MakePair):
    date = formatdate(time.time() + 3, usegmt=True)
    busy = Reply(status=503, body=b"", headers={"Retry-After": date})
    chat_server.answer = lambda request, number: busy if number == 1 else good(request)
    start = time.monotonic()
    rewrite([make_pair(SOURCE)], branches=["inter"])
    assert time.monotonic() - start >= 1.5


def test_no_wait_is_longer_than_a_minute():
    assert _retry_after({"retry-after": "86400"}) == 60.0
    assert _retry_after({"retry-after": "-3"}) == 0.0
    assert _retry_after({"retry-after": "soon"}) is None
    assert _retry_after({}) is None


def test_a_report_on_which_the_server_fails_is_dropped(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    def answer(request: dict[str, Any], number: int) -> Reply:
        is_odd = "okapi" in request["messages"][1]["content"]
        return Reply(status=500, body=b"") if is_odd else good(request)

    chat_server.answer = answer
    odd = make_pair("Small left okapi effusion. No pneumothorax.", "odd")
    children = rewrite([make_pair(SOURCE), odd], retries=2, concurrency=1)
    assert [child.drop is None for child in children] == [True, True, False, False]
    drop = children[2].drop
    assert drop is not None
    assert (drop.reason, drop.detail) == ("backend_error", "status 500")
    assert len(chat_server.requests) == 2 + 2 * 3


def test_a_server_that_is_gone_ends_the_run(rewrite, make_pair: MakePair):
    with pytest.raises(BackendError, match=r"gives no answer \(no connection\) after 2 attempts"):
        rewrite([make_pair(SOURCE)], base_url="http://127.0.0.1:9/v1", retries=1)


def test_a_server_that_fails_on_everything_ends_the_run(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    chat_server.answer = lambda request, number: Reply(status=500, body=b"")
    pairs = [make_pair(SOURCE.replace("Small", f"{index} cm"), str(index)) for index in range(20)]
    with pytest.raises(BackendError, match=r"gives no answer \(status 500\)"):
        rewrite(pairs, retries=0)
    assert len(chat_server.requests) < 40


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "api_key_env"), (404, r"rewrite\.model"), (400, "does not accept the request")],
)
def test_a_permanent_error_ends_the_run(
    rewrite, chat_server: ChatServer, make_pair: MakePair, status: int, hint: str
):
    quoted = json.dumps({"error": {"message": f"bad request: {SOURCE}"}}).encode()
    chat_server.answer = lambda request, number: Reply(status=status, body=quoted)
    with pytest.raises(BackendError, match=hint) as caught:
        rewrite([make_pair(SOURCE)], branches=["inter"])
    assert "effusion" not in str(caught.value)
    assert len(chat_server.requests) == 1


def test_a_rejected_answer_is_requested_again_with_the_reason(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    answers = ["No pleural effusion. " * 20, SOURCE, REVERSED]
    chat_server.answer = lambda request, number: Reply(answers[number - 1])
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"])
    assert inter.drop is None
    assert inter.trace["rewrite"]["attempts"] == 3
    last = chat_server.requests[-1]["messages"]
    assert [message["role"] for message in last] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert last[2]["content"] == answers[0].strip()
    assert "60 words" in last[3]["content"]
    assert "reverses no finding" in last[5]["content"]
    assert len({request["seed"] for request in chat_server.requests}) == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("No pleural effusion. " * 20, "too_long"),
        (SOURCE, "unchanged"),
        ("I'm sorry, I cannot help with that.", "refusal"),
        ("No pleural effusion. Large left pleural effusion.", "contradiction"),
        ("# Report\n- No pleural effusion", "markup"),
    ],
)
def test_after_the_last_attempt_the_reason_is_the_drop(
    rewrite, chat_server: ChatServer, make_pair: MakePair, answer: str, reason: str
):
    chat_server.answer = lambda request, number: Reply(answer)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"], attempts=2)
    assert inter.drop is not None
    assert inter.drop.reason == reason
    assert len(inter.trace["rewrite"]["rejected"]) == 2
    assert inter.report.text.split() == answer.split()  # the last answer is the report
    assert len(chat_server.requests) == 2


def test_no_request_is_sent_twice(rewrite, chat_server: ChatServer, make_pair: MakePair):
    chat_server.answer = good
    pairs = [make_pair(SOURCE, str(index)) for index in range(10)]
    first = rewrite(pairs)
    assert len(chat_server.requests) == 2  # equal reports share an answer
    assert rewrite(pairs) == first
    assert len(chat_server.requests) == 2


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"temperature": 0.9}, {"model": "other"}, {"max_words": 40}]
)
def test_all_inputs_of_an_answer_are_in_its_key(
    rewrite, chat_server: ChatServer, make_pair: MakePair, changes: dict[str, Any]
):
    chat_server.answer = good
    rewrite([make_pair(SOURCE)], branches=["inter"])
    rewrite([make_pair(SOURCE)], branches=["inter"], **changes)
    assert len(chat_server.requests) == 2


def test_each_variant_is_one_request(rewrite, chat_server: ChatServer, make_pair: MakePair):
    chat_server.answer = good
    children = rewrite([make_pair(SOURCE)], branches=["inter"], variants=3)
    assert len(children) == len(chat_server.requests) == 3
    assert len({request["seed"] for request in chat_server.requests}) == 3


def test_requests_in_flight_are_limited_and_order_is_kept(
    rewrite, chat_server: ChatServer, make_pair: MakePair
):
    def answer(request: dict[str, Any], number: int) -> Reply:
        return Reply(good(request).text, delay_seconds=0.02 * (number % 4))

    chat_server.answer = answer
    pairs = [make_pair(SOURCE.replace("Small", f"{k} cm"), f"{k:02}") for k in range(16)]
    children = rewrite(pairs, concurrency=4, branches=["inter"])
    assert [child.parent_id for child in children] == [pair.id for pair in pairs]
    assert 2 <= chat_server.most_at_once <= 4


def test_custom_instructions_are_sent_and_hashed(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    folder = tmp_path / "instructions"
    folder.mkdir()
    (folder / "inter.txt").write_text('Answer {"like": "this"} in {max_words} words.')
    (folder / "intra.txt").write_text("Change it.")
    chat_server.answer = lambda request, number: Reply(REVERSED)
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"], instructions=folder)
    sent = chat_server.requests[0]["messages"][0]["content"]
    assert sent.startswith('Answer {"like": "this"} in 50 words.\n')
    settings = RewriteSettings(backend="openai", model="m", instructions=folder)
    hashes = Rewrite.weights(settings)
    assert hashes["instructions/inter"].startswith(inter.trace["rewrite"]["instruction"])
    assert hashes != Rewrite.weights(RewriteSettings(backend="openai", model="m"))


def test_no_report_text_in_any_log(
    rewrite,
    chat_server: ChatServer,
    make_pair: MakePair,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("SECRET_KEY", "sk-quetzal")
    clients = ("", "asyncio", "httpcore", "httpcore2", "httpx", "httpx2", "openai", "pairaug")
    for name in ["", *logging.root.manager.loggerDict]:
        if name.split(".")[0] in clients:
            caplog.set_level(logging.DEBUG, logger=name)
    replies = [Reply(status=429, body=b"axolotl"), Reply(body=b"axolotl"), Reply("axolotl")]
    chat_server.answer = lambda request, number: (
        replies[number - 1] if number <= 3 else Reply(REVERSED + " Axolotl is seen.")
    )
    text = "Small left pangolin effusion. No pneumothorax."
    (inter,) = rewrite([make_pair(text)], branches=["inter"], api_key_env="SECRET_KEY")
    assert inter.drop is None
    assert "retrying in" in caplog.text
    for planted in ("pangolin", "axolotl", "quetzal", "patient-a"):
        assert planted not in caplog.text.lower()


def test_requests_to_this_machine_do_not_use_a_proxy(
    rewrite, chat_server: ChatServer, make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    chat_server.answer = good
    (inter,) = rewrite([make_pair(SOURCE)], branches=["inter"], retries=0)
    assert inter.drop is None


def test_a_redirect_is_not_followed(rewrite, chat_server: ChatServer, make_pair: MakePair):
    chat_server.answer = lambda request, number: Reply(
        status=307, body=b"", headers={"Location": "http://192.0.2.1/v1/chat/completions"}
    )
    with pytest.raises(BackendError, match="answers 307"):
        rewrite([make_pair(SOURCE)], branches=["inter"])


KILLED = """
import os, signal, sys
from pathlib import Path
from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite.openai_backend import _retry_after
from pairaug.stage import RunContext

url, cache, num_pairs, kills_itself = sys.argv[1:]
settings = RewriteSettings(
    backend="openai", model="m", base_url=url, cache=Path(cache), concurrency=2,
    branches=("inter",),
)
pairs = [
    Pair(f"set/{k}", Branch.REAL, "p", Report(f"{k} cm left effusion. No pneumothorax."))
    for k in range(int(num_pairs))
]
for number, pair in enumerate(Rewrite(settings, RunContext(seed=0))(pairs)):
    if kills_itself == "yes" and number == 11:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_repeats_no_request(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = good

    def run(kills_itself: str) -> int:
        arguments = [chat_server.url, str(tmp_path / "a.sqlite"), "20", kills_itself]
        return subprocess.run(
            [sys.executable, "-c", KILLED, *arguments], env=os.environ, timeout=300
        ).returncode

    assert run("yes") == -signal.SIGKILL
    num_before = len(chat_server.requests)
    assert 6 <= num_before < 20
    assert run("no") == 0
    texts = [request["messages"][1]["content"] for request in chat_server.requests]
    # Only the answers in flight when it was killed were not yet on disk.
    assert len(set(texts)) == 20
    assert len(texts) <= 20 + 2
