"""How fast requests go out: a server that gives 160 answers a second is kept busy.

Marked slow: it needs a processor core to itself, about 5 ms of it for each answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pairaug.pair import Pair
from rewrite.slow_server import AT_ONCE, SECONDS

pytestmark = pytest.mark.slow
NUM_REPORTS = 1600


@pytest.fixture
def slow_server() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "slow_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_a_server_is_kept_busy(
    slow_server: subprocess.Popen[str],
    rewrite: Callable[..., list[Pair]],
    make_pair: Callable[..., Pair],
    capsys: pytest.CaptureFixture[str],
):
    assert slow_server.stdout is not None
    port = slow_server.stdout.readline().strip()
    pairs = [
        make_pair(f"Small left pleural effusion of {k} mm. No pneumothorax.", str(k))
        for k in range(NUM_REPORTS)
    ]
    children = rewrite(
        pairs, base_url=f"http://127.0.0.1:{port}/v1", branches=["inter"], concurrency=AT_ONCE
    )
    assert all(child.drop is None for child in children)
    told, _ = slow_server.communicate(timeout=60)
    counts = json.loads(told)
    assert counts["number"] == NUM_REPORTS
    rate, best = NUM_REPORTS / counts["seconds"], AT_ONCE / SECONDS
    with capsys.disabled():
        sys.stdout.write(f"\n{rate:.1f} of {best:.0f} answers a second\n")
    assert rate >= 0.9 * best
