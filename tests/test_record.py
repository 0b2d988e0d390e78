"""The record of a run is read strictly: what is not one is one line, whoever reads it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from pairaug.errors import RunError
from pairaug.record import RunRecord, read_record

WHOLE = RunRecord(
    seed=3,
    device="cpu",
    source={"name": "here", "access": "public"},
    weights={"score": {"bundled": "0" * 64}},
    fingerprints={"read": {"fingerprint": "f" * 64, "inputs": {"limit": None}}},
    rule={"inter": {"rule": "threshold", "bounds": {"image_report": 0.3}}},
    counts={"read": {"in": 2, "created": 0, "living": {"real": 1}, "dropped": {"empty_report": 1}}},
    seconds={"read": 1},
)


def test_record_round_trip(tmp_path: Path) -> None:
    WHOLE.write(tmp_path / "run.json")
    assert read_record(tmp_path / "run.json") == WHOLE


def test_missing_file_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "run.json") is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"seed": "3"}, "damaged at seed"),
        ({"seed": True}, "damaged at seed"),
        ({"counts": []}, "damaged at counts"),
        ({"counts": {"read": 5}}, r"damaged at counts\.read"),
        ({"counts": {"read": {"in": 1, "created": 0, "living": {}}}}, r"counts\.read\.dropped"),
        ({"counts": {"read": {**WHOLE.counts["read"], "living": {"real": "9"}}}}, "living.real"),
        ({"fingerprints": {"read": "f"}}, r"damaged at fingerprints\.read"),
        ({"fingerprints": {"read": {"inputs": {}}}}, r"fingerprints\.read\.fingerprint"),
        ({"fingerprints": {"read": {"fingerprint": "f", "inputs": []}}}, r"read\.inputs"),
        ({"rule": {"inter": {"bounds": 3}}}, r"damaged at rule\.inter\.bounds"),
        ({"rule": {"inter": {"bounds": {"image_report": "high"}}}}, "damaged at rule"),
        ({"weights": {"score": "0"}}, r"damaged at weights\.score"),
        ({"seconds": {"read": None}}, r"damaged at seconds\.read"),
        ({"source": "here"}, "damaged at source"),
        ({"quality": [1]}, "damaged at quality"),
        ({"colour": "red"}, "damaged at colour"),
        ({"pairaug": None}, "does not state the PairAug version that wrote it"),
        ({"pairaug": {"version": "0.1.0"}}, "does not state the PairAug version"),
        ({"pairaug": {"version": "0.1.0", "format": "1"}}, "does not state the PairAug version"),
        (
            {"pairaug": {"version": "SECRET report text", "format": 1}},
            "does not state the PairAug version",
        ),
    ],
)
def test_values_of_another_type_are_named_and_not_quoted(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**WHOLE.as_json(), **changes}))
    with pytest.raises(RunError, match=rf"run\.json .*{problem}.*; delete it and run") as raised:
        read_record(path)
    assert "\n" not in str(raised.value)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "[" * 900, '{"seed": NaN}', "\ud800"])
def test_invalid_json_raises(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunError, match=r"run\.json .*; delete it and run the same") as raised:
        read_record(tmp_path / "run.json")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("difference", "who"), [(-1, "an earlier"), (1, "a later")])
def test_a_run_of_another_format_is_refused(tmp_path: Path, difference: int, who: str) -> None:
    path = tmp_path / "run.json"
    content = WHOLE.as_json()
    number = content["pairaug"]["format"] + difference
    content["pairaug"] = {"version": "9.8.7", "format": number}
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"was written by {who} PairAug"):
        read_record(path)


def test_another_version_with_the_same_format_is_read_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.json"
    content = WHOLE.as_json()
    content["pairaug"]["version"] = "0.0.1.dev3"
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        assert read_record(path) == WHOLE
    assert "written by PairAug 0.0.1.dev3" in caplog.text
