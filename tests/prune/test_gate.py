"""Whether a scorer may decide: measured on real pairs in whatever order, then acted upon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pairaug.manifest import part_paths, write_part
from pairaug.metrics import own_report_auroc
from pairaug.pair import Branch, Pair, Report
from pairaug.prune import Prune, PruneSettings, gate, measure_gate
from pairaug.prune.gate import GateSettings
from pairaug.stage import RunContext


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _real(count: int, agreement: float, per_patient: int = 1) -> list[Pair]:
    """Pairs whose images are their reports' vectors, more or less."""
    rng = np.random.default_rng(0)
    reports = _unit(rng.normal(size=(count, 16)))
    images = _unit(agreement * reports + _unit(rng.normal(size=(count, 16))))
    return [
        Pair(f"r{row:03}", Branch.REAL, f"p{row // per_patient}", Report("x")).with_embeddings(
            image=images[row].tolist(), report=reports[row].tolist()
        )
        for row in range(count)
    ]


def _measured(pairs: list[Pair], folder: Path, size: int = 7, **more: Any) -> dict[str, Any]:
    starts = range(0, len(pairs), size)
    for index, start in enumerate(starts):
        write_part(folder, index, pairs[start : start + size], "f", is_last=start == starts[-1])
    return measure_gate(part_paths(folder), GateSettings(), **more)


def test_own_report_auroc_is_a_count_of_wins() -> None:
    cosines = np.array([[0.5, 0.4, 0.6], [0.1, 0.2, 0.2], [0.0, 0.0, 0.9]])
    is_other = ~np.eye(3, dtype=bool)
    # 1 of 2, then 1 and a half of 2, then 2 of 2.
    assert own_report_auroc(cosines, is_other).value == pytest.approx(4.5 / 6)
    is_other[0, 2] = False
    assert own_report_auroc(cosines, is_other).value == pytest.approx(4.5 / 5)


def test_a_scorer_that_tells_reports_apart_passes(tmp_path: Path) -> None:
    measured = _measured(_real(40, 2.0), tmp_path)
    assert measured["result"] == "passed"
    assert measured["auroc"][0] > 0.95
    assert (measured["num_pairs"], measured["num_patients"]) == (40, 40)


def test_a_scorer_that_draws_lots_fails(tmp_path: Path) -> None:
    measured = _measured(_real(60, 0.0), tmp_path)
    value, low, high = measured["auroc"]
    assert measured["result"] == "failed"
    assert low < 0.5 < high
    assert 0.4 < value < 0.6


def test_better_than_chance_by_a_hair_does_not_pass(tmp_path: Path) -> None:
    measured = _measured(_real(500, 0.045), tmp_path)
    assert 0.5 < measured["auroc"][1] < 0.55
    assert measured["result"] == "failed"


def test_few_patients_are_too_few_however_many_their_pairs(tmp_path: Path) -> None:
    measured = _measured(_real(60, 2.0, per_patient=6), tmp_path / "one")
    assert (measured["result"], measured["auroc"]) == ("too_few", None)
    foreign = _measured(_real(60, 2.0, per_patient=6), tmp_path / "two", is_foreign=True)
    assert foreign["result"] == "failed"


def test_equal_reports_are_no_mistake(tmp_path: Path) -> None:
    """Half of the patients are normal in the same words, so any of these reports is right."""
    pairs = _real(60, 3.0)
    same = [
        pair.with_embeddings(image=pairs[0].image_embedding, report=pairs[0].report_embedding)
        if row % 2
        else pair
        for row, pair in enumerate(pairs)
    ]
    assert _measured(same, tmp_path)["auroc"][0] > 0.97


def test_parts_and_samples_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SAMPLE_SIZE", 25)
    pairs = _real(80, 0.5)
    wanted = _measured(pairs, tmp_path / "one", size=80)
    assert wanted["num_pairs"] == 25
    assert _measured(pairs[::-1], tmp_path / "two", size=3) == wanted


def test_pairs_without_vectors_are_too_few(tmp_path: Path) -> None:
    bare = [Pair(f"r{row}", Branch.REAL, f"p{row}", Report("x")) for row in range(30)]
    assert _measured(bare, tmp_path)["result"] == "too_few"


@pytest.mark.parametrize(("when_failed", "reasons"), [("drop", 2), ("warn", 0)])
def test_a_failed_scorer_keeps_no_synthetic_pair(when_failed: str, reasons: int) -> None:
    real = _real(1, 1.0)[0].with_scores(image_report=0.1)
    pairs = [real] + [
        real.child(
            f"{branch.value}-0", branch=branch, source_report="x", report=Report("y")
        ).with_scores(image_report=0.9, image_image=0.9, directional=0.9)
        for branch in (Branch.INTER, Branch.INTRA)
    ]
    record = {"result": "failed", "when_failed": when_failed, "num_pairs": 24}
    fitted = {
        "inter": {"rule": "threshold", "bounds": {"image_report": 0.3}},
        "intra": {"rule": "threshold", "bounds": {"image_report": 0.3}},
        "gate": {**record, "auroc": [0.52, 0.41, 0.63]},
    }
    done = list(Prune(PruneSettings(), fitted, RunContext(seed=0))(pairs))
    dropped = [pair.drop for pair in done if pair.drop is not None]
    assert [drop.reason for drop in dropped] == ["scorer_cannot_tell"] * reasons
    assert done[0].drop is None
    for drop in dropped:
        assert drop.detail == "AUROC 0.52 [0.41, 0.63] on 24 real pairs"
