"""Tars, folders and datasets as they are found: what belongs together is one pair, what is no study
is none.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairaug.errors import DataError, PairAugError
from pairaug.pair import Pair
from pairaug.readers import CxrFolderSource, HuggingFaceSource, WebDatasetSource, open_reader
from pairaug.readers.reader import Counted
from pairaug.stage import RunContext
from support.layout_trees import image, tar, write


def _shard(path: Path, *members: tuple[str, bytes]) -> list[Pair]:
    source = WebDatasetSource(shards=(tar(path, *members),), name="w")
    reader = open_reader(source, RunContext(seed=0, num_workers=1))
    pairs = list(reader)
    assert isinstance(reader, Counted)
    assert reader.count() == len(pairs)
    return pairs


def _told(pairs: Sequence[Pair]) -> list[tuple[str, str, str | None]]:
    return [(p.id, p.report.text, p.drop.reason if p.drop else None) for p in pairs]


def test_system_files_are_skipped(tmp_path: Path) -> None:
    noise = b"\0\5\x16\7"
    pairs = _shard(
        tmp_path / "x.tar",
        ("._1.png", noise), ("1.png", image(1)), ("._1.txt", noise), ("1.txt", b"Clear."),
        (".DS_Store", noise), ("__MACOSX/a/._2.png", noise), ("PaxHeader/2.png", b"30 mtime=1"),
        ("PaxHeaders.4711/2.txt", b"30 mtime=1"), ("a/Thumbs.db", noise),
        ("./a/2.PNG", image(2)), ("./a/.2.png.swp", noise), ("./a/2.TXT", b"No edema."),
    )  # fmt: skip
    assert _told(pairs) == [("w/1", "Clear.", None), ("w/a/2", "No edema.", None)]


def test_folders_links_and_extended_headers_in_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
        folder = tarfile.TarInfo("été")
        folder.type = tarfile.DIRTYPE
        shard.addfile(folder)
        for name, content in (("été/1.png", image(1)), ("été/1.txt", b"Clear.")):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1.5  # type: ignore[assignment]
            shard.addfile(member, io.BytesIO(content))
    source = WebDatasetSource(shards=(path,), name="w")
    assert _told(list(open_reader(source, RunContext(seed=0)))) == [("w/été/1", "Clear.", None)]


@pytest.mark.parametrize(
    "key",
    ["1.2.840.113619.2.5.1762583153", "CXR_1.2.840.10008-frontal", "2.25.3294", "s.20/1.2.3"],
)
def test_dicom_uid_as_key(tmp_path: Path, key: str) -> None:
    others = [(f"{key}9.{end}", content) for end, content in (("png", image(2)), ("txt", b"Two."))]
    pairs = _shard(
        tmp_path / "x.tar", (f"{key}.png", image(1)), (f"{key}.seg.png", image(5)),
        (f"{key}.txt", b"One."), *others,
    )  # fmt: skip
    assert _told(pairs) == [(f"w/{key}", "One.", None), (f"w/{key}9", "Two.", None)]


@pytest.mark.parametrize("key", ["caption", "text", "report"])
def test_captions_in_json(tmp_path: Path, key: str) -> None:
    record = {key: "FINDINGS: Small effusion.\nIMPRESSION: Effusion.", "patient_id": 10000032.0}
    pairs = _shard(
        tmp_path / "x.tar",
        ("1.json", b"\xef\xbb\xbf" + json.dumps(record).encode()), ("1.png", image(1)),
        ("2.json", json.dumps({key: ["Clear.", "No edema."]}).encode()), ("2.png", image(2)),
        ("3.json", b'"Clear lungs."'), ("3.png", image(3)),
        ("4.json", b'{"caption": NaN, "labels": NaN}'), ("4.png", image(4)),
        (f"5.{key}", b"Clear."), ("5.png", image(5)),
    )  # fmt: skip
    report = pairs[0].report
    assert (report.findings, report.impression) == ("Small effusion.", "Effusion.")
    assert pairs[0].patient_id == "10000032"
    assert pairs[1].report.text.split() == ["Clear.", "No", "edema."]
    assert _told(pairs[2:]) == [
        ("w/3", "Clear lungs.", None), ("w/4", "", "empty_report"), ("w/5", "Clear.", None)
    ]  # fmt: skip


def test_images_of_one_key_have_one_patient(tmp_path: Path) -> None:
    pairs = _shard(
        tmp_path / "x.tar",
        ("1.frontal.png", image(1)), ("1.LATERAL.JPG", image(2, "JPEG")), ("1.mask.png", image(3)),
        ("1.txt", b"Clear."),
        ("2.0.png", image(4)), ("2.txt", b"Edema."),
        ("3.png", image(5)), ("3.crop.png", image(6)), ("3.txt", b"Mass."),
        ("4.mask.png", image(7)), ("4.txt", b"Rib fracture."),
    )  # fmt: skip
    assert _told(pairs) == [
        ("w/1.frontal", "Clear.", None),
        ("w/1.lateral", "Clear.", None),
        ("w/2", "Edema.", None),
        ("w/3", "Mass.", None),
        ("w/4", "Rib fracture.", "missing_image"),
    ]
    assert [pair.patient_id for pair in pairs] == ["1", "1", "2", "3", "4"]
    assert [pair.trace["read"]["view"] for pair in pairs[:2]] == ["FRONTAL", "LATERAL"]
    assert pairs[0].split == pairs[1].split


def test_repeated_key_is_a_duplicate(tmp_path: Path) -> None:
    pairs = _shard(
        tmp_path / "x.tar",
        ("1.png", image(1)), ("1.txt", b"One."), ("1.png", image(2)), ("1.txt", b"Two."),
    )  # fmt: skip
    assert [(text, reason) for _, text, reason in _told(pairs)] == [
        ("One.", None), ("Two.", "duplicate_id")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        b'{"caption": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"caption": "\\ud800"}',
        b'{"id": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b"[1]",
        b"{",
    ],
)
def test_broken_record_is_dropped(tmp_path: Path, record: bytes) -> None:
    pairs = _shard(
        tmp_path / "x.tar", ("1.json", record), ("1.png", image(1)),
        ("2.json", b'{"text": "Clear.", "labels": {"edema": [1], "mass": {}, "fracture": 1.0}}'),
        ("2.png", image(2)),
    )  # fmt: skip
    assert [pair.drop.reason if pair.drop else None for pair in pairs] == [
        "unreadable_report",
        None,
    ]
    assert pairs[1].labels == {"fracture": True}


def test_member_names_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as shard:
        for name, content in (("é1.png", image(1)), ("é1.txt", b"Clear."), ("è1.txt", b"Mass.")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    source = WebDatasetSource(shards=(path,), name="w")
    pairs = list(open_reader(source, RunContext(seed=0)))
    assert _told(pairs) == [("w/\\xe91", "Clear.", None), ("w/\\xe81", "Mass.", "missing_image")]
    assert all(pair.id.encode() for pair in pairs)


def test_damaged_gzip_raises(tmp_path: Path) -> None:
    pack = gzip.compress(
        tar(tmp_path / "x.tar", ("1.png", image(1)), ("1.txt", b"A.")).read_bytes()
    )
    for content in (pack[: len(pack) // 2], pack[:200] + bytes(50) + pack[250:]):
        (tmp_path / "y.tar.gz").write_bytes(content)
        source = WebDatasetSource(shards=(tmp_path / "y.tar.gz",), name="w")
        with pytest.raises(DataError, match=r"y\.tar\.gz is damaged or cut short after member"):
            list(open_reader(source, RunContext(seed=0)))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
        | st.sampled_from(["1.png", "1.txt", "1.json", "../1.png", "./1.2.3.png", "1.cls"]),
        max_size=6,
    ),
    content=st.binary(max_size=60) | st.sampled_from([b'{"labels": {"edema": []}}', b'"a"']),
    damage=st.integers(0, 2000),
)
def test_any_tar_gives_pairs_drops_or_an_error(
    tmp_path: Path, names: list[str], content: bytes, damage: int
) -> None:
    path = tar(tmp_path / "x.tar", *((name, content) for name in names))
    whole = bytearray(path.read_bytes())
    if damage < 1500:
        whole[damage % len(whole)] ^= 0x41
        path.write_bytes(whole)
    source = WebDatasetSource(shards=(path,), name="w")
    try:
        pairs = list(open_reader(source, RunContext(seed=0, num_workers=1)))
    except PairAugError:
        return
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert all(pair.id.encode() and pair.patient_id.encode() for pair in pairs)


def test_a_folder_with_capitals_hidden_files_and_uids(tmp_path: Path) -> None:
    write(tmp_path / "1.PNG", image(1))
    write(tmp_path / "1.TXT", "Clear.")
    write(tmp_path / "1.2.840.113.Jpg", image(2, "JPEG"))
    write(tmp_path / "1.2.840.113.Txt", "No edema.", "utf-16")
    write(tmp_path / "._1.PNG", b"\0\5\x16\7")
    write(tmp_path / "._1.TXT", b"\0\5\x16\7")
    write(tmp_path / ".cache" / "2.png", image(3))
    write(tmp_path / "__MACOSX" / "3.png", image(3))
    source = CxrFolderSource(root=tmp_path, name="f")
    assert _told(list(open_reader(source, RunContext(seed=0)))) == [
        ("f/1.2.840.113", "No edema.", None),
        ("f/1", "Clear.", None),
    ]


def _dataset(path: Path, rows: list[dict[str, Any]], **columns: Any) -> list[Pair]:
    pq.write_table(pa.Table.from_pylist(rows), path)
    source = HuggingFaceSource.model_validate({"path": path, "name": "h", "columns": columns})
    reader = open_reader(source, RunContext(seed=0))
    assert isinstance(reader, Counted)
    assert reader.count() in (None, len(rows))
    return list(reader)


def test_one_pair_per_image_of_a_list(tmp_path: Path) -> None:
    pictures = [[{"bytes": image(3 * row + index), "path": None} for index in range(row)]
                for row in range(3)]  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"image": images, "text": f"Report {row}.", "view": ["PA", "LATERAL"][:row]}
        for row, images in enumerate(pictures)
    ]
    pairs = _dataset(tmp_path / "t.parquet", rows, view="view")
    assert _told(pairs) == [
        ("h/all-0000001/1", "Report 0.", "missing_image"),
        ("h/all-0000002/1", "Report 1.", None),
        ("h/all-0000003/1", "Report 2.", None),
        ("h/all-0000003/2", "Report 2.", None),
    ]
    assert [pair.trace["read"]["view"] for pair in pairs[1:]] == ["PA", "PA", "LATERAL"]
    assert pairs[2].patient_id == pairs[3].patient_id
    assert pairs[2].split == pairs[3].split
