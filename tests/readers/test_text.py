"""One rule says when a value is a report's text, whichever source it comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import TypeAdapter

from pairaug.pair import Pair, Report
from pairaug.readers import ReadSettings, open_reader
from pairaug.readers.text import NotTextError, cell_text, report_of_cells, report_text
from pairaug.stage import RunContext
from support.layout_trees import image, tar

_SETTINGS: TypeAdapter[Any] = TypeAdapter(ReadSettings)

NOTHING = [
    None, float("nan"), np.float32("nan"), np.nan, pd.NA, pd.NaT, "", "  \t\n", "nan", "NaN",
    "None", "none.", "N/A", "n.a.", "#N/A", "<NA>", "NULL", "-", "--", "\u2014", ".", "...", "?",
    "\u200b", "\ufeff", "\u200c\u200d", "\u00a0\u2003", '""', "[]", "\0",
    b"", b"nan", b"\xef\xbb\xbf",
]  # fmt: skip


@pytest.mark.parametrize("value", NOTHING)
def test_empty_values(value: Any) -> None:
    assert report_text(value) == ""
    assert cell_text(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "No report.", "no report available", "Not available", "report not provided", "Missing",
        "12.5", "1", "As above.", "AS ABOVE", "See above.", "As described above", "Per findings.",
        "Please see the findings section.", "Same as above", "As in the body of the report.",
        [], ["nan", None, " "],
    ],
)  # fmt: skip
def test_no_report_remarks_are_empty(value: Any) -> None:
    assert report_text(value) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" No effusion. ", "No effusion."),
        ("Normal.", "Normal."),
        ("No findings.", "No findings."),
        ("Unchanged.", "Unchanged."),
        ("As above. No effusion.", "As above. No effusion."),
        ("None of the lines has moved.", "None of the lines has moved."),
        ("\ufeffNo\u00a0pneumo\u00adthorax.\u200b", "No pneumothorax."),
        ("Kein Pleuraerguss.", "Kein Pleuraerguss."),
        ("Heart large.\n\nNo effusion.", "Heart large.\n\nNo effusion."),
        (b"Peque\xc3\xb1o derrame.", "Peque\u00f1o derrame."),
        (bytearray(b"Clear."), "Clear."),
        (["Heart large", "nan", "No effusion."], "Heart large. No effusion."),
        (("Clear.",), "Clear."),
        (np.array(["Clear.", "Normal."], object), "Clear. Normal."),
        ([b"Clear"], "Clear."),
    ],
)
def test_text_is_unchanged(value: Any, text: str) -> None:
    assert report_text(value) == text


@pytest.mark.parametrize(
    "value",
    [7, 7.5, True, np.int64(3), {"text": "Clear."}, ["Clear.", 7], b"\xff\xfe\x00", {"Clear."}],
)
def test_other_values_are_not_text(value: Any) -> None:
    with pytest.raises(NotTextError):
        report_text(value)
    assert report_of_cells("Clear.", value, "row 3") == (Report(), ("report_not_text", "row 3"))


def test_a_cell_of_an_id_may_be_a_number() -> None:
    assert [cell_text(value) for value in (7, "007", b" a ", b"\xff", True)] == [
        "7", "007", "a", None, "1",
    ]  # fmt: skip


# For each source: reports that are nothing, a text in bytes, a list, a number, a damaged text.
CELLS: list[Any] = ["nan", "None", "N/A", " ", "-", "no report"]


def _read(**settings: Any) -> list[Pair]:
    return list(open_reader(_SETTINGS.validate_python(settings), RunContext(0)))


def _outcomes(pairs: list[Pair]) -> list[str]:
    return [pair.drop.reason if pair.drop else pair.report.text for pair in pairs]


def _parquet(folder: Path, values: list[Any], kind: pa.DataType) -> Path:
    table = pa.table(
        {
            "id": [f"s{number}" for number in range(len(values))],
            "image": [image(seed=number) for number in range(len(values))],
            "text": pa.array(values, kind),
        }
    )
    parquet.write_table(table, folder / "rows.parquet")
    return folder / "rows.parquet"


def _from_table(folder: Path, values: list[Any], kind: pa.DataType) -> list[Pair]:
    columns = {"file": None, "findings": "text", "impression": None}
    return _read(layout="table", table=_parquet(folder, values, kind), columns=columns)


def _from_huggingface(folder: Path, values: list[Any], kind: pa.DataType) -> list[Pair]:
    return _read(layout="huggingface", path=_parquet(folder, values, kind))


def _from_huggingface_sections(folder: Path, values: list[Any], kind: pa.DataType) -> list[Pair]:
    columns = {"text": None, "impression": "text"}
    return _read(layout="huggingface", path=_parquet(folder, values, kind), columns=columns)


TABLES = [_from_table, _from_huggingface, _from_huggingface_sections]


@pytest.mark.parametrize("read", TABLES)
@pytest.mark.parametrize(
    ("values", "kind", "outcomes"),
    [
        (CELLS, pa.string(), ["empty_report"] * len(CELLS)),
        ([b"Clear.", b"\xff", None], pa.binary(), ["Clear.", "report_not_text", "empty_report"]),
        (
            [["Clear", "No effusion."], ["nan"], []],
            pa.list_(pa.string()),
            ["Clear. No effusion.", "empty_report", "empty_report"],
        ),
        ([7.0, None], pa.float64(), ["report_not_text", "empty_report"]),
    ],
)  # fmt: skip
def test_rule_in_tables(
    read: Callable[..., list[Pair]], values: Any, kind: Any, outcomes: list[str], tmp_path: Path
) -> None:
    found = [" ".join(each.split()) for each in _outcomes(read(tmp_path, values, kind))]
    assert found == outcomes


def test_rule_in_json_lines(tmp_path: Path) -> None:
    values = [*CELLS, None, ["Clear", "Normal."], 5, {"a": "b"}]
    lines = [json.dumps({"id": f"s{n}", "findings": value}) for n, value in enumerate(values)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    pairs = _read(
        layout="table",
        table=tmp_path / "rows.jsonl",
        columns={"file": None, "impression": None},
    )
    assert _outcomes(pairs) == [
        *["empty_report"] * 7, "Clear. Normal.", "report_not_text", "report_not_text",
    ]  # fmt: skip


def test_rule_in_tars(tmp_path: Path) -> None:
    members = []
    for number, value in enumerate(CELLS):
        members += [(f"{number}.png", image(seed=number)), (f"{number}.txt", value.encode())]
    records: list[Any] = [{"findings": "None"}, {"findings": ["Clear", "Normal."]}, {"findings": 5}]
    for number, record in enumerate(records, len(CELLS)):
        members += [
            (f"{number}.png", image(seed=number)),
            (f"{number}.json", json.dumps(record).encode()),
        ]
    tar(tmp_path / "a.tar", *members)
    assert _outcomes(_read(layout="webdataset", shards=tmp_path / "a.tar")) == [
        *["empty_report"] * 7, "Clear. Normal.", "report_not_text",
    ]  # fmt: skip


def test_rule_in_files(tmp_path: Path) -> None:
    texts = [*CELLS, "FINDINGS: None.\nIMPRESSION: N/A", "FINDINGS: Clear.\nIMPRESSION: As above."]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.png").write_bytes(image(seed=number))
        (tmp_path / f"{number}.txt").write_text(text)
    pairs = _read(layout="cxr-folder", root=tmp_path)
    assert _outcomes(pairs) == [*["empty_report"] * 7, "Clear."]
    assert pairs[-1].report == Report("Clear.", "")
