"""The bundled models mean something: the benchmarks, small, with room for chance.

The figures that these bounds stand well below are in `docs/results.md`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pairaug.evaluate.counterfactual import CounterfactualSettings, run_counterfactual
from pairaug.evaluate.fidelity import FidelitySettings, run_fidelity


@pytest.fixture(scope="module")
def fidelity(tmp_path_factory: pytest.TempPathFactory) -> dict:
    settings = FidelitySettings(num_patients=48, num_inference_steps=10, device="cpu")
    return json.loads(run_fidelity(settings, tmp_path_factory.mktemp("fidelity")).read_text())


@pytest.fixture(scope="module")
def edits(tmp_path_factory: pytest.TempPathFactory) -> dict:
    settings = CounterfactualSettings(
        num_edits=16,
        num_inference_steps=10,
        device="cpu",
        methods=("inverted", "inverted_no_region", "source", "truth"),
    )
    folder: Path = tmp_path_factory.mktemp("counterfactual")
    return json.loads(run_counterfactual(settings, folder).read_text())["methods"]


def test_images_show_what_their_reports_state(fidelity: dict):
    assert fidelity["num_failed"] == 0
    assert fidelity["generated"]["macro_auroc"]["value"] > 0.8
    assert fidelity["generated"]["side_right"]["value"] > 0.75


def test_classifier_is_right_on_true_images(fidelity: dict):
    assert fidelity["true"]["macro_auroc"]["value"] > 0.97
    assert fidelity["true"]["side_right"]["value"] > 0.95


def test_scorer_prefers_own_reports(fidelity: dict):
    assert fidelity["true"]["scorer_auroc"]["value"] > 0.95


def test_autoencoder_round_trip(fidelity: dict):
    assert fidelity["round_trip"]["value"] < 0.015


def test_an_edit_is_of_the_same_patient(edits: dict):
    assert edits["inverted"]["ratio_to_free"]["value"] < 0.4
    assert (
        edits["inverted"]["distance"]["value"]
        < 0.9 * edits["inverted_no_region"]["distance"]["value"]
    )
    # Nearer to the right answer than the unchanged image: the change is there.
    assert edits["inverted"]["distance"]["value"] < edits["source"]["distance"]["value"]


def test_an_edit_shows_the_change(edits: dict):
    assert edits["inverted"]["success_rate"]["value"] > 0.5
    assert edits["truth"]["success_rate"]["value"] > 0.8
