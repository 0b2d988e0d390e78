from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pairaug.settings import StageSettings
from pairaug.train.classifier import ClassifierSettings
from pairaug.train.clip import ClipSettings
from pairaug.train.generator import GeneratorSettings

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("train-generator", GeneratorSettings),
        ("train-clip", ClipSettings),
        ("train-classifier", ClassifierSettings),
    ],
)
def test_examples_are_valid_and_share_images(name: str, model: type[StageSettings]):
    content = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    settings = model.model_validate(content)
    assert settings.data.cache == Path("runs/phantom-images")
    assert settings.data.num_patients == 39_000


def test_the_chexzero_example_is_valid():
    content = yaml.safe_load((EXAMPLES / "train-chexzero.yaml").read_text(encoding="utf-8"))
    settings = ClipSettings.model_validate(content)
    assert (settings.optimizer, settings.epochs, settings.max_steps) == ("sgd", 4, None)
