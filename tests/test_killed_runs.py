"""A run that is killed at any operation on its files ends as one that was not, with nothing left.

`test_killed_processes` kills real ones, at any moment.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairaug.config import Settings, change_settings, load_settings
from pairaug.run import STAGES, RunFolder, export_to, run, run_stage
from support.kills import Killed, operations_below, values_below

Command = Callable[[RunFolder], object]


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
def test_kill_at_every_operation_of_a_command(
    quick: RunFolder, tmp_path: Path, command: Command, first: int, step: int
) -> None:
    whole = copy_of(quick, tmp_path / "whole")
    with operations_below(tmp_path) as counted:
        command(whole)
    expected = of_run(whole)
    assert counted.count > 3
    for last in range(first, counted.count, step):
        folder = copy_of(quick, tmp_path / f"{last:03d}")
        with pytest.raises(Killed), operations_below(folder.path, last):
            command(folder)
        command(folder)
        assert of_run(folder) == expected, f"killed at operation {last + 1}"
        shutil.rmtree(folder.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [pruned_again, exported_again, exported_to_another_layout],
    ids=lambda command: command.__name__,
)
def test_kill_at_every_operation_of_a_run(
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


def of_run(folder: RunFolder) -> dict[str, Any]:
    """All files of a run; but that the page is there, since it names its folder, which differs."""
    return {**values_below(folder.path), "summary.html": folder.result("summary").exists()}


def copy_of(folder: RunFolder, to: Path) -> RunFolder:
    shutil.copytree(folder.path, to)
    return RunFolder(to)
