"""With a misbehaving server, every report is rewritten or dropped with a reason."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairaug.pair import Pair
from pairaug.rewrite import Reason
from support.chat import ChatServer, Reply
from support.moody import Moody

MakePair = Callable[..., Pair]


def pairs_of(make_pair: MakePair, number: int) -> list[Pair]:
    # The numbers make the reports differ, in their texts and in the positions of findings.
    return [
        make_pair(f"Small left pleural effusion of {k} mm. No pneumothorax.", f"{k:03}")
        for k in range(number)
    ]


def as_plain(children: list[Pair]) -> dict[str, Any]:
    return {child.id: (child.report, child.drop, child.trace) for child in children}


def test_order_and_concurrency_change_nothing(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    caplog.set_level("DEBUG")
    pairs = pairs_of(make_pair, 60)
    found: list[dict[str, Any]] = []
    for number, (concurrency, order) in enumerate(((1, 1), (8, 1), (32, -1))):
        chat_server.answer = Moody()
        children = rewrite(
            pairs[::order],
            concurrency=concurrency,
            attempts=2,
            timeout_seconds=1.0,
            cache=tmp_path / f"{number}.sqlite",
        )
        assert len(children) == 120
        found.append(as_plain(children))
    assert found[0] == found[1] == found[2]
    drops = Counter(drop.reason for _, drop, _ in found[0].values() if drop)
    assert set(drops) <= set(Reason)
    assert 1 <= drops.total() <= 20, drops
    assert sum(trace["rewrite"]["attempts"] > 1 for _, _, trace in found[0].values()) >= 10
    assert "pangolin" not in caplog.text


def test_rules_as_fallback(rewrite, chat_server: ChatServer, make_pair: MakePair):
    def answer(request: dict[str, Any], number: int) -> Reply:
        is_odd = "7 mm" in request["messages"][1]["content"]
        return Reply(status=500, body=b"") if is_odd else Reply("I'm sorry, I cannot do that.")

    chat_server.answer = answer
    pairs = pairs_of(make_pair, 10)
    asked = {"attempts": 2, "retries": 0, "concurrency": 1}
    assert all(child.drop is not None for child in rewrite(pairs, **asked))
    children = rewrite(pairs, fallback="rules", **asked)
    assert all(child.drop is None for child in children)
    for child in children:
        entries = child.trace["rewrite"]
        before = entries["fallback_for"]
        assert (entries["backend"], before["backend"]) == ("rules", "openai")
        is_odd = child.parent_id == "set/007"
        assert before["reason"] == ("backend_error" if is_odd else "refusal")
        assert before["attempts"] == (1 if is_odd else 2)
    assert {child.id: child.report for child in children} == {
        child.id: child.report for child in rewrite(pairs[::-1], fallback="rules", **asked)
    }


KILLED = """
import sys
from pathlib import Path
from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite import openai_backend as backend
from pairaug.stage import RunContext

backend._FIRST_WAIT_SECONDS = 0.005
url, cache, num_pairs = sys.argv[1:]
settings = RewriteSettings(
    backend="openai", model="m", base_url=url, cache=Path(cache), concurrency=4, attempts=2,
    timeout_seconds=1.0,
)
pairs = [
    Pair(f"set/{k}", Branch.REAL, "p", Report(f"Left effusion of {k} mm. No pneumothorax."))
    for k in range(int(num_pairs))
]
for pair in Rewrite(settings, RunContext(seed=0))(pairs):
    print(pair.id, pair.report.text, pair.drop and pair.drop.reason, flush=True)
"""


def test_no_answer_is_paid_for_twice_across_kills(chat_server: ChatServer, tmp_path: Path):
    def start(cache: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, chat_server.url, str(tmp_path / cache), "60"],
            env=os.environ,
            stdout=subprocess.PIPE,
            text=True,
        )

    chat_server.answer = Moody()
    undisturbed, _ = start("undisturbed").communicate(timeout=300)
    num_needed = len(chat_server.answer.num_answers)
    chat_server.answer = moody = Moody()
    for fraction in (0.2, 0.6):
        process = start("killed")
        while moody.num_answers.total() < fraction * num_needed:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    resumed, _ = start("killed").communicate(timeout=300)
    assert resumed == undisturbed
    assert len(moody.num_answers) == num_needed
    # Only what was on its way when it was killed, four at a time and twice, was not yet on disk.
    assert moody.num_answers.total() - num_needed <= 8
