"""The counterfactual benchmark: its whole program on tiny models of random weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from pairaug.diffusion.pipeline import load_pipeline
from pairaug.edit import Edit
from pairaug.errors import DataError
from pairaug.evaluate.classifier import FindingsClassifier
from pairaug.evaluate.counterfactual import (
    CounterfactualSettings,
    as_json,
    compare,
    format_counterfactual,
    run_counterfactual,
    sample_edits,
)
from pairaug.evaluate.counterfactual_methods import METHODS, edit_options
from pairaug.evaluate.edits import Rewritten
from pairaug.phantom.study import sample_study
from pairaug.stage import RunContext
from support.tiny_generator import write_generator


def _with_a_tube(study):
    """A stand-in for a rewriter: another study's report with a tube, or nothing."""
    if study.index % 5 == 4:
        return None
    return Rewritten(study.text, f"{study.text} Endotracheal tube in standard position.")


@pytest.fixture(scope="module")
def generator_folder(tmp_path_factory):
    return write_generator(tmp_path_factory.mktemp("models") / "generator")


@pytest.fixture(scope="module")
def pipeline(generator_folder):
    return load_pipeline(generator_folder)


@pytest.fixture(scope="module")
def edits(pipeline):
    return sample_edits(3, 5, pipeline.image_size, _with_a_tube)[0]


def _compare(pipeline, classifier_folder, edits, **settings):
    wanted = CounterfactualSettings(num_inference_steps=3, **settings)
    return compare(pipeline, FindingsClassifier(classifier_folder), edits, wanted)


def test_edits_are_of_new_patients_and_what_is_left_out_is_counted():
    edits, not_used = sample_edits(3, 12, 32, _with_a_tube)
    assert len({edit.study.patient_id for edit in edits}) == 12
    assert not_used["no_rewrite"] >= 2
    has_tube = sum(
        "endotracheal tube" in {f.kind for f in sample_study(3, i).findings}
        for i in range(edits[-1].study.index)
        if i % 5 != 4
    )
    assert not_used.get("nothing_changed", 0) == has_tube
    assert all(edit.change == "added" for edit in edits)


def test_rewriter_without_changes():
    with pytest.raises(DataError, match=r"of 40 phantoms only 0 gave an edit"):
        sample_edits(3, 2, 32, lambda study: Rewritten(study.text, study.text))


def test_every_method_is_measured(pipeline, classifier_folder, edits):
    result = _compare(pipeline, classifier_folder, edits)
    assert tuple(result.methods) == tuple(METHODS)
    assert result.changes == {"added": 5}
    assert result.methods["free"].ratio.value == pytest.approx(1.0)
    assert result.methods["answer"].distance.value == 0
    for name, scores in result.methods.items():
        assert 0 < scores.distance.value < 1 or name == "answer"
        assert scores.num_failed == 0
        assert math.isnan(scores.partial_success.value)
    values = [scores.distance.value for scores in result.methods.values()]
    assert len(set(values)) == len(values), "two methods gave the same images"


def test_source_and_truth_of_edits(pipeline, classifier_folder, edits):
    """The round trips are of the source and of the right answer, measured against the latter."""
    result = _compare(pipeline, classifier_folder, edits, methods=("source", "truth"))
    for name in ("source", "truth"):
        images = np.stack([getattr(edit, name) for edit in edits])
        decoded = pipeline.decode_latents(pipeline.encode_latents(images))
        expected = np.abs(decoded - np.stack([edit.truth for edit in edits])).mean()
        assert result.methods[name].distance.value == pytest.approx(expected, rel=1e-5)
    assert set(result.methods) == {"free", "source", "truth"}


def test_batch_size_changes_nothing(pipeline, classifier_folder, edits):
    methods = ("inverted", "regenerated")
    results = [
        _compare(pipeline, classifier_folder, edits, methods=methods, batch_size=size)
        for size in (2, 5)
    ]
    for name in ("inverted", "regenerated", "free"):
        one, other = (result.methods[name].distance.value for result in results)
        assert one == pytest.approx(other, abs=1e-5)


def test_images_that_failed_are_counted(pipeline, classifier_folder, edits, monkeypatch):
    def fails(latents):
        return np.full((len(latents), 16, 16), np.nan, dtype=np.float32)

    monkeypatch.setattr(type(pipeline), "decode_latents", lambda self, latents: fails(latents))
    result = _compare(pipeline, classifier_folder, edits, methods=("truth",))
    black = np.mean([edit.truth.mean() for edit in edits])
    assert result.methods["truth"].num_failed == 5
    assert result.methods["truth"].distance.value == pytest.approx(black, rel=1e-5)
    assert "Failed images" in format_counterfactual(result)


def test_methods_are_settings_of_the_edit():
    settings = CounterfactualSettings(num_inference_steps=7, blend_threshold=0.2, seed=5)
    default = edit_options(settings.edit_settings("inverted"))
    assert (default.num_inference_steps, default.blend_threshold) == (7, 0.2)
    assert (default.cross_replace_steps, default.self_replace_steps) == (0.3, 0.1)
    assert default.blends
    assert not edit_options(settings.edit_settings("inverted_no_region")).blends
    assert settings.edit_settings("regenerated").method == "regenerate"
    unlike = edit_options(settings.edit_settings("inverted_no_correction"))
    assert replace(unlike, correct_drift=True) == default


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.is_edit])
def test_methods_have_the_options_of_the_stage(name):
    settings = CounterfactualSettings().edit_settings(name)
    assert edit_options(settings) == Edit(settings, RunContext(seed=0))._options


def test_unknown_methods_are_refused():
    with pytest.raises(ValidationError, match=r"'swapped' is not a method; the methods are inv"):
        CounterfactualSettings(methods=("swapped",))


def test_table_and_json(pipeline, classifier_folder, edits):
    result = _compare(pipeline, classifier_folder, edits, methods=("inverted",))
    table = format_counterfactual(result)
    assert "simulated" in table
    assert METHODS["inverted"].label in table
    content = json.loads(json.dumps(as_json(result), allow_nan=False))
    assert content["methods"]["inverted"]["success_rate_by_change"]["added"]["num"] == 5
    assert content["methods"]["inverted"]["partial_success"]["value"] is None


def test_the_program(generator_folder, classifier_folder, tmp_path):
    counts: list[int] = []
    settings = CounterfactualSettings(
        generator=str(generator_folder),
        classifier=str(classifier_folder),
        num_edits=3,
        num_inference_steps=2,
        methods=("inverted",),
        device="cpu",
    )
    path = run_counterfactual(settings, tmp_path / "out", counts.append)
    content = json.loads(path.read_text())
    assert content["num_edits"] == 3
    assert content["settings"]["num_inference_steps"] == 2
    assert set(content["methods"]) == {"inverted", "free"}
    assert len(content["models"]["generator"]) == 64
    assert sum(counts) == 6
    assert "95 %" in path.with_suffix(".txt").read_text()
    again = run_counterfactual(settings, tmp_path / "again")
    assert again.read_text() == path.read_text()
