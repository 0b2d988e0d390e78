"""Labels that an evaluation reads from reports come from English reports only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pairaug.evaluate.data.cases import open_cases
from pairaug.evaluate.data.settings import ReadData
from support.layout_trees import image


@pytest.mark.parametrize("unstated", ["ignore", "negative"])
def test_reports_in_other_languages(tmp_path: Path, unstated: Any) -> None:
    texts = {"a": "Kein Erguss. Kein Pneumothorax.", "b": "No effusion. Pneumothorax."}
    for index, (name, text) in enumerate(texts.items()):
        (tmp_path / f"{name}.png").write_bytes(image(seed=index))
        (tmp_path / f"{name}.txt").write_text(text)
    data = {
        "read": {"layout": "cxr-folder", "root": tmp_path},
        "split": "all",
        "labels": "report",
        "unstated": unstated,
    }
    german, english = open_cases(TypeAdapter(ReadData).validate_python(data)).stream()
    assert all(math.isnan(value) for value in german.labels.values())
    assert (english.labels["pneumothorax"], english.labels["pleural effusion"]) == (1.0, 0.0)
