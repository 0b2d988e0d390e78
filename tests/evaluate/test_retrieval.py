"""`pairaug evaluate retrieval` as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pairaug.errors import ModelError
from pairaug.evaluate.data.settings import PhantomData
from pairaug.evaluate.retrieval import RetrievalSettings, run_retrieval
from support.tiny_clip import write_image_model


def test_bundled_scorer_retrieves_phantoms(tmp_path: Path) -> None:
    settings = RetrievalSettings(
        data=PhantomData(num_patients=40, seed=5), device="cpu", num_resamples=200, ranks=(1, 5, 40)
    )
    path = run_retrieval(settings, tmp_path)
    content = json.loads(path.read_text())
    assert content["num_pairs"] == content["num_patients"] == 40
    for direction in ("image to report", "report to image"):
        recall = content["recall"][direction]
        assert recall["at_1"]["low"] > 0.3  # by chance 0.025
        assert recall["at_1"]["value"] <= recall["at_5"]["value"]
        assert recall["at_40"]["value"] == 1.0
        assert recall["median_rank"] < 4
    table = path.with_suffix(".txt").read_text()
    assert "recall at 5" in table
    # No report is written anywhere, nor a patient's id.
    assert "effusion" not in path.read_text() + table
    assert "phantom-0" not in path.read_text() + table


def test_rejects_image_only_model(tmp_path: Path) -> None:
    folder = write_image_model(tmp_path / "images")
    settings = RetrievalSettings(
        model=str(folder), data=PhantomData(num_patients=2, size=32), device="cpu"
    )
    with pytest.raises(ModelError, match="retrieval needs a text tower"):
        run_retrieval(settings, tmp_path / "out")
