from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairaug.pair import Branch, Pair, Report
from pairaug.prune import DROP_REASONS, FittedRules, Prune, PruneRule, PruneSettings
from pairaug.prune.exact import ExactSum
from pairaug.stage import RunContext, apply

SCORES = ("image_report", "image_image", "directional")


def _pair(name: str, branch: Branch, *scores: float | None) -> Pair:
    pair = Pair(name, branch, "p", Report("x"), parent_id="r")
    return pair.with_scores(**dict(zip(SCORES, scores, strict=False)))


def _pairs(count: int = 200, seed: int = 0) -> list[Pair]:
    rng = np.random.default_rng(seed)
    pairs = [Pair("r", Branch.REAL, "p", Report("x"), scores={"image_report": -0.9})]
    for index in range(count):
        pairs.append(_pair(f"r~inter-{index}", Branch.INTER, rng.normal(0.3, 0.1)))
        pairs.append(_pair(f"r~intra-{index}", Branch.INTRA, *rng.normal(0.4, 0.2, 3).clip(-1, 1)))
    return pairs


def _prune(
    pairs: list[Pair], settings: PruneSettings, part_size: int
) -> tuple[FittedRules, list[Pair]]:
    parts = [pairs[start : start + part_size] for start in range(0, len(pairs), part_size)]
    fitted = PruneRule(settings).fit(parts)
    # As recorded with the run and read back.
    stage = Prune(settings, json.loads(json.dumps(fitted)), RunContext(seed=0))
    return fitted, [pair for part in parts for pair in apply(stage, part)]


def _kept(pairs: Iterable[Pair]) -> set[str]:
    return {pair.id for pair in pairs if pair.drop is None}


@pytest.mark.parametrize(("margin", "scalar"), [(0.003, 1.0), (0.2, 1.0), (0.0, 1.3), (0.2, 2.0)])
def test_mean_margin_equals_numpy(margin: float, scalar: float) -> None:
    pairs = _pairs()
    rule = {"rule": "mean-margin", "margin": margin, "scalar": scalar}
    settings = PruneSettings.model_validate({"intra": rule})
    intra = [pair for pair in pairs if pair.branch is Branch.INTRA]
    table = np.array([[pair.scores[name] for name in SCORES] for pair in intra], dtype=float)
    expected = (table > table.mean(axis=0) / scalar - margin).all(axis=1)
    assert 0 < expected.sum() < len(expected)
    fitted, pruned = _prune(pairs, settings, 7)
    found = {pair.id: pair.drop is None for pair in pruned}
    assert [found[pair.id] for pair in intra] == expected.tolist()
    assert [fitted["intra"]["means"][name] for name in SCORES] == pytest.approx(
        table.mean(axis=0), abs=1e-15
    )
    assert fitted["intra"]["num_pairs"] == len(intra)


def test_threshold_keeps_what_is_strictly_above() -> None:
    pairs = [_pair(str(value), Branch.INTER, value) for value in (0.29, 0.3, 0.31, -1.0)]
    _, pruned = _prune(pairs, PruneSettings(), 2)
    assert _kept(pruned) == {"0.31"}
    dropped = [pair.drop for pair in pruned if pair.drop]
    assert [drop.reason for drop in dropped] == ["below_threshold"] * 3
    assert dropped[1].detail == "image_report 0.3000 <= 0.3000"
    assert dropped[0].stage == "prune"
    assert all(pair.trace["prune"] == {"rule": "threshold"} for pair in pruned)


def test_every_branch_takes_either_rule() -> None:
    settings = PruneSettings.model_validate(
        {
            "inter": {"rule": "mean-margin", "scores": ["image_report"], "margin": 0},
            "intra": {"rule": "threshold", "score": "directional", "threshold": 0.5},
        }
    )
    pairs = [
        _pair("a", Branch.INTER, 0.1),
        _pair("b", Branch.INTER, 0.3),
        _pair("c", Branch.INTRA, -1.0, -1.0, 0.6),
        _pair("d", Branch.INTRA, 1.0, 1.0, 0.4),
    ]
    fitted, pruned = _prune(pairs, settings, 4)
    assert _kept(pruned) == {"b", "c"}
    assert {pair.id: pair.drop.reason for pair in pruned if pair.drop} == {
        "a": "below_mean",
        "d": "below_threshold",
    }
    assert fitted["inter"]["bounds"] == {"image_report": pytest.approx(0.2)}
    assert fitted["intra"]["bounds"] == {"directional": 0.5}


def test_detail_names_each_score_that_failed() -> None:
    pairs = [_pair("low", Branch.INTRA, 0.1, 0.9, 0.1), _pair("high", Branch.INTRA, 0.9, 0.9, 0.9)]
    _, pruned = _prune(pairs, PruneSettings(), 1)
    low = next(pair for pair in pruned if pair.id == "low")
    assert low.drop is not None
    assert low.drop.reason == "below_mean"
    assert low.drop.detail == "image_report 0.1000 <= 0.4970, directional 0.1000 <= 0.4970"
    assert low.drop.reason in DROP_REASONS


@given(st.permutations(range(60)), st.integers(1, 70))
def test_neither_order_nor_part_size_changes_a_bit(order: list[int], part_size: int) -> None:
    pairs = [pair for pair in _pairs(60, seed=5) if pair.branch is Branch.INTRA]
    shuffled = [pairs[index] for index in order]
    expected = _prune(pairs, PruneSettings(), len(pairs))
    fitted, pruned = _prune(shuffled, PruneSettings(), part_size)
    assert fitted == expected[0]
    assert _kept(pruned) == _kept(expected[1])


def test_plain_sums_would_depend_on_the_order() -> None:
    """The trap that exact sums are for: here even the order of ten scores moves the mean."""
    values = [0.1 * index + 1e-3 / (index + 1) for index in range(10)]
    # Added up one by one: since Python 3.12, `sum` makes up for what rounding loses.
    plain = {reduce(add, order) for order in itertools.permutations(values[:7])}
    assert len(plain) > 1
    exact = {_exact(order) for order in itertools.permutations(values[:7])}
    assert len(exact) == 1


@given(st.lists(st.floats(-1, 1), max_size=50))
def test_exact_sum_is_the_rounded_sum_of_fractions(values: list[float]) -> None:
    assert _exact(values) == float(sum((Fraction(value) for value in values), Fraction()))


def _exact(values: Iterable[float]) -> float:
    total = ExactSum()
    for value in values:
        total.add(value)
    return total.value()


def test_dropped_real_and_incomplete_pairs_do_not_count() -> None:
    counted = [_pair("a", Branch.INTRA, 0.2, 0.2, 0.2), _pair("b", Branch.INTRA, 0.4, 0.4, 0.4)]
    others = [
        Pair("r", Branch.REAL, "p", Report("x"), scores=dict.fromkeys(SCORES, 0.9)),
        _pair("c", Branch.INTRA, 0.9, 0.9, 0.9).dropped("score", "no_change"),
        _pair("d", Branch.INTRA, 0.9, 0.9, None),
        _pair("e", Branch.INTRA, 0.9),
    ]
    expected = PruneRule(PruneSettings()).fit([counted])
    assert PruneRule(PruneSettings()).fit([others, counted]) == expected
    assert expected["intra"]["num_pairs"] == 2
    _, pruned = _prune([*others, *counted], PruneSettings(), 3)
    reasons = {pair.id: pair.drop.reason for pair in pruned if pair.drop}
    assert reasons == {"a": "below_mean", "c": "no_change", "d": "no_score", "e": "no_score"}
    assert next(pair for pair in pruned if pair.id == "r").drop is None


def test_a_branch_without_pairs_is_fitted_to_nothing() -> None:
    fitted = PruneRule(PruneSettings()).fit([])
    empty = {"num_pairs": 0, "means": {}}
    assert fitted == {
        "inter": {"rule": "threshold", "bounds": {"image_report": 0.3}, **empty},
        "intra": {"rule": "mean-margin", "bounds": {}, **empty},
    }
    json.dumps(fitted)


def test_fitting_reads_each_part_once_and_holds_none() -> None:
    opened: list[int] = []

    def parts() -> Iterator[Iterator[Pair]]:
        for index in range(5):
            opened.append(index)
            yield iter([_pair(f"{index}", Branch.INTER, 0.1 * index)])

    fitted = PruneRule(PruneSettings()).fit(parts())
    assert opened == [0, 1, 2, 3, 4]
    assert fitted["inter"]["num_pairs"] == 5


def test_progress_counts_the_pairs_that_were_judged() -> None:
    done: list[int] = []
    pairs = _pairs(5)
    fitted = PruneRule(PruneSettings()).fit([pairs])
    list(Prune(PruneSettings(), fitted, RunContext(seed=0, report_progress=done.append))(pairs))
    assert sum(done) == 10


def test_paper_defaults_and_wrong_settings() -> None:
    settings = PruneSettings()
    assert settings.inter.model_dump() == {
        "rule": "threshold",
        "threshold": 0.3,
        "score": "image_report",
    }
    assert settings.intra.model_dump() == {
        "rule": "mean-margin",
        "margin": 0.003,
        "scalar": 1.0,
        "scores": SCORES,
    }
    with pytest.raises(ValidationError, match="'threshold', 'mean-margin'"):
        PruneSettings.model_validate({"inter": {"rule": "median"}})
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        PruneSettings.model_validate({"inter": {"rule": "threshold", "threshold": 14}})
    with pytest.raises(ValidationError, match="margin"):
        PruneSettings.model_validate({"inter": {"rule": "threshold", "margin": 0.1}})
    with pytest.raises(ValidationError, match="at least 1 item"):
        PruneSettings.model_validate({"intra": {"rule": "mean-margin", "scores": []}})


def test_pruning_needs_no_tensor_library() -> None:
    code = "import sys, pairaug.prune; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
