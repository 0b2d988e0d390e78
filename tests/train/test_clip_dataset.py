"""A tiny CLIP on phantoms and on the real pairs, where they are at hand, end to end.

The folder is that of PAIRAUG_TEST_DATA, or `../shared/data` beside the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pairaug.clip.encoders import open_encoder
from pairaug.train.clip import ClipSettings, train_clip

pytestmark = pytest.mark.dataset
DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_phantoms_and_real_pairs_train_one_model(tmp_path: Path):
    table = {
        "layout": "table",
        "table": DATA / "covid_cxr_pairs" / "reports.csv",
        "columns": {"id": "image_id", "file": "file", "patient_id": "patient_id"},
        "split": {"validation_fraction": 0.3, "test_fraction": 0.0},
    }
    phantoms = {"layout": "phantom", "num_patients": 200, "size": 64, "seed": 6}
    settings = ClipSettings.model_validate(
        {
            "preset": "tiny",
            "sources": [{"read": table, "weight": 2}, {"read": phantoms}],
            "fit": "pad",
            "max_steps": 20,
            "batch_size": 32,
            "device": "cpu",
            "evaluate_steps": 10,
        }
    )
    outcome = train_clip(settings, tmp_path)
    assert outcome.steps == 20
    assert np.isfinite(list(outcome.metrics.values())).all()
    # Held out are real images alone: the phantoms were all for training.
    encoder = open_encoder(tmp_path / "clip")
    texts = encoder.encode_reports(["Bilateral opacities.", "No opacities."])
    assert texts.shape == (2, 128)
    assert not np.allclose(texts[0], texts[1])
