"""Fidelity: the right numbers from known arrays, and the whole program on tiny models."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pairaug.evaluate.fidelity import (
    FidelitySettings,
    as_json,
    format_fidelity,
    matching_auroc,
    measure_fidelity,
    run_fidelity,
    side_hits,
)
from pairaug.phantom.findings import LABELS, Finding, label_vector
from pairaug.phantom.study import sample_study
from support.tiny_clip import write_clip
from support.tiny_generator import write_generator

LEFT, RIGHT = LABELS.index("left pleural effusion"), LABELS.index("right pleural effusion")


@pytest.fixture(scope="module")
def findings():
    return np.stack([label_vector(sample_study(1, index).findings) for index in range(120)])


def test_sides():
    rows = np.stack(
        [
            label_vector([Finding("pleural effusion", "left", None, "mild")]),
            label_vector([Finding("pleural effusion", "right", None, "mild")]),
            label_vector([Finding("cardiomegaly", severity="mild")]),
        ]
    )
    both = label_vector(
        [Finding("pleural effusion", side, None, "mild") for side in ("left", "right")]
    )
    rows = np.vstack([rows, both[None]])
    probabilities = np.full((4, len(LABELS)), 0.1)
    probabilities[0, [LEFT, RIGHT]] = 0.3, 0.2  # right, though below one half
    probabilities[1, [LEFT, RIGHT]] = 0.9, 0.8  # wrong
    assert side_hits(rows, probabilities).tolist() == [True, False]


def test_side_ties():
    row = label_vector([Finding("pleural effusion", "left", None, "mild")])[None]
    assert side_hits(row, np.zeros((1, len(LABELS)))).tolist() == [False]


def test_matching():
    own = np.eye(50)
    assert matching_auroc(own).value == 1.0
    assert matching_auroc(-own).value == 0.0
    assert matching_auroc(np.ones((50, 50))).value == 0.5
    noise = np.random.default_rng(0).normal(size=(400, 400))
    estimate = matching_auroc(noise + 2.0 * np.eye(400))
    # Two normals, two standard deviations apart: Phi(2 / sqrt 2).
    assert estimate.value == pytest.approx(0.921, abs=0.03)
    assert estimate.low < estimate.value < estimate.high


def test_keys_of_the_numbers(findings):
    rng = np.random.default_rng(0)
    good, poor = findings + 0.1 * rng.random(findings.shape), rng.random(findings.shape)
    result = measure_fidelity(
        findings,
        {"true": good, "generated": poor},
        {"true": np.eye(120), "generated": np.zeros((120, 120))},
        np.full(120, 0.011),
    )
    assert result.true.macro_auroc.value == 1.0
    assert 0.4 < result.generated.macro_auroc.value < 0.6
    assert result.true.side_right.value == 1.0
    assert (result.scorer_true.value, result.scorer_generated.value) == (1.0, 0.5)
    assert result.round_trip.value == pytest.approx(0.011)
    assert [row.label for row in result.labels] == list(LABELS)
    assert all(row.num_positive == findings[:, i].sum() for i, row in enumerate(result.labels))
    content = as_json(result)
    assert content["true"]["macro_auroc"]["value"] == 1.0
    assert set(content["labels"]) == set(LABELS)
    table = format_fidelity(result)
    assert "simulated" in table
    assert "0.0110" in table


def test_the_program(classifier_folder, tmp_path):
    counts: list[int] = []
    settings = FidelitySettings(
        generator=str(write_generator(tmp_path / "generator")),
        classifier=str(classifier_folder),
        scorer=str(write_clip(tmp_path / "scorer")),
        num_patients=6,
        num_inference_steps=2,
        batch_size=4,
        device="cpu",
    )
    path = run_fidelity(settings, tmp_path / "out", counts.append)
    content = json.loads(path.read_text())
    assert content["num_patients"] == 6
    assert set(content["models"]) == {"generator", "classifier", "scorer"}
    assert 0 < content["round_trip"]["value"] < 1
    # Other images than the true ones have been read.
    assert content["generated"]["macro_auroc"] != content["true"]["macro_auroc"]
    assert counts == [4, 2]
    assert "simulated" in path.with_suffix(".txt").read_text()
