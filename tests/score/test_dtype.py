from __future__ import annotations

import numpy as np

from pairaug.imaging.io import png_ref
from pairaug.pair import Branch, Pair, Report
from pairaug.score import Score, ScoreSettings
from pairaug.stage import RunContext


def _scored(dtype: str, own: str = "auto") -> Pair:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    pair = Pair("a/1", Branch.REAL, "p", Report("Small left effusion."), image=png_ref(image))
    settings = ScoreSettings.model_validate({"dtype": own})
    (scored,) = Score(settings, RunContext(seed=0, dtype=dtype))([pair])
    return scored


def test_the_scorer_may_have_a_number_type_of_its_own() -> None:
    exact, coarse = _scored("float32"), _scored("float32", own="bfloat16")
    assert exact.scores["image_report"] != coarse.scores["image_report"]
    assert abs(exact.scores["image_report"] - coarse.scores["image_report"]) < 0.05  # type: ignore[operator]
    assert coarse == _scored("bfloat16")
    assert exact == _scored("bfloat16", own="float32")
