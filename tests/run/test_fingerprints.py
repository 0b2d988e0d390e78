"""What the fingerprint of each stage covers: whatever else changes leaves its parts as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairaug.config import Settings, change_settings, load_settings
from pairaug.record import RunRecord
from pairaug.run.fingerprints import (
    StageFingerprint,
    differences,
    fingerprint_of,
    prune_fingerprint,
    stage_fingerprint,
)

PARENT = StageFingerprint("before", "00", {})


@pytest.fixture(scope="module")
def plain() -> Settings:
    words = ["read.layout=phantom", "read.num_patients=2", "read.size=32", "device=cpu"]
    return load_settings(None, [*words, "dtype=float32"], preset="demo")


def _inputs(stage: str, settings: Settings) -> dict[str, object]:
    return dict(stage_fingerprint(stage, settings, PARENT, RunRecord()).inputs)


@pytest.mark.parametrize(
    ("stage", "change", "name"),
    [
        ("read", "seed=5", "seed"),
        ("read", "limit=1", "limit"),
        ("read", "part_size=3", "part_size"),
        ("read", "read.num_patients=3", "read.num_patients"),
        ("rewrite", "rewrite.variants=2", "rewrite.variants"),
        ("generate", "dtype=bfloat16", "dtype"),
        ("generate", "compile=true", "compile"),
        ("edit", "compile=true", "compile"),
        ("edit", "edit.guidance_scale=3.5", "edit.guidance_scale"),
        ("score", "dtype=bfloat16", "dtype"),
        ("score", "score.batch_size=3", "score.batch_size"),
    ],
)
def test_what_changes_a_result_changes_the_fingerprint(
    plain: Settings, stage: str, change: str, name: str
) -> None:
    changed = change_settings(plain, [change])
    before, after = _inputs(stage, plain), _inputs(stage, changed)
    assert [key for key in after if before.get(key) != after[key]] == [name]
    one, other = (
        stage_fingerprint(stage, each, PARENT, RunRecord()).value for each in (plain, changed)
    )
    assert one != other


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("read", "dtype=bfloat16"),
        ("rewrite", "rewrite.concurrency=3"),
        ("rewrite", "rewrite.cache=elsewhere.sqlite"),
        ("rewrite", "rewrite.budget.max_tokens=100000"),
        ("rewrite", "dtype=bfloat16"),  # of rules nothing is computed in it
        ("rewrite", "edit.guidance_scale=3.5"),
        ("score", "compile=true"),
        ("generate", "num_workers=2"),
    ],
)
def test_what_changes_no_result_changes_no_fingerprint(
    plain: Settings, stage: str, change: str
) -> None:
    assert _inputs(stage, change_settings(plain, [change])) == _inputs(stage, plain)


def test_weights_and_what_came_before_count(plain: Settings) -> None:
    record = RunRecord()
    found = stage_fingerprint("generate", plain, PARENT, record)
    assert record.weights["generate"]
    for model, value in record.weights["generate"].items():
        assert found.inputs[f"weights of {model}"] == value
    assert (
        stage_fingerprint("generate", plain, StageFingerprint("before", "01", {}), record) != found
    )


def test_fitted_numbers_are_the_fingerprint_of_pruning(plain: Settings) -> None:
    one = prune_fingerprint(plain, PARENT, {"inter": {"bounds": {"image_report": 0.3}}})
    other = prune_fingerprint(plain, PARENT, {"inter": {"bounds": {"image_report": 0.4}}})
    assert one.value != other.value
    assert differences(one.inputs, other.inputs) == ["fitted.inter.bounds.image_report: 0.3 → 0.4"]
    assert fingerprint_of("prune", plain, PARENT).value != one.value


def test_what_is_on_one_side_only_is_a_difference() -> None:
    assert differences({"a": 1, "b": 2}, {"a": 1, "c": 3}) == ["b: 2 → None", "c: None → 3"]
    assert differences({"weights of x": "1"}, {"weights of x": "2"}) == [
        "weights of x: hash differs"
    ]


def test_another_content_of_the_same_table_counts(plain: Settings, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    settings = change_settings(plain, ["read.layout=table", f"read.table={path}"])
    values = []
    for text in ("Clear.", "Clear?"):
        path.write_text(f"id,file,findings,impression\n1,a.png,{text},\n")
        values.append(stage_fingerprint("read", settings, PARENT, RunRecord()).value)
    assert values[0] != values[1]
