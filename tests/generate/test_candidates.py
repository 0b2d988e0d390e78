"""Several candidates of a new patient's image: the choice, and its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import pairaug.diffusion.sampling as sampling
from pairaug.clip.folder import weights_sha256
from pairaug.errors import SettingsError
from pairaug.generate import Generate, GenerateSettings
from pairaug.pair import Branch, Pair
from pairaug.record import RunRecord
from pairaug.score import Score, ScoreSettings
from pairaug.stage import RunContext, apply, seed_for
from support.generate_pairs import PAIRS, image

NUM_IMAGES = 3


@pytest.fixture(scope="module")
def settings(tiny_generator_folder: Path, tiny_scorer_folder: Path) -> dict[str, Any]:
    return {
        "model": str(tiny_generator_folder),
        "num_inference_steps": 2,
        "batch_size": 2,
        "num_images": NUM_IMAGES,
        "accept": {"model": str(tiny_scorer_folder)},
    }


def generated(settings: dict[str, Any]) -> list[Pair]:
    """The inter pairs, candidates of one report together."""
    finished = Generate(GenerateSettings(**settings), RunContext(seed=3))(PAIRS)
    return [pair for pair in finished if pair.branch is Branch.INTER]


@pytest.fixture(scope="module")
def everything(settings: dict[str, Any]) -> list[Pair]:
    return generated(settings)


@pytest.fixture(scope="module")
def cosines(everything: list[Pair], settings: dict[str, Any]) -> np.ndarray:
    """Image against report as the stage `score` has it, `report try`."""
    scorer = ScoreSettings(model=settings["accept"]["model"])
    scored = Score(scorer, RunContext(seed=3))(everything)
    return np.array([pair.scores["image_report"] for pair in scored]).reshape(-1, NUM_IMAGES)


def test_all_tries_are_pairs_of_their_own_with_images_of_their_own(
    everything: list[Pair], settings: dict[str, Any]
) -> None:
    ids = ["made/0~inter-0", "made/0~inter-0~candidate-1", "made/0~inter-0~candidate-2"]
    candidates = everything[:NUM_IMAGES]
    assert [pair.id for pair in candidates] == ids
    assert len(everything) == 5 * NUM_IMAGES
    assert {pair.parent_id for pair in candidates} == {"made/0"}
    assert {pair.patient_id for pair in candidates} == {"made/0~inter-0"}
    assert {pair.report for pair in candidates} == {PAIRS[1].report}
    assert [pair.trace["generate"]["seed"] for pair in candidates] == [
        seed_for(3, pair_id, "generate") for pair_id in ids
    ]
    assert [pair.trace["generate"]["candidate"] for pair in candidates] == [0, 1, 2]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(image(candidates[one]) - image(candidates[other])).mean() > 0.005
    once = generated({**settings, "num_images": 1})
    assert np.abs(image(once[0]) - image(candidates[0])).max() <= 1.01 / 255


def test_a_run_counts_every_try(everything: list[Pair], settings: dict[str, Any]) -> None:
    finished = apply(Generate(GenerateSettings(**settings), RunContext(seed=3)), PAIRS)
    assert {pair.id for pair in finished} == {pair.id for pair in (*PAIRS, *everything)}


def test_the_best_try_is_the_one_nearest_its_report(
    everything: list[Pair], cosines: np.ndarray, settings: dict[str, Any]
) -> None:
    best = generated({**settings, "keep": "best"})
    assert [pair.id for pair in best] == [p.id for p in PAIRS if p.branch is Branch.INTER]
    numbers = cosines.argmax(axis=1)
    assert len(set(numbers.tolist())) > 1
    for row, pair in enumerate(best):
        trace = pair.trace["generate"]
        assert trace["candidate"] == numbers[row]
        assert trace["num_candidates"] == NUM_IMAGES
        assert trace["accepted"]
        assert trace["candidate_scores"] == {
            "image_report": pytest.approx(cosines[row].max(), abs=1e-4)
        }
        expected = everything[NUM_IMAGES * row + int(numbers[row])]
        assert np.abs(image(pair) - image(expected)).max() <= 1.01 / 255


def test_first_passing_draws_no_more_than_it_needs_in_full_batches(
    cosines: np.ndarray, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = float(np.median(cosines[:, 0])) + 1e-4
    generate, counts = sampling.sample_latents, []

    def counted(*arguments: Any) -> Any:
        counts.append(len(arguments[1]))
        return generate(*arguments)

    monkeypatch.setattr(sampling, "sample_latents", counted)
    accept = {**settings["accept"], "image_report": bound}
    after = generated({**settings, "keep": "first-accepted", "accept": accept})
    expected = [np.flatnonzero(row > bound).tolist() for row in cosines]
    num_generated = [passing[0] + 1 if passing else NUM_IMAGES for passing in expected]
    assert 1 in num_generated
    assert max(num_generated) > 1
    traces = [pair.trace["generate"] for pair in after]
    assert [trace["num_candidates"] for trace in traces] == num_generated
    assert [trace["accepted"] for trace in traces] == [bool(passing) for passing in expected]
    assert sum(counts) == sum(num_generated)
    # Five reports, two at once: all five are begun before any is tried again.
    assert counts[:3] == [2, 2, 1]
    for trace, row, passing in zip(traces, cosines, expected, strict=True):
        assert trace["candidate"] == (passing[0] if passing else row.argmax())
        assert trace["bounds"] == {"image_report": bound}


def test_a_image_at_fault_never_passes(settings: dict[str, Any]) -> None:
    stage = Generate(GenerateSettings(**{**settings, "keep": "best"}), RunContext(seed=3))
    stage._pipeline.vae.decoder.conv_out.bias.data.fill_(np.nan)
    after = list(stage(PAIRS[:3]))
    assert after[1].drop is not None
    assert after[1].drop.reason == "image_not_finite"
    assert after[1].trace["generate"]["candidate_scores"] == {"image_report": None}
    assert not after[1].trace["generate"]["accepted"]


def test_bounds_come_from_the_rule_that_another_run_fitted(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    weights = {"score": {"pilot's": weights_sha256(Path(settings["accept"]["model"]))}}
    rule = {"inter": {"bounds": {"image_report": 0.25}}, "intra": {"bounds": {"directional": 0.5}}}
    RunRecord(rule=rule, weights=weights).write(tmp_path / "run.json")
    accept = {**settings["accept"], "bounds_from": tmp_path}
    whole = {**settings, "keep": "first-accepted", "accept": accept}
    assert generated(whole)[0].trace["generate"]["bounds"] == {"image_report": 0.25}
    assert len(Generate.weights(GenerateSettings(**whole))) == 3
    RunRecord().write(tmp_path / "run.json")
    with pytest.raises(
        SettingsError, match=r"generate\.accept\.bounds_from.*rule for new patients"
    ):
        Generate.weights(GenerateSettings(**whole))


def test_the_judge_is_no_part_of_a_run_that_keeps_all(settings: dict[str, Any]) -> None:
    assert list(Generate.weights(GenerateSettings(**settings))) == [settings["model"]]


def test_first_accepted_needs_a_bound(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="needs a bound"):
        GenerateSettings(**{**settings, "keep": "first-accepted"})


def test_a_new_patient_is_not_judged_as_an_edit_is(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="directional"):
        GenerateSettings(**{**settings, "accept": {"directional": 0.5}})
