"""JSON from elsewhere ends in a value or in one error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.errors import RunError
from pairaug.system.json_text import MAX_DEPTH, JSONTextError, parse_json, read_json_object


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 2.5, null, true]", [1, 2.5, None, True]),
        ('{"a": "\\u00e9"}', {"a": "é"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('"\\ud83d\\ude00"', "😀"),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
    ],
)
def test_json_is_read(text: str | bytes, value: Any) -> None:
    parsed = parse_json(text)
    assert value is None or parsed == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff\xfe", "not UTF-8"),
        ("", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "Infinity"),
        ("[1e999]", "too large"),
        ("9" * 5000, "too many digits"),
        ('["\\ud800"]', "surrogate"),
        ('{"\\ud800": 1}', "surrogate"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deep"),
        ("[" * 200_000, "deep"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "deep"),
    ],
)
def test_invalid_json_raises(text: str | bytes, why: str) -> None:
    with pytest.raises(JSONTextError, match=why):
        parse_json(text)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text(text: str | bytes) -> None:
    with suppress(JSONTextError):
        parse_json(text)


@pytest.mark.parametrize("content", [b"[]", b"null", b"{", b"\xff", b'"{}"'])
def test_file_without_object_raises(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"own\.json .*; remove it") as caught:
        read_json_object(path, RunError, "remove it")
    assert "\n" not in str(caught.value)


def test_folder_instead_of_file_raises(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a file; remove it"):
        read_json_object(tmp_path, RunError, "remove it")


def test_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json_object(tmp_path / "none.json", RunError, "remove it")


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"a": [1]}')
    assert read_json_object(tmp_path / "own.json", RunError, "remove it") == {"a": [1]}
