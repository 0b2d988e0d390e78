"""The examples of evaluations are valid, with their commented alternatives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from pairaug.config import load_model
from pairaug.evaluate.data import LabelledData
from pairaug.evaluate.linear_probe import LinearProbeSettings
from pairaug.evaluate.zero_shot import ZeroShotSettings
from pairaug.settings import StageSettings

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "model"),
    [("zero-shot", ZeroShotSettings), ("linear-probe", LinearProbeSettings)],
)
def test_the_examples_are_valid(name: str, model: type[StageSettings]):
    path = EXAMPLES / f"{name}.yaml"
    settings = load_model(model, path).model_dump()
    assert settings["data"]["layout"] == "phantom"
    plain = re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    shown = re.findall(r"^(?:test_)?data: (\{.*?\})$", plain, flags=re.MULTILINE | re.DOTALL)
    assert shown
    for text in shown:
        TypeAdapter(LabelledData).validate_python(yaml.safe_load(text))
