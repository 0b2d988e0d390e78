"""Tables as others write, pack, cut and damage them: each is read rightly, or is one line."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import zipfile
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairaug.errors import DataError, PairAugError
from pairaug.readers.rows import column_names, rows_of

COLUMNS = {"id": "id", "text": "text"}
SECRET = "Große Verschattung rechts, Patient 10000032"


def _rows(path: Path, **more: Any) -> list[tuple[int, dict[str, str | None]]]:
    return [(number, dict(row)) for number, row in rows_of(path, COLUMNS, **more)]


def _texts(path: Path, **more: Any) -> list[str | None]:
    return [row["text"] for _, row in _rows(path, **more)]


def _write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def _refused(path: Path, match: str, **more: Any) -> str:
    with pytest.raises(DataError, match=match) as error:
        _rows(path, **more)
    assert "Verschattung" not in str(error.value)
    assert "10000032" not in str(error.value)
    # The exception that a log would print behind it.
    assert "Verschattung" not in repr(error.value.__cause__)
    return str(error.value)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_encoding_from_first_bytes(tmp_path: Path, encoding: str, name: str) -> None:
    text = {
        "t.csv": f'id,text\n1,"{SECRET}"\n',
        "t.tsv": f"id\ttext\n1\t{SECRET}\n",
        "t.jsonl": json.dumps({"id": 1, "text": SECRET}, ensure_ascii=False) + "\n",
    }[name]
    path = _write(tmp_path / name, text, encoding)
    assert _texts(path) == [SECRET]
    assert column_names(path) == ("id", "text")


def test_windows_latin_1(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "id,text\n1,“clear” – größer\n", "cp1252")
    _refused(path, "is not utf-8 text; set read.encoding .* cp1252")
    assert _texts(path, encoding="cp1252") == ["“clear” – größer"]
    assert _texts(path, encoding="latin-1") == ["“clear” – größer"]
    for unknown in ("klingon", "base64", "utf\0"):
        _refused(path, "unknown encoding", encoding=unknown)


@pytest.mark.parametrize("sign", [",", ";", "|", "\t"])
def test_delimiter_from_header(tmp_path: Path, sign: str) -> None:
    text = sign.join(["id", "text"]) + "\n" + sign.join(["1", '"one, two; three"']) + "\n"
    for name in ("t.csv", "t.tsv"):
        assert _texts(_write(tmp_path / name, text)) == ["one, two; three"]
    assert _texts(_write(tmp_path / "excel.csv", f"sep={sign}\r\n{text}")) == ["one, two; three"]
    assert column_names(_write(tmp_path / "t.csv", text)) == ("id", "text")


def test_row_numbers_of_a_spreadsheet(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", 'id,text\r\n1,"two\r\nlines"\r\n\r\n2, "a, b"\r\n3,c,\r\n')
    assert [(number, row["text"]) for number, row in _rows(path)] == [
        (2, "two\r\nlines"),
        (4, "a, b"),
        (5, "c"),
    ]
    lines = _write(tmp_path / "t.jsonl", '{"id": 1, "text": NaN}\n\n{"id": 2, "text": "b"}\n')
    assert [(number, row["text"]) for number, row in _rows(lines)] == [(1, None), (3, "b")]


def test_ragged_rows_and_open_quotes_raise_with_row(tmp_path: Path) -> None:
    _refused(
        _write(tmp_path / "a.csv", f"id,text\n1,{SECRET}\n"), "row 2 has 3 columns, its header"
    )
    _refused(_write(tmp_path / "b.csv", "id,text\n1\n"), "row 2 has 1 columns")
    path = _write(tmp_path / "c.csv", f'id,text\n1,a\n2,"{SECRET}\n3,b\n')
    _refused(path, "a quote that opens in row 3 is not closed")
    _refused(_write(tmp_path / "d.csv", "id,text,text\n1,a,b\n"), "more than one column 'text'")
    for empty in ("", "\n\n", "\ufeff"):
        _refused(_write(tmp_path / "e.csv", empty), "is empty")
    _refused(_write(tmp_path / "f.csv", "id,text\n"), "has no rows")


def test_unreadable_files_raise(tmp_path: Path) -> None:
    content = f'id,text\n1,"{SECRET}"\n'.encode() * 400
    pack = gzip.compress(content)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(pack[: len(pack) // 2])
    _refused(path, r"t\.csv\.gz is damaged or cut short; fetch it again")
    path.write_bytes(pack[:40] + b"\0\0\0\0" + pack[44:])
    _refused(path, "is damaged or cut short")
    # Servers and browsers take .gz off, or leave it on.
    path.write_bytes(b"id,text\n1,a\n")
    assert _texts(path) == ["a"]
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"id,text\n1,a\n"))
    assert _texts(tmp_path / "t.csv") == ["a"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("t.csv", content)
    (tmp_path / "zip.csv").write_bytes(archive.getvalue())
    _refused(tmp_path / "zip.csv", "is a zip archive or a spreadsheet; unpack it")
    (tmp_path / "folder.csv").mkdir()
    _refused(tmp_path / "folder.csv", "is not a file")
    (tmp_path / "folder.parquet").mkdir()
    _refused(tmp_path / "folder.parquet", "is not a file")


def test_large_cell_and_nul(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", f'id,text\n1,"{"word " * 2_000_000}"\n2\0,a\0b\n')
    first, second = _rows(path)
    assert len(first[1]["text"] or "") == 9_999_999
    assert second[1] == {"id": "2", "text": "ab"}


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('{"id": 1, "text": "\\ud800"}', "half a surrogate"),
        ('{"id": 1, "text": ' + "[" * 5000 + "]" * 5000 + "}", "nested"),
        ('{"id": ' + "9" * 5000 + ', "text": "a"}', "digits"),
        ('{"id": 1e999, "text": "a"}', "too large"),
        ('{"id": 1, "text": "Verschattung', "not JSON"),
        ('["Verschattung"]', "is not a JSON object"),
    ],
)
def test_invalid_json_raises_with_line(tmp_path: Path, line: str, match: str) -> None:
    path = _write(tmp_path / "t.jsonl", '{"id": 0, "text": "a"}\n' + line + "\n")
    assert "line 2" in _refused(path, match)


def test_parquet_types(tmp_path: Path) -> None:
    values = {
        "dictionary": (pa.array(["a", "b"]).dictionary_encode(), "a"),
        "decimal": (pa.array([Decimal("10000032.0"), None]), "10000032.0"),
        "large": (pa.array(["a", None], pa.large_string()), "a"),
        "view": (pa.array(["a", None], pa.string_view()), "a"),
        "date": (pa.array([datetime.date(2001, 2, 3), None]), "2001-02-03"),
        "far": (pa.array([2**62, None], pa.timestamp("us")), None),
        "duration": (pa.array([2**62, None], pa.duration("s")), None),
        "uuid": (pa.array([bytes(16), None], pa.uuid()), "00000000-0000-0000-0000-000000000000"),
    }
    for name, (column, expected) in values.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"id": ["1", "2"], "text": column}), path)
        try:
            found = _texts(path)
        except DataError as error:
            found = [str(error)]
        if expected is None:
            expected = f"{path}: column 'text' has values in rows 1 to 2 that are not text"
        assert found[0] == expected or (name, found) == ("far", [None, None]), name


def test_damaged_parquet_raises(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": ["1"] * 500, "text": [SECRET] * 500}), path)
    whole = path.read_bytes()
    for broken in (whole[:100], whole[:-20], whole[:4] + bytes(60) + whole[64:], b"PAR1" * 3):
        path.write_bytes(broken)
        _refused(path, "is not a readable Parquet file|is damaged, or uses unsupported")
    invalid = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table({"id": ["1"], "text": invalid}), path)
    _refused(path, "column 'text' has values in rows 1 to 1 that are not text")


def test_first_row_of_data_is_not_quoted(tmp_path: Path) -> None:
    cells = ["s1", "images/a.png", "10000032", SECRET, "No acute process."]
    quoted = ",".join(f'"{cell}"' for cell in cells)
    for name, text in {
        "t.csv": f"{quoted}\n{quoted}\n",
        "t.tsv": "\t".join(cells) + "\n",
        "t.jsonl": json.dumps(dict.fromkeys(cells, 1)) + "\n",
    }.items():
        said = _refused(_write(tmp_path / name, text), "does the table have a header")
        assert not any(cell in said for cell in cells)
    pq.write_table(pa.table({cell: ["x"] for cell in cells}), tmp_path / "t.parquet")
    said = _refused(tmp_path / "t.parquet", "Its first row of 5 cells does not look like names")
    assert "acute" not in said
    # A header that is near enough to what was asked for is still no guess.
    near = _write(tmp_path / "near.csv", "id,texts,10000032\n")
    assert "texts" not in _refused(near, "has no column 'text'")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=300), name=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_any_bytes_give_rows_or_an_error(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / f"t.{name}"
    for each in (content, b"id,text\n" + content, b'{"id": 1, "text": "a"}\n' + content):
        path.write_bytes(each)
        with suppress(PairAugError):
            for _, row in rows_of(path, COLUMNS):
                assert set(row) == {"id", "text"}
