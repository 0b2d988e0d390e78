"""Commands that are killed: at an operation on their files, or by SIGKILL at any moment.

The first is simulated without a process: from the n-th operation on, every operation on a file
fails, clearing up included. The second kills real processes; a server has imported the libraries
before it forks them, so that moments fall into their work.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class _Operations:
    """Counts what changes files below a folder, and has all fail from the n-th on."""

    def __init__(self) -> None:
        self.below: str | None = None
        self.count, self.last = 0, sys.maxsize
        self._is_hooked = False

    def hook(self) -> None:
        """Hooks cannot be taken away again, so there is one for all tests."""
        if not self._is_hooked:
            sys.addaudithook(self._seen)
            self._is_hooked = True

    def _seen(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.below is None or not (event in _CHANGES or _opens_to_write(event, arguments)):
            return
        if self.below not in str(arguments[0]):
            return
        self.count += 1
        if self.count > self.last:
            raise Killed


def _opens_to_write(event: str, arguments: tuple[object, ...]) -> bool:
    mode = arguments[1] if event == "open" else None
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


_OPERATIONS = _Operations()


@contextmanager
def operations_below(folder: Path, last: int = sys.maxsize) -> Iterator[_Operations]:
    """Counts, and fails after `last` of them."""
    _OPERATIONS.hook()
    _OPERATIONS.below, _OPERATIONS.count, _OPERATIONS.last = str(folder), 0, last
    try:
        yield _OPERATIONS
    finally:
        _OPERATIONS.below = None


_TIMES = {"seconds", "hours", "samples_per_second"}
_PAGE_TIMES = re.compile(
    r'<td class="number">[^<]*</td><td><span class="meter"[^>]*>|<b>[^<]*</b><span>on '
)


def values_below(folder: Path) -> dict[str, Any]:
    """All files by name: their bytes; times are left out, and of tensors the values count."""
    return {path.relative_to(folder).as_posix(): _value(path) for path in folder.rglob("*")}


def _value(path: Path) -> Any:
    if path.is_dir() or path.name == ".lock":
        return None
    if path.suffix == ".pt":
        import torch

        return _plain(torch.load(path, weights_only=True))
    content = path.read_bytes()
    if path.name in ("run.json", "training.json", "cell.json"):
        return _plain(json.loads(content))
    if path.name in ("curves.csv", "evaluation.csv"):
        rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
        return [_plain(row) for row in rows]
    if path.suffix == ".html":
        content = _PAGE_TIMES.sub("", content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items() if key not in _TIMES}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


needs_processes = pytest.mark.skipif(
    not Path("/proc/self/stat").is_file(), reason="needs Linux's list of processes"
)

_SERVER: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
_PRELOADED = [
    "pairaug.cli",
    "pairaug.run",
    "pairaug.export",
    "pairaug.summary",
    "pairaug.diffusion.pipeline",
    "pairaug.train.clip",
    "pairaug.train.classifier",
    "pairaug.train.generator",
    "pairaug.experiment.utility",
]


def run_command(words: Sequence[str], log: Path) -> float:
    """How many seconds a command took that nobody disturbed."""
    _start_server()
    started = time.monotonic()
    process = _start(words, log)
    process.join()
    assert process.exitcode == 0, log.read_text()
    return time.monotonic() - started


def kill_at_random(
    words: Sequence[str], log: Path, seconds: float, chance: random.Random
) -> float | None:
    """Starts a command and kills it up to `seconds` later; when, or None where it had ended.

    Raises where one of the processes that it has started goes on without it.
    """
    moment = chance.uniform(0.0, seconds)
    process = _start(words, log)
    process.join(moment)
    is_killed = process.exitcode is None
    if is_killed:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), log.read_text()
    deadline = time.monotonic() + 30
    while left := _members(process.pid):
        assert time.monotonic() < deadline, f"{left} outlive {' '.join(words)}"
        time.sleep(0.05)
    return moment if is_killed else None


def _start_server() -> None:
    """Returns once the libraries are imported, so that commands' times are their own."""
    _SERVER.set_forkserver_preload(_PRELOADED)
    process = _SERVER.Process(target=int)
    process.start()
    process.join()


def _start(words: Sequence[str], log: Path) -> Any:
    process = _SERVER.Process(target=_command, args=(list(words), str(log)))
    process.start()
    return process


def _command(words: list[str], log: str) -> None:
    os.setsid()
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from pairaug.cli import main

    sys.argv = ["pairaug", *words]
    main()


def _members(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended meanwhile
            continue
        if int(own) == group and state != "Z":
            found.append(int(path.parent.name))
    return found
