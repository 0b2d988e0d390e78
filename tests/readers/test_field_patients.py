"""One patient is one, however a program has written the number; labels and names of any form."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pairaug.errors import DataError
from pairaug.evaluate.data import LabelledData, open_cases
from pairaug.readers import CxrFolderSource, ReadSettings, TableSource, open_reader
from pairaug.readers.identifiers import patient_key, whole_number
from pairaug.stage import RunContext
from support.layout_trees import chexpert_plus, csv, image, write

SAME = ["10000032", "10000032.0", " 10000032 ", "\ufeff10000032", "1.0000032e+07", "10000032.00",
        "1.0000032E7", "10000032."]  # fmt: skip


def test_patient_key_of_all_notations() -> None:
    assert {patient_key(text) for text in SAME} == {"10000032"}
    others = ["010000032", "10000032.5", "p10000032", "1.5e-7", "1e5f", "0", "0.0", "-3"]
    assert [patient_key(text) for text in others] == [
        "010000032", "10000032.5", "p10000032", "1.5e-7", "1e5f", "0", "0", "-3"
    ]  # fmt: skip
    assert patient_key("1e7") == patient_key("10000000.0") == "10000000"
    assert patient_key("Mu\u0308ller") == "M\u00fcller"
    assert whole_number("50000001.0") == 50000001
    assert whole_number("\u0664") is whole_number("5x") is whole_number(None) is None


def test_one_split_per_patient(tmp_path: Path) -> None:
    write(tmp_path / "a.png", image())
    rows = [(str(n), "a.png", text, "Clear.") for n, text in enumerate([*SAME, "010000032"])]
    table = csv(tmp_path / "t.csv", "id,file,patient,findings", *rows)
    columns = {"impression": None, "patient_id": "patient"}
    source = TableSource.model_validate({"table": table, "columns": columns})
    pairs = list(open_reader(source, RunContext(seed=0, num_workers=1)))
    assert [pair.patient_id for pair in pairs] == ["10000032"] * len(SAME) + ["010000032"]
    assert len({pair.split for pair in pairs[: len(SAME)]}) == 1
    rows = [("1", "a.png", SAME[0], "Clear.", "train"), ("2", "a.png", SAME[1], "Clear.", "test")]
    csv(tmp_path / "t.csv", "id,file,patient,findings,split", *rows)
    divided = {"table": table, "columns": {**columns, "split": "split"}}
    with pytest.raises(DataError, match="the patient of row 3 is in two splits"):
        list(open_reader(TableSource.model_validate(divided), RunContext(seed=0, num_workers=1)))


def test_labels_use_the_same_patient_keys(tmp_path: Path) -> None:
    write(tmp_path / "a.png", image())
    table = csv(tmp_path / "t.csv", "file,who,edema", ("a.png", "7.0", "1"), ("a.png", "7", "0.0"))
    data = {"layout": "table", "table": table, "patient_id": "who", "columns": {"edema": "edema"}}
    cases = list(open_cases(TypeAdapter(LabelledData).validate_python(data)))
    assert [(case.patient_id, case.labels["edema"]) for case in cases] == [("7", 1.0), ("7", 0.0)]


@pytest.mark.parametrize("line", [b"\xff\xfe\xfa", b'{"path_to_image": 3}', b"[" * 9000, b"{"])
def test_unreadable_chexpert_plus_labels_raise(tmp_path: Path, line: bytes) -> None:
    settings = chexpert_plus(tmp_path)
    write(tmp_path / "chexbert_labels" / "report_fixed.json", line + b"\n")
    source = TypeAdapter(ReadSettings).validate_python(settings)
    with pytest.raises(DataError, match=r"report_fixed\.json(: line 1| is not utf-8)"):
        list(open_reader(source, RunContext(seed=0, num_workers=1)))


def test_report_column_as_labels_raises(tmp_path: Path) -> None:
    table = csv(tmp_path / "t.csv", "file,text", ("a.png", "Small effusion. No edema at all here."))
    data = {"layout": "table", "table": table, "list_column": "text"}
    with pytest.raises(DataError, match="row 2 lists a text that is not the name") as error:
        open_cases(TypeAdapter(LabelledData).validate_python(data))
    assert "effusion" not in str(error.value)


def test_file_names_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write(tmp_path / f"{name}.png", image())
    write(tmp_path / f"{name}.txt", "Clear.")
    (pair,) = open_reader(CxrFolderSource(root=tmp_path, name="f"), RunContext(seed=0))
    assert pair.id == "f/caf\\xe9"
    assert pair.drop
    assert (pair.drop.reason, pair.drop.detail) == (
        "unreadable_image", "image 1, the file's name is not UTF-8"
    )  # fmt: skip
