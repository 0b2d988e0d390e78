from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pairaug.errors import RunError
from pairaug.experiment.arms import num_steps_of, sources_of
from pairaug.experiment.comparison import context_of, open_test_set, run_settings_of
from pairaug.experiment.settings import ARMS, UtilitySettings
from pairaug.experiment.upper_bounds import make_upper_bound, reword_upper_bound
from pairaug.experiment.utility import run_utility
from pairaug.manifest import read_pairs
from pairaug.pair import Branch
from pairaug.run import RunFolder
from pairaug.run.progress import LineProgress, NoProgress
from pairaug.system.locks import hold_lock
from support.small_run import RUN


def _settings(**changes: Any) -> UtilitySettings:
    plain = {
        "run": RUN,
        "extra_real_data": {"layout": "phantom", "num_patients": 60, "seed": 11},
        "num_seeds": 2,
        "max_steps": 3,
        "controls_per_report": 1,
        "train": {"preset": "tiny", "batch_size": 4, "num_threads": 1},
        "data": {"layout": "phantom", "num_patients": 40, "seed": 12, "size": 64},
        "num_resamples": 50,
    }
    return UtilitySettings.model_validate({**plain, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("utility")
    run_utility(_settings(), out)
    return out


def test_every_arm_is_compared(finished: Path) -> None:
    found = json.loads((finished / "utility.json").read_text())
    assert list(found["arms"]) == list(ARMS)
    arms = found["arms"]
    assert {arm["num_steps"] for name, arm in arms.items() if name != "real"} == {3}
    assert arms["real"]["num_steps"] < 3
    assert arms["upper_bound"]["num_pairs"] == arms["inter_and_intra"]["num_pairs"]
    assert arms["upper_bound_reworded"]["num_pairs"] == arms["inter_and_intra"]["num_pairs"]
    assert arms["real"]["num_pairs"] == 6
    assert arms["unpruned_matched_size"]["num_pairs"] == arms["inter_and_intra"]["num_pairs"]
    synthetic = arms["inter"]["num_pairs"] + arms["intra"]["num_pairs"] - 2 * 6
    assert arms["inter_and_intra"]["num_pairs"] == 6 + synthetic
    assert arms["unpruned"]["num_pairs"] > arms["inter_and_intra"]["num_pairs"]
    for arm in arms.values():
        assert len(arm["by_seed"]) == 2
        low, value, high = (arm["macro_auroc"][key] for key in ("low", "value", "high"))
        assert low <= value <= high
    assert arms["real_matched_steps"]["gain"]["value"] == 0.0
    for suffix in ("txt", "md", "html"):
        assert "inter_and_intra" in (finished / f"utility.{suffix}").read_text()


def test_controls_change_one_side(finished: Path) -> None:
    reals = {pair.id: pair for pair in read_pairs(finished / "run" / "read")}
    images = [
        pair for pair in read_pairs(finished / "image_only" / "prune")
        if pair.branch is Branch.INTER
    ]  # fmt: skip
    texts = [
        pair for pair in read_pairs(finished / "text_only" / "prune")
        if pair.branch is Branch.INTRA
    ]  # fmt: skip
    assert len(images) == len(texts) == len(reals)
    for pair in images:
        source = reals[str(pair.parent_id)]
        assert pair.report == source.report
        assert pair.image is not None
        assert pair.image != source.image
    for pair in texts:
        source = reals[str(pair.parent_id)]
        assert pair.image == source.image
        assert pair.drop is not None or pair.report != source.report


def test_upper_bound_pairs(finished: Path) -> None:
    reals = {pair.id for pair in read_pairs(finished / "run" / "read")}
    upper_bound = [pair.id for pair in read_pairs(finished / "upper_bound" / "read")]
    assert reals < set(upper_bound)
    assert len(upper_bound) == len(set(upper_bound))


def test_reworded_upper_bound_pairs(finished: Path) -> None:
    own = {pair.id for pair in read_pairs(finished / "run" / "read")}
    upper_bound = {pair.id: pair for pair in read_pairs(finished / "upper_bound" / "read")}
    reworded = list(read_pairs(finished / "upper_bound_reworded" / "read"))
    assert [pair.parent_id or pair.id for pair in reworded] == list(upper_bound)
    assert {pair.id for pair in reworded if pair.parent_id is None} >= own
    children = [pair for pair in reworded if pair.parent_id]
    assert children
    for pair in children:
        source = upper_bound[str(pair.parent_id)]
        assert (pair.image, pair.labels, pair.split) == (source.image, source.labels, source.split)
        assert pair.report.text != source.report.text


def test_progress(finished: Path) -> None:
    lines: list[str] = []
    run_utility(_settings(), finished, LineProgress(lines.append))
    reported = {line.partition(":")[0]: line for line in lines}
    assert re.fullmatch(
        r"image_only: done, 0 images in .* \(6 were done before\)", reported["image_only"]
    )
    num_real = json.loads((finished / "utility.json").read_text())["arms"]["upper_bound"][
        "num_pairs"
    ]
    assert reported["upper_bound"].startswith(f"upper_bound: done, {num_real} pairs in ")
    num_trials = 2 * len(ARMS)
    assert re.fullmatch(
        rf"trials: done, 0 trials in .* \({num_trials} were done before\)", reported["trials"]
    )


def test_one_process_works_on_an_experiment(finished: Path) -> None:
    with hold_lock(finished), pytest.raises(RunError, match="is being written by another process"):
        run_utility(_settings(), finished)


def test_another_number_of_pairs_rebuilds_upper_bounds(finished: Path, tmp_path: Path) -> None:
    run, settings = RunFolder(finished / "run"), run_settings_of(_settings())
    context = context_of(settings, NoProgress())
    extra_real_data = _settings().extra_real_data
    for num_pairs in (9, 7):
        make_upper_bound(tmp_path / "upper_bound", extra_real_data, num_pairs, context)
        reword_upper_bound(tmp_path / "upper_bound", tmp_path / "reworded", run, settings)
        for folder in ("upper_bound", "reworded"):
            assert len(list(read_pairs(tmp_path / folder / "read"))) == num_pairs


def test_an_upper_bound_needs_extra_real_data() -> None:
    for arm in ("upper_bound", "upper_bound_reworded"):
        with pytest.raises(ValidationError, match=f"the arm `{arm}` needs extra_real_data"):
            _settings(extra_real_data=None, arms=["real_matched_steps", arm])


def test_lost_trial_is_reproduced(finished: Path) -> None:
    before = (finished / "utility.json").read_bytes()
    lost = finished / "trials" / "inter_and_intra-1"
    probabilities = np.load(lost / "probabilities.npy")
    kept = (finished / "trials" / "inter_and_intra-0" / "trial.json").stat().st_mtime_ns
    shutil.rmtree(lost)
    clock = itertools.count(step=60.0)
    lines: list[str] = []
    run_utility(_settings(), finished, LineProgress(lines.append, lambda: next(clock)))
    # Finished trials are not reported as trained just now.
    assert [line for line in lines if line.startswith("trials")] == [
        f"trials: done, 1 trial in 2 min 00 s ({2 * len(ARMS) - 1} were done before); "
        "inter_and_intra-1"
    ]
    assert np.array_equal(np.load(lost / "probabilities.npy"), probabilities)
    assert (finished / "utility.json").read_bytes() == before
    assert (finished / "trials" / "inter_and_intra-0" / "trial.json").stat().st_mtime_ns == kept


def test_parallel_trials_are_equal(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "utility"
    shutil.copytree(finished, copy)
    lost = ("inter_and_intra-0", "inter_and_intra-1", "upper_bound-0")
    for name in lost:
        shutil.rmtree(copy / "trials" / name)
    run_utility(_settings(num_parallel_trials=2), copy)
    for name in lost:
        before, after = (
            np.load(at / "trials" / name / "probabilities.npy") for at in (finished, copy)
        )
        assert np.array_equal(before, after)
    arms = [json.loads((at / "utility.json").read_text())["arms"] for at in (finished, copy)]
    assert arms[0] == arms[1]


def test_failing_parallel_trial_stops_the_experiment(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "utility"
    shutil.copytree(finished, copy)
    for name in ("inter_and_intra-0", "inter_and_intra-1", "upper_bound-0"):
        shutil.rmtree(copy / "trials" / name)
    # A file where its folder should be.
    (copy / "trials" / "upper_bound-0").write_text("")
    with pytest.raises(FileExistsError):
        run_utility(_settings(num_parallel_trials=2), copy)
    (copy / "trials" / "upper_bound-0").unlink()
    run_utility(_settings(num_parallel_trials=2), copy)


def test_other_settings_are_never_mixed_in(finished: Path) -> None:
    with pytest.raises(RunError, match="trained with other settings or other pairs"):
        run_utility(_settings(max_steps=4), finished)
    with pytest.raises(RunError, match=r"image_only.*was written with other settings"):
        run_utility(_settings(controls_per_report=2), finished)


def test_real_makes_as_many_passes_as_both(tmp_path: Path) -> None:
    settings = _settings(max_steps=500)
    counts = {"real": 200, "inter_and_intra": 1000}
    assert num_steps_of("real", settings, counts) == 100
    assert num_steps_of("real_matched_steps", settings, counts) == 500
    assert sources_of("unpruned", tmp_path, 5)[0].keep == "all"
    real, synthetic = sources_of("unpruned_matched_size", tmp_path, 5)
    assert (real.branches, real.max_pairs) == (("real",), None)
    assert (synthetic.branches, synthetic.max_pairs) == (("inter", "intra"), 5)


def test_patients_are_numbers_and_labels_are_whole() -> None:
    test_set = open_test_set(_settings())
    assert test_set.labels.shape == (40, len(test_set.findings))
    assert np.issubdtype(test_set.patients.dtype, np.integer)
    assert len(set(test_set.patients.tolist())) == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ["inter_and_intra"]}, "arms must name 'real_matched_steps'"),
        ({"extra_real_data": None}, "needs extra_real_data"),
    ],
)
def test_rejects_invalid_arms(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _settings(**changes)
