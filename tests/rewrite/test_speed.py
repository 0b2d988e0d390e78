"""A server with 160 answers per second is kept busy, and memory does not grow with a run.

Marked slow: the first needs a processor core to itself, about 5 ms of it for each answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pairaug.pair import Pair
from pairaug.rewrite import Rewrite, RewriteSettings, openai_backend
from pairaug.rewrite.budget import Tab
from pairaug.rewrite.cache import Usage
from pairaug.rewrite.completion import Completion
from pairaug.stage import RunContext
from support import TESTS, program
from support.slow_server import AT_ONCE

pytestmark = pytest.mark.slow
# PAIRAUG_TEST_REPORTS=100000 takes minutes.
NUM_KEPT_IN_MIND = int(os.environ.get("PAIRAUG_TEST_REPORTS", "10000"))


@pytest.fixture(params=[0.8, 0.2], ids=["40 a second", "160 a second"])
def seconds(request: pytest.FixtureRequest) -> float:
    """Seconds that the server takes per answer."""
    return request.param


@pytest.fixture
def slow_server(seconds: float) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        program("slow_server", seconds),
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_a_server_is_kept_busy(
    seconds: float,
    slow_server: subprocess.Popen[str],
    rewrite: Callable[..., list[Pair]],
    make_pair: Callable[..., Pair],
    capsys: pytest.CaptureFixture[str],
):
    assert slow_server.stdout is not None
    num_reports = round(10 * AT_ONCE / seconds)
    port = slow_server.stdout.readline().strip()
    pairs = [
        make_pair(f"Small left pleural effusion of {k} mm. No pneumothorax.", str(k))
        for k in range(num_reports)
    ]
    # A few more than it answers at once, so that the next request is waiting.
    children = rewrite(
        pairs, base_url=f"http://127.0.0.1:{port}/v1", branches=["inter"], concurrency=AT_ONCE + 8
    )
    assert all(child.drop is None for child in children)
    output, _ = slow_server.communicate(timeout=60)
    counts = json.loads(output)
    assert counts["number"] == num_reports
    rate, best = num_reports / counts["seconds"], AT_ONCE / seconds
    with capsys.disabled():
        sys.stdout.write(f"\n{rate:.1f} of {best:.0f} answers a second\n")
    assert rate >= 0.9 * best


class Instant:
    """A model that answers at once, so that only PairAug's memory is measured."""

    model = host = location = "instant"
    concurrency, takes_schema, num_sent = 32, True, 0

    async def complete(self, body: Mapping[str, Any], key: str, tab: Tab) -> Completion:
        tab.reserve()
        tab.settle(Usage(1, 400, 20))
        return Completion("No pleural effusion. Large right pneumothorax.")

    async def close(self) -> None:
        return


def resident_megabytes() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_stays_flat(
    tmp_path: Path,
    make_pair: Callable[..., Pair],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(openai_backend, "Server", lambda settings: Instant())
    settings = RewriteSettings(
        backend="openai", model="m", branches=("inter",), cache=tmp_path / "answers.sqlite",
        record=tmp_path / "recorded.jsonl",
    )  # fmt: skip
    pairs = (
        make_pair(f"Small left pleural effusion of {k} mm. No pneumothorax.", str(k))
        for k in range(NUM_KEPT_IN_MIND)
    )
    seen: list[float] = []
    for number, _ in enumerate(Rewrite(settings, RunContext(seed=0))(pairs), start=1):
        # Each report comes with its child. The first fifth fills caches of fixed size.
        if number % (2 * NUM_KEPT_IN_MIND // 10) == 0:
            seen.append(resident_megabytes())
    with capsys.disabled():
        listed = ", ".join(f"{megabytes:.0f}" for megabytes in seen)
        sys.stdout.write(f"\nMB after each tenth of {NUM_KEPT_IN_MIND:,} reports: {listed}\n")
    assert seen[-1] - seen[1] < 20
