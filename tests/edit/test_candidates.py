"""Several candidates of one edit: how they differ, which of them goes on, and what that costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pairaug.diffusion.editing as editing
from pairaug.clip.folder import weights_sha256
from pairaug.edit import Edit, EditSettings
from pairaug.errors import RunError, SettingsError
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.record import RunRecord
from pairaug.score import Score, ScoreSettings
from pairaug.stage import RunContext, seed_for
from support.edit_pairs import PAIRS, SOURCES, intra, pixels

NAMES = ("image_report", "image_image", "directional")


@pytest.fixture(scope="module", params=["invert", "regenerate"])
def settings(
    request: pytest.FixtureRequest, tiny_generator_folder: Path, tiny_scorer_folder: Path
) -> dict[str, Any]:
    return {
        "model": str(tiny_generator_folder),
        "num_inference_steps": 3,
        "batch_size": 4,
        "method": request.param,
        "num_images": 3,
        "accept": {"model": str(tiny_scorer_folder)},
    }


def edited(settings: dict[str, Any], pairs: list[Pair], seed: int = 3) -> list[Pair]:
    return list(Edit(EditSettings(**settings), RunContext(seed=seed))(pairs))


def scores_of(pairs: list[Pair], folder: str) -> list[list[float]]:
    """As the stage `score` has them, of the intra pairs."""
    scored = list(Score(ScoreSettings(model=folder), RunContext(seed=3))(pairs))
    return [
        [pair.scores[name] or 0.0 for name in NAMES]
        for pair in scored
        if pair.branch is Branch.INTRA
    ]


def test_all_tries_are_pairs_of_their_own_with_images_of_their_own(settings: dict) -> None:
    after = edited(settings, PAIRS[:3])
    ids = ["made/0~intra-0", "made/0~intra-0~candidate-1", "made/0~intra-0~candidate-2"]
    assert [pair.id for pair in after] == ["made/0", "made/0~inter-0", *ids]
    candidates = after[2:]
    assert {pair.parent_id for pair in candidates} == {"made/0"}
    first = None if settings["method"] == "invert" else seed_for(3, ids[0], "edit")
    seeds = [first, *(seed_for(3, pair_id, "edit") for pair_id in ids[1:])]
    assert [pair.trace["edit"]["seed"] for pair in candidates] == seeds
    assert [pair.trace["edit"]["candidate"] for pair in candidates] == [0, 1, 2]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(pixels(candidates[one]) - pixels(candidates[other])).mean() > 0.005
    once = edited({**settings, "num_images": 1}, PAIRS[:3])
    assert np.abs(pixels(once[2]) - pixels(candidates[0])).max() <= 1.01 / 255


def test_another_run_draws_other_tries(settings: dict) -> None:
    after, other = (edited(settings, PAIRS[:3], seed=seed) for seed in (3, 4))
    assert np.abs(pixels(after[3]) - pixels(other[3])).mean() > 0.005


@pytest.mark.parametrize("settings", ["invert"], indirect=True)
def test_more_variation_moves_a_try_further(settings: dict) -> None:
    distances = []
    for noise_strength in (1e-4, 0.9):
        candidates = edited(
            {**settings, "num_images": 2, "noise_strength": noise_strength}, PAIRS[:3]
        )[2:]
        distances.append(np.abs(pixels(candidates[0]) - pixels(candidates[1])).mean())
    assert distances[0] < 0.5 * distances[1]


def test_the_best_try_is_the_one_that_the_scores_prefer(settings: dict) -> None:
    everything = edited(settings, PAIRS)
    scores = scores_of(everything, settings["accept"]["model"])
    best = edited({**settings, "keep": "best"}, PAIRS)
    assert [pair.id for pair in best] == [pair.id for pair in PAIRS]
    candidates = [pair for pair in everything if pair.branch is Branch.INTRA]
    chosen = [pair for pair in best if pair.branch is Branch.INTRA]
    for index, pair in enumerate(chosen):
        own = slice(3 * index, 3 * index + 3)
        means = [np.mean(row) for row in scores[own]]
        trace = pair.trace["edit"]
        assert trace["candidate"] == int(np.argmax(means))
        assert trace["num_candidates"] == 3
        assert trace["accepted"]
        assert list(trace["candidate_scores"].values()) == pytest.approx(
            scores[own][int(np.argmax(means))], abs=1e-4
        )
        expected = candidates[own][int(np.argmax(means))]
        assert np.abs(pixels(pair) - pixels(expected)).max() <= 1.01 / 255


def test_first_passing_draws_no_more_than_it_needs(
    settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = edited(settings, PAIRS)
    scores = scores_of(everything, settings["accept"]["model"])
    s1 = np.array(scores)[:, 0].reshape(3, 3)
    # Above it: the first candidates of one or two requests, and later ones of others.
    bound = float(np.median(s1[:, 0])) - 1e-4
    name = "edit_inverted" if settings["method"] == "invert" else "edit_regenerated"
    generate, counts = getattr(editing, name), []

    def counted(*arguments: Any) -> Any:
        counts.append(len(arguments[2]))
        return generate(*arguments)

    monkeypatch.setattr(editing, name, counted)
    accept = {**settings["accept"], "image_report": bound}
    after = edited({**settings, "keep": "first-accepted", "accept": accept}, PAIRS)
    chosen = [pair.trace["edit"] for pair in after if pair.branch is Branch.INTRA]
    expected, num_generated = [], []
    for row in s1:
        passing = np.flatnonzero(row > bound)
        expected.append(int(passing[0]) if len(passing) else None)
        num_generated.append(int(passing[0]) + 1 if len(passing) else 3)
    assert 0 in expected
    assert expected.count(0) == 2
    assert [trace["num_candidates"] for trace in chosen] == num_generated
    assert sum(counts) == sum(num_generated)
    for trace, number in zip(chosen, expected, strict=True):
        assert trace["accepted"] == (number is not None)
        assert number is None or trace["candidate"] == number
        assert trace["bounds"] == {"image_report": bound}


def test_where_none_passes_the_best_goes_on_and_says_so(settings: dict) -> None:
    accept = {**settings["accept"], "image_report": 1.0}
    never = edited({**settings, "keep": "first-accepted", "accept": accept}, PAIRS)
    best = edited({**settings, "keep": "best"}, PAIRS)
    for one, other in zip(never[2::3], best[2::3], strict=True):
        assert one.drop is None
        assert not one.trace["edit"]["accepted"]
        assert one.trace["edit"]["num_candidates"] == 3
        assert one.trace["edit"]["candidate"] == other.trace["edit"]["candidate"]


def write_run(folder: Path, bounds: dict[str, float], scorer: str) -> None:
    weights = {"score": {"pilot's": scorer}}
    RunRecord(rule={"intra": {"bounds": bounds}}, weights=weights).write(folder / "run.json")


def test_bounds_come_from_the_rule_that_another_run_fitted(settings: dict, tmp_path: Path) -> None:
    bounds = {"image_report": 0.25, "image_image": 0.5, "directional": -0.125}
    scorer = weights_sha256(Path(settings["accept"]["model"]))
    write_run(tmp_path, bounds, scorer)
    accept = {**settings["accept"], "bounds_from": tmp_path, "directional": 0.75}
    whole = {**settings, "keep": "first-accepted", "accept": accept}
    after = edited(whole, PAIRS[:3])
    assert after[2].trace["edit"]["bounds"] == {**bounds, "directional": 0.75}
    before = Edit.weights(EditSettings(**whole))
    assert len(before) == 3
    bounds["image_report"] = 0.3
    write_run(tmp_path, bounds, scorer)
    now = Edit.weights(EditSettings(**whole))
    assert [before[name] == now[name] for name in before] == [True, True, False]


@pytest.mark.parametrize(
    ("bounds", "scorer", "message"),
    [
        ({"directional": 0.1}, "another", "on the scale of its scorer pilot's"),
        ({}, None, "has no bound"),
    ],
)
def test_bounds_that_mean_nothing_here_are_refused(
    settings: dict, tmp_path: Path, bounds: dict, scorer: str | None, message: str
) -> None:
    write_run(tmp_path, bounds, scorer or weights_sha256(Path(settings["accept"]["model"])))
    accept = {**settings["accept"], "bounds_from": tmp_path}
    asked = EditSettings(**{**settings, "keep": "first-accepted", "accept": accept})
    with pytest.raises(SettingsError, match=message):
        Edit.weights(asked)


@pytest.mark.parametrize("record", [None, RunRecord()])
def test_a_run_without_a_fitted_rule_is_one_line(
    settings: dict, tmp_path: Path, record: RunRecord | None
) -> None:
    if record is not None:
        record.write(tmp_path / "run.json")
    accept = {**settings["accept"], "bounds_from": tmp_path}
    asked = EditSettings(**{**settings, "keep": "first-accepted", "accept": accept})
    with pytest.raises(SettingsError, match="has no fitted rule for edits"):
        Edit.weights(asked)


def test_bounds_fitted_by_an_earlier_pairaug_are_refused(settings: dict, tmp_path: Path) -> None:
    """They are of changes from another text than `score` compares with now."""
    write_run(tmp_path, {"directional": 0.1}, weights_sha256(Path(settings["accept"]["model"])))
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, "pairaug": {"format": 1}}))
    accept = {**settings["accept"], "bounds_from": tmp_path}
    asked = EditSettings(**{**settings, "keep": "first-accepted", "accept": accept})
    with pytest.raises(RunError, match=r"earlier PairAug.*NEW_FOLDER"):
        Edit.weights(asked)


def test_the_judge_is_no_part_of_a_run_that_keeps_all(settings: dict) -> None:
    names = list(Edit.weights(EditSettings(**settings)))
    assert names == [settings["model"]]
    decided = Edit.weights(EditSettings(**{**settings, "keep": "best"}))
    assert list(decided) == [settings["model"], f"scorer {settings['accept']['model']}"]


def test_a_image_at_fault_never_passes(settings: dict) -> None:
    stage = Edit(EditSettings(**{**settings, "keep": "best"}), RunContext(seed=3))
    stage._pipeline.vae.decoder.conv_out.bias.data.fill_(np.nan)
    after = list(stage(PAIRS[:3]))
    assert after[2].drop is not None
    assert after[2].drop.reason == "image_not_finite"
    assert after[2].trace["edit"]["candidate_scores"] == dict.fromkeys(NAMES)
    assert not after[2].trace["edit"]["accepted"]


@pytest.mark.parametrize("settings", ["regenerate"], indirect=True)
def test_a_drawn_source_needs_no_image_to_be_judged(settings: dict) -> None:
    lost = Pair(
        id="made/9",
        branch=Branch.REAL,
        patient_id="p9",
        report=Report(findings="the lungs are clear"),
        image=ImageRef(path="/no/such/image.png"),
    )
    after = edited({**settings, "keep": "best"}, [lost, intra(lost, 2)])
    scores = after[1].trace["edit"]["candidate_scores"]
    assert scores["image_report"] is not None
    assert scores["image_image"] is None
    assert scores["directional"] is None


def test_company_changes_no_choice(settings: dict) -> None:
    best = {**settings, "keep": "best"}
    together = edited(best, PAIRS)[5]
    alone = edited(best, [SOURCES[1], PAIRS[5]])[1]
    assert together.trace["edit"]["candidate"] == alone.trace["edit"]["candidate"]
    assert np.abs(pixels(together) - pixels(alone)).max() <= 1.01 / 255
