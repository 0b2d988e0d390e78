"""A child process in which hostile input is tried, with limits on its time and memory.

The rule that every fuzz test holds: an input ends in data, in a drop with a reason, or in a
`PairAugError`. Anything else is a failure: another exception, a crash, 5 s of the processor, a
gigabyte of memory, or waiting for what never comes.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import secrets
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

from pairaug.errors import PairAugError

SECONDS = 5
"""Of the processor: other programs may keep the machine busy."""
MAX_BYTES = 1 << 30
_WAITING_SECONDS = 60

LONG = int(os.environ.get("PAIRAUG_FUZZ_CASES", "3000"))
"""Cases of each long round."""
SEED = os.environ.get("PAIRAUG_FUZZ_SEED")
"""The seed of the long rounds, to repeat one; without it they have one at random, printed."""

FOLDER = "PAIRAUG_FUZZ_FOLDER"
"""Names the folder in which the child writes, which outlives it where it is killed."""

Check = Callable[[Any], str]
"""Reads an input by the seam that a run reads it by, and returns what came of it, in a word."""


class Bounded:
    """Runs checks in a child; after a crash or a hang the next check gets a new one."""

    def __init__(self) -> None:
        self._spawning = multiprocessing.get_context("spawn")
        self._child: Any = None
        self._pipe: Connection[Any, Any] | None = None

    def __call__(self, check: Check, case: Any, *, warm: bool = False) -> str:
        """What came of a case. `warm`: without limits, for what imports libraries."""
        pipe = self._started()
        pipe.send((check, case, warm))
        if not pipe.poll(_WAITING_SECONDS):
            self.close()
            raise AssertionError(f"{check.__name__} waits for what never comes")
        try:
            is_ok, found = pipe.recv()
        except EOFError:
            self._child.join()
            ended = signal.Signals(-self._child.exitcode).name if self._child.exitcode < 0 else ""
            self.close()
            slow = f" (more than {SECONDS} s)" if ended == "SIGPROF" else ""
            raise AssertionError(f"{check.__name__} ended its process: {ended}{slow}") from None
        assert is_ok, found
        return found

    def close(self) -> None:
        """Ends the child."""
        if self._child is not None:
            self._child.kill()
            self._child.join()
        self._child = self._pipe = None

    def _started(self) -> Connection[Any, Any]:
        if self._pipe is None:
            self._pipe, theirs = self._spawning.Pipe()
            self._child = self._spawning.Process(target=_serve, args=(theirs,), daemon=True)
            self._child.start()
            theirs.close()
        return self._pipe


def fuzz(
    check: Check, cases: SearchStrategy[Any], short: int, *, valid: Sequence[Any] = ()
) -> Callable[..., None]:
    """The test of a check: `short` cases, always the same; and a long round marked `slow`.

    `valid` are inputs that have to end in data: what is damaged is known to be read otherwise.
    """
    rounds = [
        pytest.param(short, id="short"),
        pytest.param(max(LONG, short), id="long", marks=pytest.mark.slow),
    ]

    @pytest.mark.parametrize("num_cases", rounds)
    def test(bounded: Bounded, num_cases: int) -> None:
        chosen = int(SEED or secrets.randbelow(2**32)) if num_cases > short else 0
        print(f"PAIRAUG_FUZZ_SEED={chosen}")  # noqa: T201
        for case in valid:
            assert bounded(check, case, warm=True) == "data", case

        @seed(chosen)
        @settings(
            max_examples=num_cases,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def holds(case: Any) -> None:
            bounded(check, case)

        holds()

    test.__doc__ = check.__doc__
    return test


def _serve(pipe: Connection[Any, Any]) -> None:
    # What libraries say is of no use here, but all of it has to be sayable.
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    logging.basicConfig(level=logging.DEBUG)
    while True:
        try:
            check, case, warm = pipe.recv()
        except EOFError:
            return
        if not warm:
            _limit(_mapped() + MAX_BYTES, SECONDS)
        try:
            outcome = (True, check(case))
        except PairAugError as error:
            text = str(error)
            is_line = text.strip() != "" and "\n" not in text.strip()
            outcome = (is_line, text)
        except BaseException:  # noqa: BLE001  # to be reported by the parent, whatever it is
            outcome = (False, traceback.format_exc())
        _limit(resource.RLIM_INFINITY, 0)
        pipe.send(outcome)


def _limit(num_bytes: int, seconds: float) -> None:
    """SIGPROF ends the process in C code too, where Python would look at no signal."""
    resource.setrlimit(resource.RLIMIT_AS, (num_bytes, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
