from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from pairaug.errors import SettingsError
from pairaug.train.loop import (
    Loop,
    LoopSettings,
    StepRandomness,
    TrainingTask,
    indices_of_step,
    learning_rate_factor,
)


class Stopped(Exception):
    """Stands for a kill."""


def make_task(stop_at: int | None = None, loss_scale: float = 1.0) -> TrainingTask:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    steps = itertools.count()

    def losses(randomness: StepRandomness) -> dict[str, Tensor]:
        if next(steps) == stop_at:
            raise Stopped
        noise = torch.randn((len(randomness.indices), 4), generator=randomness.torch)
        inputs = noise + torch.from_numpy(randomness.indices)[:, None]
        target = float(randomness.numpy.random())
        return {"loss": loss_scale * (model(inputs) - target).square().mean()}

    def evaluate() -> dict[str, float]:
        return {"norm": float(model[0].weight.norm())}

    return TrainingTask({"model": model}, losses, evaluate)


def settings(**changes) -> LoopSettings:
    values = {"max_steps": 9, "batch_size": 3, "warmup_steps": 2, "log_steps": 2, "device": "cpu"}
    return LoopSettings(**{**values, **changes})


def trained(folder: Path, stop_at: int | None = None, **changes) -> dict[str, Tensor]:
    task = make_task(stop_at)
    Loop(folder, settings(**changes), task, num_images=7).run()
    return task.modules["model"].state_dict()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("checkpoint_minutes", [0.0, 1000.0])
def test_resuming_gives_the_same_weights_bit_for_bit(tmp_path: Path, checkpoint_minutes: float):
    undisturbed = trained(tmp_path / "a")
    with pytest.raises(Stopped):
        trained(tmp_path / "b", stop_at=5, checkpoint_minutes=checkpoint_minutes)
    # With a checkpoint at each step the second run does four steps, without one all nine.
    assert (tmp_path / "b" / "checkpoint.pt").exists() == (checkpoint_minutes == 0.0)
    resumed = trained(tmp_path / "b", checkpoint_minutes=checkpoint_minutes)
    assert undisturbed.keys() == resumed.keys()
    for name, value in undisturbed.items():
        assert torch.equal(value, resumed[name]), name


def test_another_seed_gives_other_weights(tmp_path: Path):
    one, other = trained(tmp_path / "a"), trained(tmp_path / "b", seed=1)
    assert not torch.equal(one["0.weight"], other["0.weight"])


def test_resuming_repeats_no_line_of_the_curves(tmp_path: Path):
    with pytest.raises(Stopped):
        trained(tmp_path, stop_at=5, checkpoint_minutes=0.0)
    # The curve is ahead of the checkpoint when a run is killed between the two.
    with (tmp_path / "curves.csv").open("a") as stream:
        stream.write("6,18,1.0,0.001,0.5\n")
    trained(tmp_path)
    assert [int(row["step"]) for row in rows(tmp_path / "curves.csv")] == [2, 4, 6, 8]
    assert rows(tmp_path / "curves.csv")[2]["loss"] != "0.5"


def test_max_steps(tmp_path: Path):
    first = Loop(tmp_path, settings(), make_task(), num_images=7).run()
    again = Loop(tmp_path, settings(), make_task(stop_at=0), num_images=7).run()
    assert first.steps == again.steps == 9
    assert first.samples == 27


def test_max_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = itertools.count(step=1.0)
    monkeypatch.setattr("pairaug.train.loop.time.monotonic", lambda: next(clock))
    limits = settings(max_steps=None, max_minutes=0.2, evaluate_minutes=100, checkpoint_minutes=100)
    outcome = Loop(tmp_path, limits, make_task(), num_images=7).run()
    # One tick of a second to each step, twelve seconds in all.
    assert outcome.steps == 12
    assert outcome.seconds == 12.0


def test_rejects_training_without_limits():
    with pytest.raises(ValidationError, match="set max_steps or max_minutes"):
        LoopSettings()


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path):
    trained(tmp_path)
    with pytest.raises(SettingsError, match=r"begun with other settings \(learning_rate changed\)"):
        trained(tmp_path, learning_rate=0.5)
    trained(tmp_path, max_steps=11, log_steps=1)


def test_another_identity_is_refused(tmp_path: Path):
    def run(images: str) -> None:
        task = make_task()
        task = TrainingTask(task.modules, task.losses, task.evaluate, identity={"images": images})
        Loop(tmp_path, settings(), task, num_images=7).run()

    run("one")
    with pytest.raises(SettingsError, match="images changed"):
        run("other")


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path):
    with pytest.raises(SettingsError, match="loss of step 0 is not finite"):
        Loop(tmp_path, settings(), make_task(loss_scale=float("nan")), num_images=7).run()


def test_each_epoch_sees_each_image_once():
    seen = np.concatenate([indices_of_step(3, step, 4, 6) for step in range(3)])
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))
    assert list(seen[:6]) != list(seen[6:])
    assert not np.array_equal(indices_of_step(3, 0, 6, 6), indices_of_step(4, 0, 6, 6))


def test_the_learning_rate_rises_then_falls_to_a_hundredth():
    assert learning_rate_factor(0.0, 0, 10) == pytest.approx(0.1)
    assert learning_rate_factor(0.0, 9, 10) == pytest.approx(1.0)
    assert learning_rate_factor(0.5, 100, 10) == pytest.approx(0.505)
    assert learning_rate_factor(1.0, 1000, 10) == pytest.approx(0.01)


def test_the_averaged_weights_are_the_recursion_written_out(tmp_path: Path):
    history: list[Tensor] = []
    task = make_task()
    weight = task.modules["model"][0].weight
    watched = TrainingTask(
        task.modules,
        task.losses,
        task.evaluate,
        after_step=lambda: history.append(weight.detach().clone()),
    )
    start = weight.detach().clone()
    Loop(tmp_path, settings(ema_decay=0.5), watched, num_images=7).run()
    expected = start
    for step, current in enumerate(history):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * current
    torch.testing.assert_close(weight.detach(), expected)
    assert not torch.equal(weight.detach(), history[-1])
