"""A training that is killed ends as one that is not; the best weights; where it ends."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pairaug.errors import RunError, SettingsError
from pairaug.readers import SplitFractions
from pairaug.system.locks import hold_lock
from pairaug.train.clip import ClipSettings, train_clip
from pairaug.train.loop import Loop

TOWERS = {
    "tokenizer": "bundled",
    "image_size": 32,
    "vision_hidden_size": 16,
    "vision_num_layers": 1,
    "vision_num_heads": 2,
    "text_hidden_size": 16,
    "text_num_layers": 1,
    "text_num_heads": 2,
    "projection_size": 8,
    "device": "cpu",
    "warmup_steps": 1,
    "batch_size": 6,
    "checkpoint_minutes": 0.0,
    "save_dtype": "float32",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def settings(cache: Path, **changes: object) -> ClipSettings:
    read = {"layout": "phantom", "num_patients": 24, "size": 32, "seed": 2}
    read["split"] = {"validation_fraction": 0.3, "test_fraction": 0.0}
    values = {**TOWERS, "sources": [{"read": read}], "cache": cache, "max_steps": 4}
    return ClipSettings.model_validate({**values, **changes})


class Killed(Exception):
    """Stands for a kill: nothing of the step after the last checkpoint remains."""


def train_killed_at(step: int, chosen: ClipSettings, out: Path) -> None:
    one_step = Loop._one_step

    def killed(loop: Loop, progress: float):
        if loop.step == step:
            raise Killed
        return one_step(loop, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_one_step", killed)
        with pytest.raises(Killed):
            train_clip(chosen, out)


def test_one_process_trains_in_a_folder(cache: Path, tmp_path: Path):
    with hold_lock(tmp_path), pytest.raises(RunError, match="is being written by another process"):
        train_clip(settings(cache), tmp_path)


RECIPES = {
    "averaged": {},
    "sgd in pieces": {"optimizer": "sgd", "micro_batch_size": 4, "ema_decay": 0.0},
    "resnet": {"architecture": "resnet", "hidden_sizes": (8, 16), "ema_decay": 0.9},
    "best": {"best_by": "loss", "evaluate_steps": 1, "learning_rate": 0.5, "gradient_clip": None},
    "bfloat16": {"precision": "bfloat16", "streamed": True},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_at_any_step_and_resumed_gives_the_same_weights(
    recipe: str, cache: Path, tmp_path: Path
):
    chosen = settings(cache, **RECIPES[recipe])
    expected = train_clip(chosen, tmp_path / "whole")
    weights = load_file(tmp_path / "whole" / "clip" / "model.safetensors")
    for step in range(1, 4):
        out = tmp_path / str(step)
        train_killed_at(step, chosen, out)
        outcome = train_clip(chosen, out)
        assert outcome.metrics == expected.metrics
        resumed = load_file(out / "clip" / "model.safetensors")
        assert weights.keys() == resumed.keys()
        for name, weight in weights.items():
            assert torch.equal(weight, resumed[name]), name


def test_the_best_weights_are_those_saved(cache: Path, tmp_path: Path):
    """A rate far too high leaves the first steps the best; a run of so many ends with the same."""
    wild = {"learning_rate": 0.5, "schedule": "constant", "gradient_clip": None, "ema_decay": 0.0}
    wild = {**wild, "evaluate_steps": 1, "optimizer": "sgd"}
    outcome = train_clip(settings(cache, best_by="loss", max_steps=6, **wild), tmp_path / "long")
    training = tmp_path / "long" / "training"
    with (training / "evaluation.csv").open(newline="") as stream:
        losses = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(stream)}
    assert list(losses) == [1, 2, 3, 4, 5, 6]
    best = min(losses, key=losses.__getitem__)
    assert best < 6
    assert outcome.metrics["loss"] == pytest.approx(losses[best], rel=1e-5)
    assert [path.name for path in training.glob("best-*.pt")] == [f"best-{best:08d}.pt"]
    train_clip(settings(cache, max_steps=best, **wild), tmp_path / "short")
    kept, expected = (
        load_file(tmp_path / name / "clip" / "model.safetensors") for name in ("long", "short")
    )
    for name, weight in expected.items():
        assert torch.equal(kept[name], weight), name


def test_patience_ends_a_training_that_no_longer_improves(cache: Path, tmp_path: Path):
    chosen = settings(
        cache, best_by="recall_at_1", patience=2, evaluate_steps=1, max_steps=40, learning_rate=1e-9
    )
    outcome = train_clip(chosen, tmp_path)
    assert outcome.steps == 3
    assert train_clip(chosen, tmp_path).steps == 3


def test_best_by_without_validation_pairs(cache: Path, tmp_path: Path):
    read = {"layout": "phantom", "num_patients": 8, "size": 32}
    chosen = settings(cache, best_by="loss", sources=[{"read": read}])
    with pytest.raises(SettingsError, match="best_by is loss, but there are no validation pairs"):
        train_clip(chosen, tmp_path)


def test_epochs_count_all_pairs(cache: Path, tmp_path: Path):
    outcome = train_clip(settings(cache, max_steps=None, epochs=2), tmp_path)
    record = (tmp_path / "clip" / "training.json").read_text()
    num_train = 24 - _num_validation(tmp_path)
    assert outcome.steps == -(-2 * num_train // 6)
    assert f'"steps": {outcome.steps}' in record


def _num_validation(out: Path) -> int:
    fractions = SplitFractions(validation_fraction=0.3, test_fraction=0.0)
    return sum(fractions.split_of(f"phantom-{index:06d}") == "validation" for index in range(24))


def test_resuming_rejects_other_pairs(cache: Path, tmp_path: Path):
    train_clip(settings(cache, max_steps=1), tmp_path)
    other = {"layout": "phantom", "num_patients": 12, "size": 32, "seed": 2}
    with pytest.raises(SettingsError, match=r"begun with other settings \(pairs, sources changed"):
        train_clip(settings(cache, max_steps=2, sources=[{"read": other}]), tmp_path)


def test_tensorboard_equals_csv(cache: Path, tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    chosen = settings(cache, log_to=["tensorboard"], log_steps=2, evaluate_steps=2)
    train_clip(chosen, tmp_path)
    events = EventAccumulator(str(tmp_path / "training" / "tensorboard"))
    events.Reload()
    with (tmp_path / "training" / "curves.csv").open(newline="") as stream:
        written = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)]
    shown = [(each.step, each.value) for each in events.Scalars("train/loss")]
    assert [step for step, _ in shown] == [step for step, _ in written] == [2, 4]
    assert [loss for _, loss in shown] == pytest.approx([loss for _, loss in written], rel=1e-4)
    assert [each.step for each in events.Scalars("validation/auroc")] == [2, 4]
