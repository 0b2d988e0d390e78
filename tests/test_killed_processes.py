"""Commands killed by SIGKILL at random moments end as they do undisturbed, with nothing left over.

Nothing is tidied up, no exception is raised: what is on the disk is all that remains. The seeds are
those of the moments; how far a command is by then hangs on the machine.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pairaug.config import Settings, change_settings
from pairaug.config.yaml_text import as_yaml
from pairaug.run import RunFolder, run
from support.kills import kill_at_random, needs_processes, run_command, values_below
from support.small_run import RUN
from support.small_trainings import CLASSIFIER, CLIP, GENERATOR

pytestmark = needs_processes

UTILITY = {
    "run": RUN,
    "num_seeds": 1,
    "max_steps": 3,
    "controls_per_report": 1,
    "arms": ["real_matched_steps", "text_only", "inter_and_intra"],
    "train": {"preset": "tiny", "batch_size": 4, "num_threads": 1},
    "data": {"layout": "phantom", "num_patients": 40, "seed": 12, "size": 64},
    "num_resamples": 50,
}
QUICK = ("export.formats=[webdataset]", "summary.max_points=0", "summary.max_examples=1")


@dataclass(frozen=True)
class Case:
    """Commands one after the other; `{out}` and `{config}` are where they work and by what."""

    commands: tuple[str, ...]
    config: Any = None
    begins_with_a_run: bool = False
    num_kills: int = 6

    def words(self, out: Path) -> list[list[str]]:
        """Each command's arguments."""
        paths = {"out": out, "config": out.with_suffix(".yaml")}
        return [command.format(**paths).split() for command in self.commands]


def again(*commands: str) -> Case:
    return Case(commands, begins_with_a_run=True)


CASES = {
    "run": Case(("run {config} --out {out}",), "run"),
    "prune again": again("prune {out} --set prune.intra.margin=1", "export {out}"),
    "export again": again("export {out} --set export.formats=[folder,parquet,chexzero]"),
    "export --to": again("export {out} --to parquet --to folder"),
    "summarize": again("summarize {out} --set summary.max_examples=2"),
    "train clip": Case(("train clip {config} --out {out}",), CLIP),
    "train clip, streamed": Case(("train clip {config} --out {out}",), {**CLIP, "streamed": True}),
    "train classifier": Case(("train classifier {config} --out {out}",), CLASSIFIER),
    "train generator": Case(("train generator {config} --out {out}",), GENERATOR),
    "experiment utility": Case(("experiment utility {config} --out {out}",), UTILITY, num_kills=4),
}


@pytest.fixture(scope="module")
def quick(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run whose export and page are quick to write."""
    folder = RunFolder(tmp_path_factory.mktemp("quick") / "run")
    run(change_settings(small_settings, QUICK), folder)
    return folder


Prepare = Callable[[Case], Path]


@pytest.fixture
def prepared(quick: RunFolder, small_settings: Settings, tmp_path: Path) -> Prepare:
    """Makes the folder in which a case's commands work, as it is before the first of them."""

    def prepare(case: Case) -> Path:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        if case.begins_with_a_run:
            shutil.copytree(quick.path, out)
        elif case.config == "run":
            text = as_yaml(change_settings(small_settings, QUICK))
            out.with_suffix(".yaml").write_text(text)
        else:
            out.with_suffix(".yaml").write_text(yaml.safe_dump(case.config))
        return out

    return prepare


def check(case: Case, prepare: Prepare, log: Path, seed: int, num_kills: int) -> None:
    """Fails unless the commands, each killed so many times, end as they do undisturbed."""
    out = prepare(case)
    seconds = [run_command(words, log) for words in case.words(out)]
    expected, beside = values_below(out), names_in(out.parent)
    prepare(case)
    chance = random.Random(seed)
    story = [f"seed {seed}"]
    for words, duration in zip(case.words(out), seconds, strict=True):
        moments: list[float] = []
        for _ in range(4 * num_kills):  # some come when it has ended already
            moment = kill_at_random(words, log, duration, chance)
            moments += [] if moment is None else [moment]
            if len(moments) == num_kills:
                break
        story.append(f"{words[0]} killed at {[round(moment, 3) for moment in moments]} s")
        assert moments, story
        run_command(words, log)
    logging.getLogger(__name__).warning("%s", "; ".join(story))
    found = values_below(out)
    assert found.keys() == expected.keys(), story
    assert names_in(out.parent) == beside, story
    for name, value in expected.items():
        assert found[name] == value, (name, story)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["export again", "train clip"])
def test_command_killed_twice(name: str, prepared: Prepare, tmp_path: Path) -> None:
    check(CASES[name], prepared, tmp_path / "log.txt", seed=1, num_kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_command_killed_many_times(name: str, seed: int, prepared: Prepare, tmp_path: Path) -> None:
    case = CASES[name]
    check(case, prepared, tmp_path / "log.txt", seed, case.num_kills)
