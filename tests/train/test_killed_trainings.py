"""A training killed at any operation on its files ends with the same files, and nothing is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pairaug.train.classifier import ClassifierSettings, train_classifier
from pairaug.train.clip import ClipSettings, train_clip
from pairaug.train.generator import GeneratorSettings, train_generator
from support.kills import Killed, operations_below, values_below
from support.small_trainings import CLASSIFIER, CLIP, GENERATOR

Train = Callable[[Path], object]
SHORT = {"max_steps": 2}


def clip(out: Path) -> None:
    train_clip(ClipSettings.model_validate({**CLIP, **SHORT, "evaluate_steps": 1}), out)


def streamed(out: Path) -> None:
    short = {**CLIP, **SHORT, "streamed": True, "tokenizer": "bundled"}
    train_clip(ClipSettings.model_validate(short), out)


def classifier(out: Path) -> None:
    train_classifier(ClassifierSettings.model_validate({**CLASSIFIER, **SHORT}), out)


def generator(out: Path) -> None:
    short = {name: {**GENERATOR[name], **SHORT} for name in ("vae", "denoiser")}
    train_generator(GeneratorSettings.model_validate({**GENERATOR, **short}), out)


@pytest.mark.parametrize(
    ("train", "first", "step"),
    [
        (clip, 2, 12),
        (generator, 5, 30),
        *(
            pytest.param(train, 0, 1, marks=pytest.mark.slow)
            for train in (clip, streamed, classifier, generator)
        ),
    ],
)
def test_training_killed_at_any_file_operation(
    train: Train, first: int, step: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with operations_below(out) as counted:
        train(out)
    expected = values_below(out)
    assert counted.count > 10
    for last in range(first, counted.count, step):
        shutil.rmtree(out)
        with pytest.raises(Killed), operations_below(out, last):
            train(out)
        train(out)
        found = values_below(out)
        assert found.keys() == expected.keys(), f"killed at operation {last + 1}"
        for name, value in expected.items():
            assert found[name] == value, f"{name}, killed at operation {last + 1}"
