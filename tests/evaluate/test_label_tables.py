"""Labels as datasets publish them: every layout to the same images, patients and findings."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from pairaug.errors import DataError, SettingsError
from pairaug.evaluate.data import Case, Cases, LabelledData, chosen_findings, open_cases

NAN = math.nan


def _images(root: Path, *names: str) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (20, 24), dtype=np.uint8))
        image.save(root / name, format="PNG")


def _write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def _open(aliases: dict[str, str] | None = None, **settings: object) -> Cases:
    return open_cases(TypeAdapter(LabelledData).validate_python(settings), aliases)


def _labels(cases: list[Case], *names: str) -> list[list[float]]:
    return [[case.labels[name] for name in names] for case in cases]


def _same(found: list[list[float]], expected: list[list[float]]) -> bool:
    return np.array_equal(np.array(found), np.array(expected), equal_nan=True)


def test_chexpert(tmp_path: Path) -> None:
    _images(tmp_path, "valid/patient64541/study1/view1_frontal.jpg")
    _images(tmp_path, "CheXpert-v1.0/valid/patient64542/study2/view1_frontal.jpg")
    table = _write(
        tmp_path / "valid.csv",
        "Path,Sex,Frontal/Lateral,No Finding,Edema,Pleural Effusion",
        "CheXpert-v1.0/valid/patient64541/study1/view1_frontal.jpg,Male,Frontal,0.0,1.0,-1.0",
        "CheXpert-v1.0/valid/patient64541/study1/view2_lateral.jpg,Male,Lateral,0.0,1.0,-1.0",
        "CheXpert-v1.0/valid/patient64542/study2/view1_frontal.jpg,Female,Frontal,1.0,,0.0",
        "CheXpert-v1.0/valid/patient64543/study1/view1_frontal.jpg,Female,Frontal,1.0,,0.0",
    )
    opened = _open(layout="chexpert", table=table)
    assert opened.findings == ("no finding", "edema", "pleural effusion")
    cases = list(opened)
    assert [case.patient_id for case in cases] == ["patient64541", "patient64542"]
    assert _same(_labels(cases, *opened.findings), [[0, 1, NAN], [1, 0, 0]])
    assert dict(opened.tally) == {"missing_image": 1}
    assert cases[0].image().shape == (20, 24)
    kept = _open(layout="chexpert", table=table, uncertain="positive", unstated="ignore")
    assert _same(_labels(list(kept), "edema", "pleural effusion"), [[1, 1], [NAN, 0]])
    denied = _open(layout="chexpert", table=table, uncertain="negative")
    assert _same(_labels(list(denied), "pleural effusion"), [[0], [0]])


def test_nih(tmp_path: Path) -> None:
    _images(tmp_path, "images_001/images/00000001_000.png", "images_002/images/00000002_000.png")
    _images(tmp_path, "images/00000003_000.png", "images_002/images/00000002_001.png")
    table = _write(
        tmp_path / "Data_Entry_2017.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,View Position",
        "00000001_000.png,Cardiomegaly|Effusion,0,1,PA",
        "00000002_000.png,No Finding,0,2,PA",
        "00000002_001.png,Hernia,1,2,AP",
        "00000003_000.png,Pleural_Thickening|Edema,0,3,PA",
    )
    opened = _open(layout="nih", table=table)
    cases = list(opened)
    names = ("cardiomegaly", "pleural effusion", "no finding", "hernia", "pleural thickening")
    assert _labels(cases, *names) == [
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    assert [case.patient_id for case in cases] == ["1", "2", "2", "3"]
    assert len(opened.findings) == 15
    only = _write(tmp_path / "test_list.txt", "00000002_001.png", "00000003_000.png")
    assert len(list(_open(layout="nih", table=table, only=only))) == 2


def test_padchest(tmp_path: Path) -> None:
    _images(tmp_path, "0/a.png", "b.png", "0/c.png", "0/d.png")
    path = tmp_path / "PADCHEST.csv.gz"
    lines = (
        "ImageID,ImageDir,PatientID,Projection,MethodLabel,Labels",
        "a.png,0,p1,PA,Physician,\"['cardiomegaly', ' pleural effusion']\"",
        "b.png,0,p2,AP,RNN_model,\"['normal']\"",
        "c.png,0,p3,L,Physician,\"['normal']\"",
        "d.png,0,p4,PA,Physician,\"['unchanged', 'scoliosis']\"",
        "d.png,0,p4,PA,Physician,",
    )
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    opened = _open(layout="padchest", table=str(path))
    assert opened.findings == ("cardiomegaly", "no finding", "pleural effusion", "scoliosis")
    cases = list(opened)
    assert _labels(cases, *opened.findings) == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    by_hand = _open(layout="padchest", table=str(path), by_hand=True)
    assert [case.patient_id for case in by_hand] == ["p1", "p4"]


def test_vindr(tmp_path: Path) -> None:
    _images(tmp_path, "a.png", "train/b.png")
    table = _write(
        tmp_path / "image_labels_train.csv",
        "image_id,rad_id,Aortic enlargement,Cardiomegaly,No finding",
        "a,R1,1,1,0",
        "b,R1,0,0,1",
        "a,R2,1,0,0",
        "b,R4,0,0,1",
        "a,R3,0,0,0",
        "b,R5,0,1,0",
    )
    opened = _open(layout="vindr", table=table, suffix=".png")
    assert opened.findings == ("aortic enlargement", "cardiomegaly", "no finding")
    assert _labels(list(opened), *opened.findings) == [[1, 0, 0], [0, 0, 1]]
    anyone = _open(layout="vindr", table=table, suffix=".png", readers="any")
    assert _labels(list(anyone), *opened.findings) == [[1, 1, 0], [0, 1, 1]]


def test_mimic(tmp_path: Path) -> None:
    _images(tmp_path, "files/p10/p10000032/s50414267/aa.jpg", "p11/p11000000/s2/bb.jpg")
    table = _write(
        tmp_path / "mimic-cxr-2.0.0-chexpert.csv",
        "subject_id,study_id,Atelectasis,Edema,No Finding",
        "10000032,50414267,,1.0,-1.0",
        "11000000,2,0.0,,1.0",
    )
    splits = _write(
        tmp_path / "mimic-cxr-2.0.0-split.csv",
        "dicom_id,study_id,subject_id,split",
        "aa,50414267,10000032,test",
        "bb,2,11000000,train",
        "cc,3,11000001,test",
    )
    opened = _open(layout="mimic-cxr", table=table, images=splits)
    (case,) = opened
    assert case.patient_id == "10000032"
    assert _same(_labels([case], "atelectasis", "edema", "no finding"), [[0, 1, NAN]])
    views = _write(
        tmp_path / "mimic-cxr-2.0.0-metadata.csv",
        "dicom_id,study_id,subject_id,ViewPosition",
        "aa,50414267,10000032,LATERAL",
        "bb,2,11000000,PA",
    )
    given = {"layout": "mimic-cxr", "table": table, "images": views, "unstated": "ignore"}
    frontal = _open(**given, split="all", views=["PA", "AP"])
    assert _same(_labels(list(frontal), "atelectasis", "edema"), [[0, NAN]])
    both = list(_open(**given, splits=splits, split="train"))
    assert [(case.patient_id, case.split) for case in both] == [("11000000", "train")]
    assert list(_open(**given, splits=splits, views=["PA"])) == []
    with pytest.raises(DataError, match=r"set data\.splits to the table of splits"):
        list(_open(**given))
    with pytest.raises(DataError, match=r"for data\.views, set data\.images to the table"):
        list(_open(layout="mimic-cxr", table=table, images=splits, views=["PA"]))


def test_a_table_with_columns(tmp_path: Path) -> None:
    _images(tmp_path, "a.png", "b.png", "c.png")
    table = _write(
        tmp_path / "labels.csv", "image,mass,lump,view", "a.png,1,0,PA", "b.png,,1,PA", "c.png,0,,L"
    )
    given = {
        "layout": "table",
        "table": table,
        "file": "image",
        "columns": {"Mass": "mass", "nodule": "lump"},
        "where": {"view": ["PA"]},
    }
    opened = _open(**given)
    cases = list(opened)
    assert _same(_labels(cases, "mass", "nodule"), [[1, 0], [NAN, 1]])
    assert [case.patient_id for case in cases] == ["a.png", "b.png"]
    joined = _open({"nodule": "lung lesion", "mass": "lung lesion"}, **given)
    assert joined.findings == ("lung lesion",)
    assert _labels(list(joined), "lung lesion") == [[1], [1]]


def test_several_names_of_one_finding_are_absent_only_together(tmp_path: Path) -> None:
    _images(tmp_path, "a.png", "b.png")
    table = _write(tmp_path / "t.csv", "file,mass,nodule", "a.png,0,0", "b.png,0,")
    joined = _open(
        {"nodule": "mass"},
        layout="table",
        table=table,
        columns={"mass": "mass", "nodule": "nodule"},
    )
    assert _same(_labels(list(joined), "mass"), [[0], [NAN]])


def test_wrong_image_folder(tmp_path: Path) -> None:
    table = _write(tmp_path / "t.csv", "file,mass", "../secret.png,1", "none.png,0")
    _images(tmp_path.parent, "secret.png")
    opened = _open(layout="table", table=table, columns={"mass": "mass"})
    assert list(opened) == []
    assert opened.tally["missing_image"] == 2


@pytest.mark.parametrize(
    ("lines", "settings", "message"),
    [
        (
            ["file,mass", "a.png,7"],
            {"columns": {"mass": "mass"}},
            "row 2, .mass., has a number; a label is",
        ),
        (["file,mass", ",1"], {"columns": {"mass": "mass"}}, "row 2 has no file"),
        (["file,mass", "a.png,1"], {"columns": {"mass": "mas"}}, "did you mean 'mass'"),
        (["file,mass", "a.png,1"], {"layout": "chexpert"}, "no column that is a finding"),
        (["file,mass", "a.png,1"], {"layout": "nih"}, "no column 'Image Index'"),
        (["file,mass", "a.png,1"], {"layout": "nih", "root": "/nowhere"}, "does not exist"),
    ],
)
def test_table_errors(
    tmp_path: Path, lines: list[str], settings: dict[str, object], message: str
) -> None:
    _images(tmp_path, "a.png")
    table = _write(tmp_path / "t.csv", *lines)
    with pytest.raises(DataError, match=message):
        list(_open(**{"layout": "table", "table": table, **settings}))


def test_findings_without_labels(tmp_path: Path) -> None:
    opened = _open(layout="phantom", num_patients=2, labels="chexpert")
    assert chosen_findings(opened, ["Edema", "Effusion"]) == ("edema", "pleural effusion")
    with pytest.raises(SettingsError, match=r"no labels of .edma.*did you mean .edema."):
        chosen_findings(opened, ["edma"])
    with pytest.raises(SettingsError, match="aliases names 'hernia'"):
        _open({"hernia": "edema"}, layout="phantom", num_patients=2)


def test_a_finished_run_and_its_reader(finished, small_settings) -> None:
    run = _open(layout="run", run=str(finished.path), split="all")
    cases = list(run)
    assert len(cases) == 5
    assert all(case.report for case in cases)
    read = _open(layout="read", read=small_settings.read.model_dump(), split="all")
    assert [case.report for case in read] == [case.report for case in cases]
    stated = _open(layout="run", run=str(finished.path), split="all", labels="report")
    assert {case.labels["no finding"] for case in stated} <= {0.0, 1.0}
    assert list(_open(layout="run", run=str(finished.path), split="test")) == []
    with pytest.raises(DataError, match="has no pairs"):
        _open(layout="run", run="/nowhere")
