"""Duplicates and memorised images, by a direct computation and by what they are for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pairaug.errors import RunError
from pairaug.pair import Branch, Pair, Report
from pairaug.prune import Prune, PruneRule, PruneSettings, near_duplicates
from pairaug.prune.columns import columns_of
from pairaug.stage import RunContext


def _rows(rng: np.random.Generator, count: int) -> np.ndarray:
    rows = rng.normal(size=(count, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _near(row: np.ndarray, rng: np.random.Generator, by: float = 0.01) -> np.ndarray:
    moved = row + by * rng.normal(size=row.shape)
    return (moved / np.linalg.norm(moved)).astype(np.float32)


def _real(count: int, seed: int = 0) -> list[Pair]:
    rng = np.random.default_rng(seed)
    images, reports = _rows(rng, count), _rows(rng, count)
    return [
        Pair(f"r{index}", Branch.REAL, f"p{index}", Report("x")).with_embeddings(
            image=images[index], report=reports[index]
        )
        for index in range(count)
    ]


def _child(parent: Pair, name: str, branch: Branch, image: np.ndarray, report: np.ndarray) -> Pair:
    pair = parent.child(name, branch=branch, source_report=parent.report.text, report=Report("y"))
    pair = pair.with_embeddings(image=image, report=report)
    return pair.with_scores(image_report=0.9, image_image=0.9, directional=0.9)


def _decide(pairs: list[Pair], **rules: object) -> tuple[dict, dict[str, str]]:
    given = {
        "inter": {"rule": "threshold", "threshold": 0.5},
        "intra": {"rule": "threshold", "threshold": 0.5},
        **rules,
    }
    decision = PruneRule(PruneSettings.model_validate(given)).decide([columns_of(pairs)])
    return decision.fitted, {name: reason for name, (reason, _) in decision.copies.items()}


def test_bound_is_a_quantile_of_real_neighbours() -> None:
    real = _real(60)
    rng = np.random.default_rng(9)
    pairs = [*real, _child(real[0], "inter-0", Branch.INTER, *_rows(rng, 2))]
    images = np.array([pair.image_embedding for pair in real])
    reports = np.array([pair.report_embedding for pair in real])
    image_pairs, both_pairs = images @ images.T, np.minimum(images @ images.T, reports @ reports.T)
    for similarity, name in ((image_pairs, "memorised"), (both_pairs, "duplicate")):
        np.fill_diagonal(similarity, -np.inf)
        fitted, _ = _decide(pairs, **{name: {"quantile": 0.9}})
        expected = np.quantile(similarity.max(axis=1), 0.9, method="inverted_cdf")
        assert fitted[name]["bound"] == pytest.approx(expected, abs=2e-6)
        assert (fitted[name]["num_real"], fitted[name]["num_compared"]) == (60, 1)


def test_a_image_like_a_training_image_is_memorised() -> None:
    real = _real(60)
    rng = np.random.default_rng(1)
    report = _rows(rng, 1)[0]
    like_5 = _near(np.array(real[5].image_embedding), rng)
    pairs = [
        *real,
        _child(real[0], "inter-0", Branch.INTER, like_5, report),
        _child(real[1], "inter-0", Branch.INTER, _rows(rng, 1)[0], report),
        # An edit may look like its own patient's image, and not like another's.
        _child(real[5], "intra-0", Branch.INTRA, like_5, report),
        _child(real[6], "intra-0", Branch.INTRA, like_5, report),
    ]
    _, found = _decide(pairs, memorised={"quantile": 0.95})
    assert found == {"r0~inter-0": "memorised", "r6~intra-0": "memorised"}
    validation = [replace(pair, split="test") if pair.id == "r5" else pair for pair in pairs]
    _, found = _decide(validation, memorised={"quantile": 0.95})
    assert found == {}


def test_a_new_patients_image_like_its_own_parents_is_memorised() -> None:
    """Only an edit may look like the patient that it was made from."""
    real = _real(60)
    rng = np.random.default_rng(1)
    like_5 = _near(np.array(real[5].image_embedding), rng)
    child = _child(real[5], "inter-0", Branch.INTER, like_5, _rows(rng, 1)[0])
    for pair in (child, replace(child, patient_id=real[5].patient_id)):
        assert _decide([*real, pair], memorised={"quantile": 0.95})[1] == {pair.id: "memorised"}


def test_a_duplicate_of_a_pair_in_an_earlier_block_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_duplicates, "_BLOCK", 2)
    real = _real(60)
    rng = np.random.default_rng(2)
    rows = _rows(rng, 10)
    pairs = [
        _child(real[index], "inter-0", Branch.INTER, rows[2 * index], rows[2 * index + 1])
        for index in range(5)
    ]
    # Ranked by score: the first of five, and its double as the last, two blocks later.
    double = _child(real[5], "inter-0", Branch.INTER, _near(rows[0], rng), _near(rows[1], rng))
    pairs = [pair.with_scores(image_report=0.9 - 0.01 * rank) for rank, pair in enumerate(pairs)]
    double = double.with_scores(image_report=0.7)
    found = _decide([*real, *pairs, double], duplicate={"quantile": 0.95})[1]
    assert found == {"r5~inter-0": "duplicate"}


def test_of_duplicates_the_best_is_kept() -> None:
    real = _real(60)
    rng = np.random.default_rng(2)
    image, report, other = _rows(rng, 3)
    pairs = [
        _child(real[0], "inter-0", Branch.INTER, image, report),
        _child(real[1], "inter-0", Branch.INTER, _near(image, rng), _near(report, rng)),
        _child(real[2], "inter-0", Branch.INTER, _near(image, rng), _near(report, rng)),
        _child(real[3], "inter-0", Branch.INTER, _near(image, rng), other),
    ]
    pairs[1] = pairs[1].with_scores(image_report=0.95)
    _, found = _decide([*real, *pairs], duplicate={"quantile": 0.95})
    assert found == {"r0~inter-0": "duplicate", "r2~inter-0": "duplicate"}
    # What a rule drops is no reason to drop another.
    pairs[1] = pairs[1].with_scores(image_report=0.1)
    _, found = _decide([*real, *pairs], duplicate={"quantile": 0.95})
    assert found == {"r2~inter-0": "duplicate"}


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _real(40)
    rng = np.random.default_rng(3)
    centres = _rows(rng, 6)
    pairs = [
        _child(real[i], f"inter-{j}", Branch.INTER, _near(c, rng, 0.05), _near(c, rng, 0.05))
        for i in range(10)
        for j, c in enumerate(centres)
    ]
    rules = {"duplicate": {"quantile": 0.9}, "memorised": {"quantile": 0.9}}
    expected = _decide([*real, *pairs], **rules)
    assert "duplicate" in expected[1].values()
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    assert _decide([*real, *pairs], **rules) == expected


def test_copies_are_marked_with_what_was_measured() -> None:
    real = _real(60)
    rng = np.random.default_rng(1)
    image, report = np.array(real[5].image_embedding), _rows(rng, 1)[0]
    pairs = [*real, _child(real[0], "inter-0", Branch.INTER, _near(image, rng), report)]
    settings = PruneSettings.model_validate({"memorised": {"quantile": 0.95}})
    decision = PruneRule(settings).decide([columns_of(pairs)])
    stage = Prune(settings, decision.fitted, RunContext(seed=0), decision.copies)
    drop = list(stage(pairs))[-1].drop
    assert drop is not None
    assert drop.reason == "memorised"
    assert drop.detail.startswith("nearest real image 0.9")
    assert all(pair.drop is None for pair in list(stage(pairs))[:-1])


def test_without_real_training_pairs_it_says_so() -> None:
    real = [replace(pair, split="test") for pair in _real(3)]
    rng = np.random.default_rng(4)
    pairs = [*real, _child(real[0], "inter-0", Branch.INTER, *_rows(rng, 2))]
    with pytest.raises(RunError, match=r"calibrated on real training pairs of at least two"):
        _decide(pairs, memorised={})
