"""A run that is killed at any operation on its files ends as one that was not, with nothing left.

A kill is simulated without a process: from the n-th operation on, every operation on a file of the
run fails, clearing up included. `test_end_to_end` kills real processes.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pairaug.config import Settings, change_settings, load_settings
from pairaug.run import STAGES, RunFolder, export_to, run, run_stage

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
    return event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]


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


Command = Callable[[RunFolder], object]


def contents(folder: RunFolder) -> dict[str, bytes]:
    """All files of a run, times left out."""
    files = {
        path.relative_to(folder.path).as_posix(): path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file() and path.name not in (".lock", "summary.html")
    }
    record = re.sub(rb'"seconds": \{[^}]*\}', b"", files.pop("run.json"))
    return {**files, "run.json": record, "folders": b" ".join(_folders(folder))}


def _folders(folder: RunFolder) -> list[bytes]:
    return sorted(path.name.encode() for path in folder.path.rglob("*") if path.is_dir())


def pruned_again(folder: RunFolder) -> None:
    run_stage("prune", folder, ["prune.intra.margin=1"])
    run_stage("export", folder)


def exported_again(folder: RunFolder) -> None:
    run_stage("export", folder, ["export.formats=[folder]", "export.text=findings"])


def exported_to_another_layout(folder: RunFolder) -> None:
    export_to(["parquet"], folder)


def summarized_again(folder: RunFolder) -> None:
    run_stage("summary", folder, ["summary.max_examples=1"])


@pytest.fixture(scope="module")
def quick(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run whose export and page are quick to write."""
    folder = RunFolder(tmp_path_factory.mktemp("quick") / "run")
    quick = ["export.formats=[webdataset]", "summary.max_points=0", "summary.max_examples=1"]
    run(change_settings(small_settings, quick), folder)
    return folder


# In turn, three of four are left to the slow tests.
@pytest.mark.parametrize(
    ("first", "step"), [(1, 4), *(pytest.param(n, 4, marks=pytest.mark.slow) for n in (0, 2, 3))]
)
@pytest.mark.parametrize(
    "command",
    [pruned_again, exported_again, exported_to_another_layout, summarized_again],
    ids=lambda command: command.__name__,
)
def test_killed_at_every_operation_the_same_command_completes_it(
    quick: RunFolder, tmp_path: Path, command: Command, first: int, step: int
) -> None:
    whole = copy_of(quick, tmp_path / "whole")
    with operations_below(tmp_path) as counted:
        command(whole)
    expected = contents(whole)
    assert counted.count > 3
    for last in range(first, counted.count, step):
        folder = copy_of(quick, tmp_path / f"{last:03d}")
        with pytest.raises(Killed), operations_below(folder.path, last):
            command(folder)
        command(folder)
        assert contents(folder) == expected, f"killed at operation {last + 1}"
        shutil.rmtree(folder.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [pruned_again, exported_again, exported_to_another_layout],
    ids=lambda command: command.__name__,
)
def test_killed_at_every_operation_the_run_itself_goes_on(
    quick: RunFolder, tmp_path: Path, command: Command
) -> None:
    """By the settings that its run.yaml then has, whichever these are; nothing is left over."""
    with operations_below(tmp_path) as counted:
        command(copy_of(quick, tmp_path / "whole"))
    for last in range(counted.count):
        folder = copy_of(quick, tmp_path / f"{last:03d}")
        with pytest.raises(Killed), operations_below(folder.path, last):
            command(folder)
        settings = load_settings(folder.settings_path)
        record = run(settings, folder)
        kept = sum(record.counts["prune"]["living"].values())
        assert record.counts["export"]["in"] == kept
        assert {path.name for path in folder.path.iterdir()} == {
            *STAGES,
            "export",
            *("run.json", "run.yaml", "summary.html", ".lock"),
        }
        there = {path.name for path in folder.result("export").iterdir()}
        assert there == {"README.md", "export.json", *settings.export.formats}
        shutil.rmtree(folder.path)


def copy_of(folder: RunFolder, to: Path) -> RunFolder:
    shutil.copytree(folder.path, to)
    return RunFolder(to)
