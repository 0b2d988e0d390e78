from __future__ import annotations

import gzip
import io
import json
import logging
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from pyarrow import csv
from pydantic import TypeAdapter, ValidationError

from pairaug.errors import DataError
from pairaug.imaging.io import load_image
from pairaug.pair import Branch, Pair
from pairaug.readers import ReadSettings, TableSource, open_reader
from pairaug.readers.normalize import DROP_REASONS
from pairaug.stage import RunContext
from support.dicom_images import dataset_of, saved

HEADER = "id,file,patient_id,findings,impression"


def _image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 20)).astype(np.uint8)


def _save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_image(seed)).save(path)
    return path


def _table(folder: Path, *rows: str, header: str = HEADER, name: str = "reports.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def _read(table: Path, columns: Mapping[str, Any] | None = None, **settings: Any) -> list[Pair]:
    columns = {"patient_id": "patient_id", **(columns or {})}
    source = TableSource.model_validate({"table": table, "columns": columns, **settings})
    return list(open_reader(source, RunContext(seed=0)))


def _reasons(pairs: Sequence[Pair]) -> list[str | None]:
    return [pair.drop.reason if pair.drop else None for pair in pairs]


def test_rows_become_real_pairs_with_their_images(tmp_path: Path) -> None:
    image = _save(tmp_path / "images" / "a.png")
    table = _table(
        tmp_path, "a,images/a.png,p1,Clear lungs.,No change.", 'b,images/a.png,p2,"x, y",'
    )
    first, second = _read(table)
    assert first.id == "reports/a"
    assert first.branch is Branch.REAL
    assert first.patient_id == "p1"
    assert first.report.text == "No change. Clear lungs."
    assert second.report.text == "x, y"
    assert first.image is not None
    assert first.image.path == str(image)
    assert first.image.png is None
    assert first.image.sha256 == sha256(image.read_bytes()).hexdigest()
    assert (first.image.height, first.image.width) == (24, 20)
    assert np.array_equal(load_image(first.image) * 255, _image().astype(np.float32))


def test_every_format_gives_the_same_pairs(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    rows = [
        dict(zip(HEADER.split(","), cells, strict=True))
        for cells in (
            ("007", "a.png", "1", "Größe, normal", None),
            ("8", "a.png", "2", "two\nlines", "x"),
        )
    ]
    lines = [
        HEADER,
        '007,a.png,1,"Größe, normal",',
        '8,a.png,2,"two\nlines",x',
    ]
    csv = "\n".join(lines)
    tsv = "\n".join(
        [
            "\t".join(HEADER.split(",")),
            "007\ta.png\t1\tGröße, normal\t",
            '8\ta.png\t2\t"two\nlines"\tx',
        ]
    )
    contents = {
        "t.csv": csv.encode(),
        "t.tsv": tsv.encode(),
        "t.CSV": csv.replace("\n", "\r\n").replace("two\r\nlines", "two\nlines").encode(),
        "t.csv.gz": gzip.compress(csv.encode()),
        "t.jsonl": "\n".join(json.dumps(row) for row in rows).encode(),
        "bom/t.csv": b"\xef\xbb\xbf" + csv.encode(),
    }
    found = {}
    for name, content in contents.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        found[name] = _read(path, root=tmp_path)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    found["t.parquet"] = _read(tmp_path / "t.parquet", root=tmp_path)
    expected = found.pop("t.csv")
    assert [pair.id for pair in expected] == ["t/007", "t/8"]
    assert expected[0].report.findings == "Größe, normal"
    assert expected[1].report.findings == "two\nlines"
    assert not any(_reasons(expected))
    # A row's number is that which a spreadsheet or an editor shows.
    numbers = {"t.jsonl": 1, "t.parquet": 1}
    for name, pairs in found.items():
        assert pairs[0].trace["read"]["row"] == numbers.get(name, 2)
        assert [replace(pair, trace={}) for pair in pairs] == [
            replace(pair, trace={}) for pair in expected
        ], name


def test_crlf_within_and_between_rows(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    table = tmp_path / "t.csv"
    table.write_bytes(f'{HEADER}\r\na,a.png,p,"one\r\ntwo",\r\nb,a.png,q,three,\r\n'.encode())
    first, second = _read(table)
    assert first.report.findings.split() == ["one", "two"]
    assert second.report.findings == "three"
    assert second.report.impression == ""


def test_bad_rows_are_dropped(tmp_path: Path) -> None:
    good = _save(tmp_path / "good.png")
    outside = _save(tmp_path.parent / "outside.png")
    cut = io.BytesIO()
    Image.fromarray(_image()).resize((200, 240)).save(cut, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(cut.getvalue()[: len(cut.getvalue()) // 2])
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "folder.png").mkdir()
    table = _table(
        tmp_path,
        "a,good.png,p,Clear.,",
        "a,good.png,p,Clear again.,",
        "b,absent.png,p,Clear.,",
        "c,,p,Clear.,",
        "d,NaN,p,Clear.,",
        "e,cut.jpg,p,Clear.,",
        "f,text.png,p,Clear.,",
        "g,good.png,p,,",
        "h,good.png,p,NaN,nan",
        "i,../outside.png,p,Clear.,",
        f"j,{outside},p,Clear.,",
        "k,black.png,p,Clear.,",
        ",good.png,p,Clear.,",
        "l,folder.png,p,Clear.,",
        "m,good.png/a.png,p,Clear.,",
        f"n,{good},p,Clear.,",
    )
    pairs = _read(table)
    assert _reasons(pairs) == [
        None,
        "duplicate_id",
        "missing_image",
        "missing_image",
        "missing_image",
        "unreadable_image",
        "unreadable_image",
        "empty_report",
        "empty_report",
        "outside_root",
        "outside_root",
        "image_constant",
        "missing_id",
        "unreadable_image",
        "missing_image",
        None,
    ]
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert {reason for reason in _reasons(pairs) if reason} <= set(DROP_REASONS)
    drops = [pair.drop for pair in pairs if pair.drop]
    assert all(drop.stage == "read" and drop.detail.startswith("row ") for drop in drops)


def test_neither_report_nor_patient_is_in_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "p10032").mkdir()
    (tmp_path / "p10032" / "bad.png").write_text("no image")
    table = _table(tmp_path, "a,p10032/bad.png,p10032,SECRET,", "b,p10032/none.png,p10032,SECRET,")
    with caplog.at_level(logging.DEBUG):
        drops = [pair.drop for pair in _read(table)]
    said = f"{caplog.text} {drops}"
    assert "of 2 studies, dropped: missing_image 1, unreadable_image 1" in said
    assert "SECRET" not in said
    assert "p10032" not in said


def test_malformed_row_is_not_quoted(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    table = _table(tmp_path, "a,a.png,p,Clear.,", "b,a.png,p,SECRET, report, with commas")
    with pytest.raises(
        DataError, match=r"reports\.csv: row 3 has 6 columns, its header has 5"
    ) as e:
        _read(table)
    assert "SECRET" not in str(e.value)
    assert e.value.__cause__ is None
    lines = tmp_path / "t.jsonl"
    lines.write_text('{"id": "a", "file": "a.png", "findings": "x", "patient_id": 1}\n{SECRET\n')
    with pytest.raises(DataError, match=r"t\.jsonl: line 2 is not a JSON object") as e:
        _read(lines, {"impression": None})
    assert e.value.__cause__ is None


def test_paths_with_spaces_and_accents_and_links(tmp_path: Path) -> None:
    root = tmp_path / "thorax été"
    _save(root / "Müller 1" / "café é.png")
    elsewhere = tmp_path / "other disk"
    _save(elsewhere / "x.png")
    (root / "link").symlink_to(elsewhere, target_is_directory=True)
    table = _table(root, "a,Müller 1/café é.png,p,Clear.,", "b,link/x.png,q,Clear.,")
    pairs = _read(table)
    assert _reasons(pairs) == [None, None]
    assert pairs[0].image is not None
    assert pairs[0].image.path == str(root / "Müller 1" / "café é.png")


def test_relative_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(tmp_path / "images" / "a.png")
    _table(tmp_path / "lists", "a,a.png,p,Clear.,")
    monkeypatch.chdir(tmp_path)
    (pair,) = _read(Path("lists/reports.csv"), root="lists/../images")
    assert pair.image is not None
    assert pair.image.path == str(tmp_path / "images" / "a.png")


def test_missing_files_raise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv does not exist"):
        _read(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.csv is empty"):
        _read(tmp_path / "empty.csv")
    with pytest.raises(DataError, match=r"reports\.csv has no rows"):
        _read(_table(tmp_path))
    table = _table(tmp_path, "a,a.png,p,x,y")
    with pytest.raises(DataError, match=r"folder of images .*gone does not exist; set read\.root"):
        _read(table, root=tmp_path / "gone")
    for suffix in ("jsonl", "parquet"):
        (tmp_path / f"empty.{suffix}").write_bytes(b"")
        with pytest.raises(DataError, match=rf"empty\.{suffix} (has no rows|is not a readable)"):
            _read(tmp_path / f"empty.{suffix}")
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in HEADER.split(",")}),
                   tmp_path / "none.parquet")  # fmt: skip
    with pytest.raises(DataError, match=r"none\.parquet has no rows"):
        _read(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"reports\.xlsx is not a table.* end in \.csv, \.tsv"):
        _read(tmp_path / "reports.xlsx")
    with pytest.raises(DataError, match="is not a table"):
        _read(tmp_path)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_an_unknown_column_is_named_with_the_others(tmp_path: Path, name: str) -> None:
    row = {"id": "a", "file": "a.png", "patient_id": "p", "findings": "x", "impression": "y"}
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([row]), path)
    elif name.endswith("jsonl"):
        path.write_text(json.dumps(row))
    else:
        path.write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    message = (
        rf"{name} has no column 'finding' \(for findings\); did you mean 'findings'\? "
        "Its columns are: id, file, patient_id, findings, impression"
    )
    with pytest.raises(DataError, match=message):
        _read(path, {"findings": "finding"})
    with pytest.raises(DataError, match=r"has no column 'zzz' \(for labels\.edema\); Its columns"):
        _read(path, {"labels": {"edema": "zzz"}})


def test_duplicate_column_raises(tmp_path: Path) -> None:
    table = _table(tmp_path, "a,b.png,p,x,y", header="id,file,patient_id,findings,findings")
    with pytest.raises(DataError, match="more than one column 'findings'"):
        _read(table, {"impression": None})


def test_latin_1(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    for name, text in {
        "t.csv": f"{HEADER}\na,a.png,p,Épanchement pleural,\n",
        "t.jsonl": '{"id":"a","file":"a.png","patient_id":"p","findings":"Épanchement pleural"}\n',
    }.items():
        table = tmp_path / name
        table.write_bytes(text.encode("latin-1"))
        columns = {"impression": None}
        with pytest.raises(DataError, match=r"is not utf-8 text; set read\.encoding"):
            _read(table, columns)
        (pair,) = _read(table, columns, encoding="latin-1")
        assert pair.report.text == "Épanchement pleural"
        with pytest.raises(DataError, match="unknown encoding 'klingon'"):
            _read(table, columns, encoding="klingon")


def test_delimiter_of_a_csv(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    table = tmp_path / "t.csv"
    table.write_text(f"{HEADER.replace(',', ';')}\na;a.png;p;No, clear.;\n")
    (pair,) = _read(table, delimiter=";")
    assert pair.report.text == "No, clear."


def test_chexpert_labels(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    table = _table(
        tmp_path,
        "a,a.png,p,x,,1.0,0.0,-1.0,",
        header=f"{HEADER},Edema,Fracture,Pneumonia,Cardiomegaly",
    )
    labels = {
        name: name.capitalize() for name in ("edema", "fracture", "pneumonia", "cardiomegaly")
    }
    (pair,) = _read(table, {"labels": labels})
    assert pair.labels == {"edema": True, "fracture": False, "pneumonia": None}
    bad = _table(tmp_path, "a,a.png,p,x,,maybe", header=f"{HEADER},Edema")
    with pytest.raises(
        DataError, match="row 2, column 'Edema', has a word of 5 characters; a label"
    ):
        _read(bad, {"labels": {"edema": "Edema"}})


def test_views_are_chosen(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    rows = ("a,a.png,p,x,,PA", "b,a.png,q,x,,lateral", "c,a.png,r,x,,ap", "d,a.png,s,x,,")
    table = _table(tmp_path, *rows, header=f"{HEADER},view")
    pairs = _read(table, {"view": "view"}, views=["PA", "AP"])
    assert _reasons(pairs) == [None, "view_excluded", None, "view_excluded"]
    assert pairs[0].trace["read"]["view"] == "PA"
    with pytest.raises(ValidationError, match=r"set columns\.view"):
        _read(table, views=["PA"])


def test_split_column_and_its_spellings(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    header = f"{HEADER},split"
    rows = ("a,a.png,p,x,,train", "b,a.png,q,x,,Val", "c,a.png,r,x,,TEST")
    pairs = _read(_table(tmp_path, *rows, header=header), {"split": "split"})
    assert [pair.split for pair in pairs] == ["train", "validation", "test"]
    with pytest.raises(
        DataError, match="row 2, column 'split', has a text of 6 characters for a split"
    ):
        _read(_table(tmp_path, "a,a.png,p,x,,fold 3", header=header), {"split": "split"})
    leaking = _table(tmp_path, "a,a.png,p_9,x,,train", "b,a.png,p_9,x,,test", header=header)
    with pytest.raises(DataError, match="the patient of row 3 is in two splits") as e:
        _read(leaking, {"split": "split"})
    assert "p_9" not in str(e.value)


def test_hashed_splits_ignore_order(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    rows = [f"s{index},a.png,p{index % 400},x," for index in range(800)]
    pairs = _read(_table(tmp_path, *rows))
    split_of = {pair.patient_id: pair.split for pair in pairs}
    assert all(pair.split == split_of[pair.patient_id] for pair in pairs)
    counts = Counter(split_of.values())
    assert counts["train"] == pytest.approx(320, abs=30)
    assert counts["validation"] == pytest.approx(40, abs=22)
    assert counts["test"] == pytest.approx(40, abs=22)
    backwards = _read(_table(tmp_path, *reversed(rows)))
    assert {pair.id: pair.split for pair in backwards} == {pair.id: pair.split for pair in pairs}
    other = _read(_table(tmp_path, *rows), split={"seed": 1})
    assert {pair.id: pair.split for pair in other} != {pair.id: pair.split for pair in pairs}
    only = _read(_table(tmp_path, *rows), split={"validation_fraction": 0, "test_fraction": 1})
    assert {pair.split for pair in only} == {"test"}


def test_without_a_patient_column_each_row_is_a_patient(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    pairs = _read(_table(tmp_path, "a,a.png,p,x,", "b,a.png,p,x,"), {"patient_id": None})
    assert [pair.patient_id for pair in pairs] == ["a", "b"]


def test_reading_streams_and_restarts(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    rows = [f"s{index},a.png,p,{'long report ' * 40}," for index in range(20_000)]
    table = _table(tmp_path, *rows)
    done: list[int] = []
    settings = TableSource.model_validate({"table": table})
    reader = open_reader(settings, RunContext(seed=0, report_progress=done.append))
    held_before = pa.total_allocated_bytes()
    iterator = iter(reader)
    first = next(iterator)
    assert pa.total_allocated_bytes() - held_before < table.stat().st_size / 4
    assert next(iter(reader)) == first
    next(iterator)
    assert sum(done) == 3


def test_description_carries_terms_and_the_table_hash(tmp_path: Path) -> None:
    table = _table(tmp_path, "a,a.png,p,x,")
    settings = {"table": table, "name": "covid", "license": "CC BY 4.0", "access": "public"}
    settings["citation"] = "Cohen et al."
    described = open_reader(TableSource.model_validate(settings), RunContext(seed=0)).describe()
    assert (described.layout, described.name) == ("table", "covid")
    assert (described.license, described.access) == ("CC BY 4.0", "public")
    assert described.citation == "Cohen et al."
    assert described.hashes == {"reports.csv": sha256(table.read_bytes()).hexdigest()}
    gone = TableSource.model_validate({"table": tmp_path / "gone.csv"})
    with pytest.raises(DataError, match=r"gone\.csv does not exist"):
        open_reader(gone, RunContext(seed=0)).describe()


def test_invalid_settings_raise() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ReadSettings)
    assert isinstance(adapter.validate_python({"layout": "table", "table": "x.csv"}), TableSource)
    with pytest.raises(ValidationError, match="phantom"):
        adapter.validate_python({"layout": "mimic"})
    columns = {"findings": None, "impression": None}
    with pytest.raises(ValidationError, match="name a column for findings, for impression"):
        TableSource.model_validate({"table": "x.csv", "columns": columns})
    with pytest.raises(ValidationError, match="unknown finding 'flu'; the names are: no finding"):
        TableSource.model_validate({"table": "x.csv", "columns": {"labels": {"flu": "Flu"}}})
    with pytest.raises(ValidationError, match="together exceed 1"):
        TableSource.model_validate({"table": "x.csv", "split": {"test_fraction": 0.95}})


_REAL_IMAGES = Path(__file__).parents[3] / "shared" / "data" / "covid_cxr_pairs"


@pytest.mark.dataset
@pytest.mark.skipif(not _REAL_IMAGES.is_dir(), reason="the images are not beside the repository")
def test_every_real_image_of_the_example_is_read() -> None:
    example = yaml.safe_load((Path(__file__).parents[2] / "examples/real-images.yaml").read_text())
    settings = {**example["read"], "table": _REAL_IMAGES / "reports.csv", "root": _REAL_IMAGES}
    pairs = list(open_reader(TableSource.model_validate(settings), RunContext(seed=0)))
    assert len(pairs) == 171
    assert not any(_reasons(pairs))
    assert len({pair.patient_id for pair in pairs}) == 101
    # What is said of the patient's past is in columns that the example does not read.
    assert not any("year-old" in pair.report.impression for pair in pairs)


def test_small_tree_with_edge_cases(tmp_path: Path) -> None:
    """One table with all that goes wrong in the field; each row is accounted for."""
    root = tmp_path / "étude 1"
    good = _save(root / "images" / "a.png")
    _save(tmp_path / "outside" / "x.png")
    (root / "disk").symlink_to(tmp_path / "outside", target_is_directory=True)
    deep = np.random.default_rng(1).integers(0, 65536, (24, 20)).astype(np.uint16)
    Image.fromarray(deep).save(root / "images" / "deep.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(_image(2)).save(root / "images" / "turned.jpg", exif=turned)
    (root / "images" / "bomb.png").write_bytes(_bomb())
    (root / "images" / "image.dcm").write_bytes(saved(dataset_of(BurnedInAnnotation="YES")))
    (root / "images" / "several.dcm").write_bytes(saved(dataset_of(NumberOfFrames=2)))
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    rows = {
        "a,images/a.png,p1,PA,Épanchement pleural.,": None,
        "b,images/gone.png,p2,PA,Clear.,": "missing_image",
        "c,images/a.png,p3,PA,,": "empty_report",
        "d,images/a.png,p4,PA,NaN,nan": "empty_report",
        "a,images/a.png,p1,PA,Clear.,": "duplicate_id",
        "e,images/a.png,p5,LATERAL,Clear.,": "view_excluded",
        "f,disk/x.png,p6,PA,Clear.,": None,
        "g,../outside/x.png,p7,PA,Clear.,": "outside_root",
        # By the path as written, this is x.png in the root itself, wherever the link leads.
        "h,disk/../images/a.png,p8,PA,Clear.,": None,
        "i,disk/../../outside/x.png,p8,PA,Clear.,": "outside_root",
        "j,images/deep.png,p9,AP,Clear.,": None,
        "k,images/turned.jpg,p10,AP,Clear.,": None,
        "l,images/bomb.png,p11,AP,Clear.,": "unreadable_image",
        "m,images/image.dcm,p12,AP,Clear.,": None,
        "n,images/several.dcm,p13,AP,Clear.,": "unreadable_image",
    }
    table = root / "liste é.csv"
    lines = ["id,file,patient_id,view,findings,impression", *rows]
    table.write_bytes(("\r\n".join(lines) + "\r\n").encode("latin-1"))
    pairs = _read(table, {"view": "view"}, views=["pa", "ap"], encoding="latin-1")
    assert _reasons(pairs) == list(rows.values())
    by_id = {pair.id.rpartition("/")[2]: pair for pair in pairs}
    assert by_id["a"].report.findings == "Épanchement pleural."
    assert by_id["a"].image is not None
    assert by_id["a"].image.path == str(good)
    assert by_id["j"].image is not None
    assert np.allclose(load_image(by_id["j"].image), deep / 65535, atol=1e-6)
    assert by_id["k"].image is not None
    assert (by_id["k"].image.height, by_id["k"].image.width) == (20, 24)
    details = {name: by_id[name].drop.detail for name in ("l", "n") if by_id[name].drop}  # type: ignore[union-attr]
    assert details == {
        "l": "row 14, the image is too large to be a radiograph",
        "n": "row 16, the DICOM file has several frames; only single frames are read",
    }
    assert by_id["m"].trace["read"]["burnt_in_annotation"] == "YES"
    table.unlink()
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def _bomb() -> bytes:
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    check = zlib.crc32(header).to_bytes(4, "big")
    pixels = (4).to_bytes(4, "big") + b"IDAT" + bytes(8)
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + check + pixels


def test_study_column_and_hashed_splits(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    rows = ("a,a.png,p,x,,s1,train", "b,a.png,p,x,,s1,test")
    table = _table(tmp_path, *rows, header=f"{HEADER},study,split")
    columns = {"study": "study", "split": "split"}
    with pytest.raises(DataError, match=r"two splits, train before and test here.*split\.use"):
        _read(table, columns)
    pairs = _read(table, columns, split={"use": "hashed"})
    assert len({pair.split for pair in pairs}) == 1
    assert [pair.trace["read"]["study"] for pair in pairs] == ["s1", "s1"]


_MEASURE = """
import sys, time
from pathlib import Path
from pairaug.readers import TableSource, open_reader
from pairaug.stage import RunContext
source = TableSource.model_validate({"table": sys.argv[1]})
started = time.perf_counter()
pairs = iter(open_reader(source, RunContext(seed=0)))
next(pairs)
first = time.perf_counter() - started
number = 1 + sum(1 for _ in pairs)
peak = next(
    line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
)
print(number, first, int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_half_a_million_rows_are_streamed(tmp_path: Path, suffix: str) -> None:
    rows = {
        "id": [f"s{index}" for index in range(500_000)],
        "file": [f"gone/{index}.png" for index in range(500_000)],
        "findings": [f"The lungs are clear, study {index}. " * 15 for index in range(500_000)],
        "impression": ["No acute disease."] * 500_000,
    }
    path = tmp_path / f"t.{suffix}"
    if suffix == "jsonl":
        with path.open("w") as file:
            for cells in zip(*rows.values(), strict=True):
                file.write(json.dumps(dict(zip(rows, cells, strict=True))) + "\n")
    elif suffix == "csv":
        csv.write_csv(pa.table(rows), path)
    else:
        # One row group: what a table written in one go has.
        pq.write_table(pa.table(rows), path, row_group_size=500_000)
    # A process of its own, whose memory holds nothing else.
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    number, first, peak = (float(value) for value in done.stdout.split())
    assert number == 500_000
    assert first < 2.0
    assert peak < 500e6


def test_table_without_images(tmp_path: Path) -> None:
    table = _table(tmp_path, "a,,p,Clear.,", "b,,q,,", header=HEADER)
    pairs = _read(table, {"file": None})
    assert _reasons(pairs) == [None, "empty_report"]
    assert pairs[0].image is None
    assert _reasons(_read(table)) == ["missing_image", "empty_report"]
