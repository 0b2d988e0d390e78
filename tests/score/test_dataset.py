"""Real images and reports, where they are at hand, through the bundled scorer's classes.

The weights are random: what is tested is that images of every size and reports of every length go
through, and that one broken item is one drop. The folder is that of PAIRAUG_TEST_DATA, or
`../shared/data` beside the repository.
"""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

from pairaug.bundled import folder as bundled_folder
from pairaug.imaging.io import load_image, png_ref
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.score import Score, ScoreSettings
from pairaug.stage import RunContext, apply

pytestmark = pytest.mark.dataset
DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
PAIRS = DATA / "covid_cxr_pairs"


@pytest.fixture(scope="module")
def random_scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled scorer with its weights generated again."""
    source, folder = Path(bundled_folder("scorer")), tmp_path_factory.mktemp("models") / "random"
    shutil.copytree(source, folder)
    torch.manual_seed(0)
    config = VisionTextDualEncoderConfig.from_pretrained(folder)
    model = VisionTextDualEncoderModel(config)
    # As generated, the image tower's normalisations do not fit their inputs; all fades to 0.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        channels = int(config.vision_config.num_channels)
        model.vision_model.train()(torch.randn(8, channels, 128, 128))
    model.save_pretrained(folder)
    return folder


def _real_pairs() -> list[Pair]:
    path = PAIRS / "reports.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Pair(
            id=f"covid/{row['image_id']}",
            branch=Branch.REAL,
            patient_id=row["patient_id"],
            report=Report(findings=row["findings"], impression=row["impression"]),
            image=ImageRef(path=str(PAIRS / row["file"])),
        )
        for row in rows
    ]


def test_real_pairs_are_scored_and_broken_ones_dropped(random_scorer: Path, tmp_path: Path) -> None:
    pairs = _real_pairs()
    broken = tmp_path / "broken.jpg"
    content = Path(str(pairs[0].image.path)).read_bytes()  # type: ignore[union-attr]
    broken.write_bytes(content[: len(content) // 3])
    bad = [
        Pair("bad/image", Branch.REAL, "p", Report("Clear."), image=ImageRef(path=str(broken))),
        Pair("bad/gone", Branch.REAL, "p", Report("Clear."), image=ImageRef(path="/no/image.png")),
        Pair("bad/empty", Branch.REAL, "p", Report(), image=pairs[0].image),
    ]
    edits = [_edit(pair) for pair in pairs[:12]]
    given = [*pairs[:12], *edits, *bad, *pairs[12:]]
    settings = ScoreSettings(model=str(random_scorer))
    scored = {pair.id: pair for pair in apply(Score(settings, RunContext(seed=0)), given)}
    assert len(scored) == len(given)
    reasons = {pair.id: pair.drop.reason for pair in scored.values() if pair.drop}
    assert reasons.pop("bad/image") == "unreadable_image"
    assert reasons.pop("bad/gone") == "missing_image"
    assert reasons.pop("bad/empty") == "no_report"
    assert set(reasons.values()) <= {"no_report"}
    living = [pair for pair in scored.values() if pair.drop is None]
    assert len(living) > 150
    for pair in living:
        assert all(value is not None and -1 <= value <= 1 for value in pair.scores.values())
        assert np.linalg.norm(pair.image_embedding or ()) == pytest.approx(1, abs=1e-5)
    assert all(
        set(scored[edit.id].scores) == {"image_report", "image_image", "directional"}
        for edit in edits
    )


def _edit(pair: Pair) -> Pair:
    assert pair.image is not None
    image = np.fliplr(load_image(pair.image)).copy()
    child = pair.child(
        "intra-0",
        branch=Branch.INTRA,
        source_report=pair.report.text,
        report=Report("No pleural effusion."),
    )
    return child.with_image(png_ref(image))
