"""Every rule against a direct computation, whatever the order and the parts."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pairaug.errors import RunError
from pairaug.pair import SCORES, Branch, Pair, Report
from pairaug.prune import Prune, PruneRule, PruneSettings
from pairaug.stage import RunContext, apply

DIMENSION = 12


def _unit(rng: np.random.Generator, like: np.ndarray | None = None, mix: float = 0.0) -> np.ndarray:
    vector = rng.normal(size=DIMENSION)
    vector = vector / np.linalg.norm(vector) * (1 - mix) + (0 if like is None else mix * like)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _families(count: int, num_images: int = 4, seed: int = 0) -> list[list[Pair]]:
    """Real pairs, each followed by edits and a new patient, all with vectors and their scores."""
    rng = np.random.default_rng(seed)
    families = []
    for index in range(count):
        x, y, whole = _unit(rng), _unit(rng), _unit(rng)  # y was rewritten, of the whole report
        real = Pair(f"r{index}", Branch.REAL, f"p{index // 2}", Report("x"))
        family = [
            real.with_embeddings(image=x, report=whole).with_scores(image_report=_cosine(x, whole))
        ]
        for number in range(num_images):
            report = _unit(rng, y, 0.5)
            image = _unit(rng, report, 0.3 + 0.2 * rng.random())
            pair = real.child(
                f"intra-{number}",
                branch=Branch.INTRA,
                source_report=real.report.text,
                report=Report("y"),
            )
            family.append(
                pair.with_embeddings(image=image, report=report, source_report=y).with_scores(
                    image_report=_cosine(image, report),
                    image_image=_cosine(image, x),
                    directional=_cosine(image - x, report - y),
                )
            )
        report = _unit(rng)
        image = _unit(rng, report, 0.5)
        pair = real.child(
            "inter-0", branch=Branch.INTER, source_report=real.report.text, report=Report("z")
        )
        pair = pair.with_embeddings(image=image, report=report)
        family.append(pair.with_scores(image_report=_cosine(image, report)))
        families.append(family)
    return families


def _prune(families: list[list[Pair]], rules: dict[str, Any], part_size: int = 3) -> dict[str, Any]:
    """{fitted, kept ids, drop reason by id}, with so many families in a part."""
    prune_settings = PruneSettings.model_validate(rules)
    parts = [
        [pair for family in families[start : start + part_size] for pair in family]
        for start in range(0, len(families), part_size)
    ]
    rule = PruneRule(prune_settings)
    fitted = rule.fit(parts)
    stage = Prune(prune_settings, json.loads(json.dumps(fitted)), RunContext(seed=0))
    pruned = [pair for part in parts for pair in apply(stage, part)]
    return {
        "fitted": fitted,
        "kept": {pair.id for pair in pruned if pair.drop is None and pair.branch != Branch.REAL},
        "reasons": {pair.id: pair.drop for pair in pruned if pair.drop},
    }


def _of(families: list[list[Pair]], branch: Branch) -> list[Pair]:
    return [pair for family in families for pair in family if pair.branch is branch]


def _score(pair: Pair, name: str) -> float:
    value = pair.scores[name]
    assert value is not None
    return value


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.93])
def test_quantile_drops_just_that_fraction(quantile: float) -> None:
    families = _families(20)
    rule = {"rule": "quantile", "quantile": quantile, "scores": ["directional"]}
    result = _prune(families, {"intra": rule})
    pairs = sorted(_of(families, Branch.INTRA), key=lambda pair: _score(pair, "directional"))
    num_dropped = int(np.ceil(quantile * len(pairs)))
    assert result["kept"] & {p.id for p in pairs} == {pair.id for pair in pairs[num_dropped:]}
    bound = result["fitted"]["intra"]["bounds"]["directional"]
    assert bound == _score(pairs[num_dropped - 1], "directional")
    assert {drop.reason for name, drop in result["reasons"].items() if "intra" in name} == {
        "below_quantile"
    }


@pytest.mark.parametrize("k", [1, 3])
def test_best_of_each_parent(k: int) -> None:
    families = _families(8)
    rule = {"rule": "top-k", "k": k, "score": "directional"}
    result = _prune(families, {"intra": rule})
    expected = set()
    groups = defaultdict(list)
    for pair in _of(families, Branch.INTRA):
        groups[pair.parent_id].append(pair)
    for group in groups.values():
        ranked = sorted(group, key=lambda pair: (-_score(pair, "directional"), pair.id))
        expected |= {pair.id for pair in ranked[:k]}
    assert {name for name in result["kept"] if "intra" in name} == expected
    drop = next(drop for name, drop in result["reasons"].items() if "intra" in name)
    assert drop.reason == "not_in_top_k"
    assert drop.detail.endswith("of 4")


@pytest.mark.parametrize("k", [1, 2])
def test_best_of_each_report(k: int) -> None:
    """Candidates compete with candidates of the same report, and never with those of another."""
    values = {"a": (0.9, 0.8, 0.7), "b": (0.1, 0.3, 0.2)}
    (family,) = _families(1)
    source, template = family[0], _of([family], Branch.INTER)[0]
    candidates = [
        replace(
            template, id=f"{source.id}~{name}{f'~candidate-{number}' if number else ''}"
        ).with_scores(image_report=value)
        for name, scores in values.items()
        for number, value in enumerate(scores)
    ]
    result = _prune(
        [[source, *candidates]], {"inter": {"rule": "top-k", "group_by": "report", "k": k}}
    )
    best = (
        {"r0~a", "r0~b~candidate-1"}
        if k == 1
        else {"r0~a", "r0~a~candidate-1", "r0~b~candidate-1", "r0~b~candidate-2"}
    )
    assert set(result["kept"]) == best
    assert result["reasons"]["r0~b"].detail == "image_report 0.1000 is number 3 of 3"


def test_equal_siblings_are_told_apart_by_id() -> None:
    (family,) = _families(1)
    family = [
        pair.with_scores(directional=0.5) if pair.branch is Branch.INTRA else pair
        for pair in family
    ]
    rule = {"rule": "top-k", "score": "directional"}
    for order in (family, family[::-1]):
        result = _prune([order], {"intra": rule})
        assert {name for name in result["kept"] if "intra" in name} == {"r0~intra-0"}


@pytest.mark.parametrize("score", SCORES)
def test_mismatches_are_the_scores_between_patients(score: str) -> None:
    families = _families(10)
    rule = {"rule": "mismatch-quantile", "quantile": 0.8, "scores": [score]}
    fitted = _prune(families, {"intra": rule})["fitted"]["intra"]
    sources = {pair.id: pair for pair in _of(families, Branch.REAL)}
    values = []
    for one in _of(families, Branch.INTRA):
        for other in _of(families, Branch.INTRA):
            if one.source_patient_id == other.source_patient_id:
                continue
            x, _ = (np.array(v, dtype=np.float64) for v in _vectors(one))
            _, y_other = (np.array(v, dtype=np.float64) for v in _vectors(other))
            before, _ = (np.array(v) for v in _vectors(sources[one.parent_id or ""]))
            image_of_other, _ = (np.array(v) for v in _vectors(sources[other.parent_id or ""]))
            report_of_other = np.array(other.source_report_embedding)
            values.append(
                {
                    "image_report": _cosine(x, y_other),
                    "image_image": _cosine(x, image_of_other),
                    "directional": _cosine(x - before, y_other - report_of_other),
                }[score]
            )
    expected = np.quantile(values, 0.8, method="inverted_cdf")
    assert fitted["bounds"][score] == pytest.approx(expected, abs=1e-6)
    mismatches = fitted["mismatches"][score]
    assert mismatches["num_values"] == len(values)
    assert mismatches["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert mismatches["quantiles"]["0.5"] == pytest.approx(
        np.quantile(values, 0.5, method="inverted_cdf"), abs=1e-6
    )


def _vectors(pair: Pair) -> tuple[tuple[float, ...], tuple[float, ...]]:
    assert pair.image_embedding is not None
    assert pair.report_embedding is not None
    return pair.image_embedding, pair.report_embedding


def test_mismatches_need_two_patients_and_vectors() -> None:
    rules = {"inter": {"rule": "mismatch-quantile"}}
    with pytest.raises(RunError, match="needs scored pairs of two patients, with their vectors"):
        _prune(_families(2), rules)  # both real pairs are of one patient
    assert _prune([], rules)["fitted"]["inter"]["bounds"] == {}


def test_the_sample_of_mismatches_is_bounded_and_stands_for_all() -> None:
    families = _families(60)
    small = {"rule": "mismatch-quantile", "sample_size": 40}
    bounded = _prune(families, {"intra": small})["fitted"]["intra"]
    whole = _prune(families, {"intra": {"rule": "mismatch-quantile"}})["fitted"]["intra"]
    assert bounded["mismatches"]["image_report"]["num_values"] <= 40 * 39
    assert bounded["bounds"]["image_report"] == pytest.approx(
        whole["bounds"]["image_report"], abs=0.12
    )


def test_a_list_keeps_what_every_rule_keeps() -> None:
    families = _families(12)
    parts = [
        {"rule": "threshold", "threshold": 0.4},
        {"rule": "quantile", "quantile": 0.3, "scores": ["directional"]},
        {"rule": "top-k", "k": 2, "score": "directional"},
    ]
    alone = [_prune(families, {"intra": each})["kept"] for each in parts]
    result = _prune(families, {"intra": parts})
    assert result["kept"] == set.intersection(*alone)
    turned = _prune(families, {"intra": parts[::-1]})
    assert turned["kept"] == result["kept"]
    fitted = result["fitted"]["intra"]
    assert fitted["rule"] == "all-of"
    assert [each["rule"] for each in fitted["rules"]] == [each["rule"] for each in parts]
    assert fitted["bounds"].keys() == {"image_report", "directional"}
    failing = next(name for name in result["reasons"] if "intra" in name)
    assert result["reasons"][failing].reason in (
        "below_threshold",
        "below_quantile",
        "not_in_top_k",
    )


def test_of_two_bounds_on_one_score_a_list_records_the_higher() -> None:
    for thresholds in ((0.2, 0.6), (0.6, 0.2)):
        rules = [{"rule": "threshold", "threshold": threshold} for threshold in thresholds]
        result = _prune(_families(12), {"intra": rules})
        assert result["fitted"]["intra"]["bounds"] == {"image_report": 0.6}


def test_logit_threshold_is_the_threshold_over_the_scale() -> None:
    families = _families(12)
    scaled = {"rule": "logit-threshold", "threshold": 6.0, "scale": 14.2857}
    plain = {"rule": "threshold", "threshold": 6.0 / 14.2857}
    result = _prune(families, {"inter": scaled})
    assert result["kept"] == _prune(families, {"inter": plain})["kept"]
    assert result["fitted"]["inter"]["logit"] == {"threshold": 6.0, "scale": 14.2857}
    with pytest.raises(ValidationError, match="scale"):
        PruneSettings.model_validate({"inter": {"rule": "logit-threshold"}})


RULES = {
    "inter": {"rule": "mismatch-quantile", "quantile": 0.9, "sample_size": 16},
    "intra": [
        {"rule": "mean-margin", "margin": 0.1},
        {"rule": "quantile", "quantile": 0.2},
        {"rule": "top-k", "k": 2},
    ],
    "duplicate": {"quantile": 0.9},
    "memorised": {"quantile": 0.9},
}


@settings(max_examples=12)
@given(st.permutations(range(14)), st.integers(1, 15))
def test_neither_order_nor_parts_change_anything(order: list[int], part_size: int) -> None:
    families = _families(14)
    expected = _prune(families, RULES, part_size=14)
    found = _prune([families[index] for index in order], RULES, part_size)
    assert found["fitted"] == expected["fitted"]
    assert found["kept"] == expected["kept"]


def test_a_missing_score_is_named_first_in_a_list() -> None:
    (family,) = _families(1)
    family[1] = family[1].with_scores(directional=None)
    rules = [
        {"rule": "threshold", "threshold": 0.99},
        {"rule": "top-k", "score": "directional"},
    ]
    drop = _prune([family], {"intra": rules})["reasons"]["r0~intra-0"]
    assert drop.reason == "no_score"
    assert "directional" in drop.detail
