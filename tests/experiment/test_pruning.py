"""Images exchanged at known rates, pruned, trained on and compared."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pairaug.cli import app
from pairaug.clip.similarity import cosine, directional_similarity
from pairaug.errors import RunError, SettingsError
from pairaug.experiment.noise import TRACE, exchange_images
from pairaug.experiment.pruning import run_pruning
from pairaug.experiment.pruning_results import PRUNING_ARMS
from pairaug.experiment.settings import PruningSettings
from pairaug.manifest import read_pairs
from pairaug.pair import Branch, ImageRef, Pair, Report
from support.small_run import RUN

SEED = 5


def _part(num_parents: int = 10, num_children: int = 8) -> list[Pair]:
    """Scored pairs of several patients, half of each one's children new patients, half edits."""
    rng = np.random.default_rng(0)

    def scored(pair: Pair) -> Pair:
        image, report, before = (one / np.linalg.norm(one) for one in rng.normal(size=(3, 6)))
        return replace(pair, image=ImageRef(path=f"/images/{pair.id}.png")).with_embeddings(
            image=image,
            report=report,
            source_report=before if pair.branch is Branch.INTRA else None,
        )

    pairs = []
    for index in range(num_parents):
        real = scored(Pair(f"r{index}", Branch.REAL, f"p{index}", Report("x")))
        pairs.append(real)
        for number in range(num_children):
            branch = Branch.INTRA if number % 2 else Branch.INTER
            child = real.child(
                f"{branch.value}-{number}",
                branch=branch,
                source_report=real.report.text,
                report=Report("y"),
            )
            pairs.append(scored(child))
    return pairs


def _vector(values: tuple[float, ...] | None) -> np.ndarray:
    assert values is not None
    return np.array(values, dtype=np.float32)


def test_images_are_exchanged_within_a_branch() -> None:
    before = _part()
    after = exchange_images(before, 0.5, SEED)
    assert [pair.id for pair in after] == [pair.id for pair in before]
    by_id = {pair.id: pair for pair in before}
    moved = [pair for pair in after if TRACE in pair.trace]
    assert 25 < len(moved) < 55
    for pair, old in zip(after, before, strict=True):
        if TRACE not in pair.trace:
            assert pair is old
            continue
        other = by_id[pair.trace[TRACE]["image_of"]]
        assert other.branch is pair.branch
        assert other.parent_id != pair.parent_id
        assert pair.image == other.image
        assert pair.image_embedding == other.image_embedding
        assert (pair.report, pair.report_embedding) == (old.report, old.report_embedding)
    images = Counter(pair.image for pair in before)
    assert Counter(pair.image for pair in after) == images, "no image is lost, and none is twice"


def test_noise_of_larger_rates_includes_smaller() -> None:
    chosen = [
        {pair.id for pair in exchange_images(_part(), fraction, SEED) if TRACE in pair.trace}
        for fraction in (0.0, 0.25, 0.5, 1.0)
    ]
    assert chosen[0] == set()
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    assert len(chosen[3]) == 80


def test_scores_follow_the_exchanged_image() -> None:
    before = _part()
    sources = {pair.id: pair for pair in before}
    for pair in exchange_images(before, 1.0, SEED):
        if pair.branch is Branch.REAL:
            continue
        image, report = _vector(pair.image_embedding), _vector(pair.report_embedding)
        assert pair.scores["image_report"] == cosine(image, report)
        source = sources[str(pair.parent_id)]
        if pair.branch is Branch.INTER:
            assert set(pair.scores) == {"image_report"}
            continue
        x, y = _vector(source.image_embedding), _vector(pair.source_report_embedding)
        assert pair.scores["image_image"] == cosine(image, x)
        assert pair.scores["directional"] == directional_similarity(image, x, report, y)


def test_dropped_and_single_pairs_keep_their_images() -> None:
    part = _part(num_parents=1, num_children=3)
    part[1] = part[1].dropped("score", "unreadable_image")
    after = exchange_images(part, 1.0, SEED)
    assert all(one is other for one, other in zip(after, part, strict=True))


def _settings(**changes: Any) -> PruningSettings:
    plain = {
        "run": RUN,
        "noise_rates": [0.0, 0.5],
        "num_seeds": 2,
        "max_steps": 3,
        "train": {"preset": "tiny", "batch_size": 4, "num_threads": 1},
        "data": {"layout": "phantom", "num_patients": 40, "seed": 12, "size": 64},
        "num_resamples": 50,
    }
    return PruningSettings.model_validate({**plain, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pruning")
    run_pruning(_settings(), out)
    return out


def test_each_noise_rate_is_compared(finished: Path) -> None:
    found = json.loads((finished / "pruning.json").read_text())
    assert [level["noise_rate"] for level in found["levels"]] == [0.0, 0.5]
    for level in found["levels"]:
        folder = finished / f"noise-{level['noise_rate']:.0%}".rstrip("%")
        pairs = [p for p in read_pairs(folder / "prune") if p.branch is not Branch.REAL]
        counted = Counter(
            (TRACE in pair.trace, pair.drop is None)
            for pair in pairs
            if pair.drop is None or pair.drop.stage == "prune"
        )
        assert level["num_right_kept"] == counted[False, True]
        assert level["num_right_dropped"] == counted[False, False]
        assert level["num_wrong_kept"] == counted[True, True]
        assert level["num_wrong_dropped"] == counted[True, False]
        assert list(level["arms"]) == list(PRUNING_ARMS)
        for arm in level["arms"].values():
            assert len(arm["by_seed"]) == 2
    clean, noisy = found["levels"]
    assert clean["num_wrong_kept"] == clean["num_wrong_dropped"] == 0
    assert noisy["num_wrong_kept"] + noisy["num_wrong_dropped"] > 2
    for suffix in ("txt", "md", "html"):
        text = (finished / f"pruning.{suffix}").read_text()
        assert "50%" in text
        assert "real_matched_steps" in text or "real only" in text


def test_second_call_reuses_everything(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("trial.json")}
    content = (finished / "pruning.json").read_bytes()
    assert len(before) == 2 * (1 + 2 * len(PRUNING_ARMS))
    run_pruning(_settings(), finished)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (finished / "pruning.json").read_bytes() == content


def test_another_rule_retrains_its_arms_only(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pruning"
    shutil.copytree(finished, copy)
    other = {"rule": "quantile", "quantile": 0.5}
    settings = _settings(run={**RUN, "prune": {"inter": other, "intra": other}})
    with pytest.raises(RunError, match="pairaug prune"):
        run_pruning(settings, copy)
    sets = ["--set", "prune.inter.quantile=0.5", "--set", "prune.intra.quantile=0.5"]
    assert CliRunner().invoke(app, ["prune", str(copy / "run"), *sets]).exit_code == 0
    with pytest.raises(RunError, match="was trained with other settings"):
        run_pruning(settings, copy)
    kept = {}
    for trial in (copy / "trials").iterdir():
        if trial.name.startswith(("pruned", "unpruned_matched_size")):
            shutil.rmtree(trial)
        else:
            kept[trial] = (trial / "trial.json").stat().st_mtime_ns
    run_pruning(settings, copy)
    assert len(kept) == 2 * (1 + 2)
    assert {trial: (trial / "trial.json").stat().st_mtime_ns for trial in kept} == kept
    levels = [json.loads((at / "pruning.json").read_text())["levels"] for at in (finished, copy)]
    for before, after in zip(*levels, strict=True):
        assert before["arms"]["unpruned"] == after["arms"]["unpruned"]
        assert before["num_right_kept"] > after["num_right_kept"]


def test_other_settings_are_never_mixed_in(finished: Path) -> None:
    with pytest.raises(RunError, match="trained with other settings or other pairs"):
        run_pruning(_settings(max_steps=4), finished)


def test_rule_that_keeps_nothing(tmp_path: Path) -> None:
    never = {"rule": "threshold", "threshold": 0.9999}
    run = {**RUN, "prune": {"inter": never, "intra": never}}
    with pytest.raises(SettingsError, match="keeps nothing to train on"):
        run_pruning(_settings(run=run), tmp_path)


@pytest.mark.parametrize("noise_rates", [[0.5, 0.25], [0.25, 0.25], [0.255], [1.5], []])
def test_fractions_are_ascending_and_whole_per_cent(noise_rates: list[float]) -> None:
    with pytest.raises(ValidationError, match="noise_rates"):
        _settings(noise_rates=noise_rates)
