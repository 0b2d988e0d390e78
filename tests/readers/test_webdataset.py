from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pairaug.errors import DataError, MissingExtraError
from pairaug.export import Export, ExportSettings
from pairaug.export.pair_stream import PartPairs
from pairaug.manifest import write_part
from pairaug.pair import Branch, Pair
from pairaug.readers import (
    HuggingFaceSource,
    PhantomSource,
    SplitFractions,
    WebDatasetSource,
    open_reader,
)
from pairaug.readers.tars import items_of, shards_of
from pairaug.stage import RunContext
from support.layout_trees import huggingface, image, tar

FRACTIONS = SplitFractions(validation_fraction=0.3, test_fraction=0.3, seed=1)


def _phantoms() -> list[Pair]:
    source = PhantomSource.model_validate({"num_patients": 6, "size": 32, "split": FRACTIONS})
    return list(open_reader(source, RunContext(seed=3)))


def _export(folder: Path, access: str = "public") -> list[Pair]:
    """Six phantoms and one synthetic child of each, exported; the real ones are returned."""
    real = _phantoms()
    children = [
        pair.child(
            "inter-0",
            branch=Branch.INTER,
            source_report=pair.report.text,
            report=pair.report,
            image=pair.image,
        )
        for pair in real
    ]
    pairs = [pair for both in zip(real, children, strict=True) for pair in both]
    recipe = {"source": {"name": "phantom", "access": access}}
    parts = folder.with_name(f"{folder.name}-parts")
    write_part(parts, 0, pairs, "any", is_last=True)
    export = Export(ExportSettings(pairs_per_shard=4), RunContext(seed=0))
    export.write(PartPairs(parts), folder, recipe)
    return real


def _same(found: Sequence[Pair], expected: Sequence[Pair]) -> None:
    """Everything of a pair but its trace, which says how it was read."""
    by_id = {pair.id: pair for pair in expected}
    assert sorted(pair.id for pair in found) == sorted(by_id)
    for pair in found:
        other = by_id[pair.id]
        assert (pair.report, pair.patient_id, pair.split) == (
            other.report,
            other.patient_id,
            other.split,
        )
        stated = {name: state for name, state in other.labels.items() if state is not None}
        assert {name: state for name, state in pair.labels.items() if state is not None} == stated
        assert pair.image == other.image  # bytes, hash and size


def test_shards_of_an_export_read_back_to_the_real_pairs(tmp_path: Path) -> None:
    real = _export(tmp_path / "export")
    shards = tmp_path / "export" / "webdataset" / "*.tar"
    reader = open_reader(WebDatasetSource(shards=(shards,)), RunContext(seed=0))
    pairs = list(reader)
    assert reader.describe().name == "phantom"
    _same([pair for pair in pairs if not pair.drop], real)
    dropped = [pair for pair in pairs if pair.drop]
    assert [pair.drop.reason for pair in dropped if pair.drop] == ["synthetic"] * 6
    assert {pair.id for pair in dropped} == {f"{pair.id}~inter-0" for pair in real}


def test_parquet_of_an_export_reads_back_to_the_real_pairs(tmp_path: Path) -> None:
    real = _export(tmp_path / "export")
    source = HuggingFaceSource.model_validate(
        {
            "path": tmp_path / "export",
            "name": "phantom",
            "columns": {
                "text": None,
                "id": "id",
                "findings": "findings",
                "impression": "impression",
                "patient_id": "patient_id",
                "labels": "labels",
            },
        }
    )
    reader = open_reader(source, RunContext(seed=0))
    pairs = list(reader)
    _same([pair for pair in pairs if not pair.drop], real)
    assert sum(pair.drop is not None and pair.drop.reason == "synthetic" for pair in pairs) == 6


def test_an_export_of_a_credentialed_source_stays_one(tmp_path: Path) -> None:
    _export(tmp_path / "export", access="credentialed")
    shards = (tmp_path / "export" / "webdataset" / "*.tar",)
    message = "its source is credentialed; set read.access: credentialed"
    with pytest.raises(DataError, match=message):
        list(open_reader(WebDatasetSource(shards=shards), RunContext(seed=0)))
    allowed = WebDatasetSource(shards=shards, access="credentialed")
    assert len(list(open_reader(allowed, RunContext(seed=0)))) == 12
    path = tmp_path / "export"
    columns = {"text": "report"}
    for access, is_refused in {"public": True, "credentialed": False}.items():
        source = HuggingFaceSource.model_validate(
            {"path": path, "columns": columns, "access": access}
        )
        reader = open_reader(source, RunContext(seed=0))
        if is_refused:
            with pytest.raises(DataError, match=message):
                list(reader)
        else:
            assert len(list(reader)) == 12


def test_shard_patterns(tmp_path: Path) -> None:
    names = ["a-008.tar", "a-009.tar", "a-010.tar", "b x.tar"]
    paths = [tar(tmp_path / name) for name in names]
    assert shards_of([tmp_path / "a-{008..010}.tar"]) == paths[:3]
    assert shards_of([tmp_path / "{b x,a-009}.tar"]) == [paths[3], paths[1]]
    assert shards_of([tmp_path / "?-*.tar", tmp_path / "a-008.tar"]) == paths[:3]
    with pytest.raises(DataError, match=r"the shard .*a-011\.tar does not exist"):
        shards_of([tmp_path / "a-{010..011}.tar"])
    with pytest.raises(DataError, match=r"no shard matches .*c\*\.tar"):
        shards_of([tmp_path / "c*.tar"])


def test_consecutive_members_are_one_item(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "x.tar", ("a.b/1.PNG", b"1"), ("a.b/1.seg.txt", b"2"), ("2.txt", b"3"),
        ("a.b/1.txt", b"4"),
    )  # fmt: skip
    items = list(items_of(path, frozenset({"png", "txt"})))
    assert [(item.key, item.members) for item in items] == [
        ("a.b/1", {"png": b"1", "seg.txt": b""}),
        ("2", {"txt": b"3"}),
        ("a.b/1", {"txt": b"4"}),
    ]


@pytest.mark.parametrize(
    "name", ["/a.txt", "../a.txt", "b/../../a.txt", "C:/a.txt", "b\\..\\a.txt", "\\a.txt"]
)
def test_unsafe_member_names(tmp_path: Path, name: str) -> None:
    (item,) = items_of(tar(tmp_path / "x.tar", (name, b"x")), frozenset())
    assert item.is_unsafe


def _bomb(path: Path, name: str, size: int, kind: bytes = tarfile.REGTYPE) -> Path:
    """A gzipped tar of a few kilobytes whose first member unpacks to `size` zeros."""
    with gzip.open(path, "wb") as pack:
        member = tarfile.TarInfo(name)
        member.size, member.type = size, kind
        pack.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(-(-size // 512) // 1024):
            pack.write(bytes(512 * 1024))
        good = io.BytesIO()
        with tarfile.open(fileobj=good, mode="w") as shard:
            for last, content in (("2.txt", b"IMPRESSION: Clear."), ("2.png", image(2))):
                member = tarfile.TarInfo(last)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
        pack.write(good.getvalue())
    return path


@pytest.mark.parametrize(("name", "size"), [("1.png", 300 << 20), ("1.json", 2 << 20)])
def test_oversized_member_is_dropped_unread(tmp_path: Path, name: str, size: int) -> None:
    path = _bomb(tmp_path / "x.tar.gz", name, size)
    tracemalloc.start()
    items = list(items_of(path, frozenset({"png", "json", "txt"})))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert [item.is_too_large for item in items] == [True, False]
    pairs = list(open_reader(WebDatasetSource(shards=(path,)), RunContext(seed=0)))
    reasons = [pair.drop.reason if pair.drop else None for pair in pairs]
    assert reasons == ["oversized_member", None]


def test_oversized_header_raises(tmp_path: Path) -> None:
    path = _bomb(tmp_path / "x.tar.gz", "header", 300 << 20, tarfile.XHDTYPE)
    tracemalloc.start()
    with pytest.raises(DataError, match="damaged or cut short"):
        list(items_of(path, frozenset({"png"})))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_only_regular_members_count(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as shard:
        for number, kind in enumerate((tarfile.FIFOTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE)):
            member = tarfile.TarInfo(f"{number}.png")
            member.type, member.linkname = kind, "/etc/hostname"
            shard.addfile(member)
        member = tarfile.TarInfo("3.txt")
        member.size = 1
        shard.addfile(member, io.BytesIO(b"x"))
    items = list(items_of(path, frozenset({"png", "txt"})))
    assert [(item.key, item.members) for item in items] == [("3", {"txt": b"x"})]


def test_cut_shard_raises(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", ("1.txt", b"IMPRESSION: Clear."), ("1.png", image()))
    whole = path.read_bytes()
    for length in (1200, len(whole) - 10_240 + 300):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"x\.tar is damaged or cut short after member \d"):
            list(open_reader(WebDatasetSource(shards=(path,)), RunContext(seed=0)))
    path.write_bytes(b"no tar at all")
    with pytest.raises(DataError, match="damaged or cut short after member 0"):
        list(open_reader(WebDatasetSource(shards=(path,)), RunContext(seed=0)))


def test_damaged_record_is_dropped(tmp_path: Path) -> None:
    good = json.dumps({"impression": "Clear.", "labels": {"edema": 0, "unknown": 1}}).encode()
    path = tar(
        tmp_path / "x.tar",
        ("1.json", b"{"), ("1.png", image(1)),
        ("2.json", b"[1]"), ("2.png", image(2)),
        ("3.json", good), ("3.png", image(3)),
    )  # fmt: skip
    pairs = list(open_reader(WebDatasetSource(shards=(path,)), RunContext(seed=0)))
    reasons = [pair.drop.reason if pair.drop else None for pair in pairs]
    assert reasons == ["unreadable_report", "unreadable_report", None]
    assert pairs[2].labels == {"edema": False}


def test_relative_shards_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pairaug.config import load_settings

    monkeypatch.chdir(tmp_path)
    settings = load_settings(overrides=["read.layout=webdataset", "read.shards=[a.tar]"])
    assert settings.read.model_dump()["shards"] == (tmp_path / "a.tar",)
    one = load_settings(overrides=["read.layout=webdataset", "read.shards=a.tar"])
    assert one.read == settings.read


def test_a_saved_dataset_keeps_its_splits(tmp_path: Path) -> None:
    from datasets import DatasetDict, load_dataset

    table = pq.read_table(huggingface(tmp_path / "in")["path"])
    pq.write_table(table.slice(0, 1), tmp_path / "train.parquet")
    pq.write_table(table.slice(5, 1), tmp_path / "test.parquet")
    files = {split: str(tmp_path / f"{split}.parquet") for split in ("train", "test")}
    saved = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert isinstance(saved, DatasetDict)
    saved.save_to_disk(tmp_path / "saved")
    source = HuggingFaceSource.model_validate({"path": tmp_path / "saved", "name": "n"})
    pairs = list(open_reader(source, RunContext(seed=0)))
    assert [(pair.id, pair.split) for pair in pairs] == [
        ("n/train-0000001", "train"),
        ("n/test-0000001", "test"),
    ]
    one = HuggingFaceSource.model_validate({"path": tmp_path / "saved", "splits": ["test"]})
    assert [pair.split for pair in open_reader(one, RunContext(seed=0))] == ["test"]
    none = HuggingFaceSource.model_validate({"path": tmp_path / "saved", "splits": ["dev"]})
    with pytest.raises(DataError, match="has no split 'dev'; it has: train, test"):
        list(open_reader(none, RunContext(seed=0)))


def test_unsuitable_dataset_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = huggingface(tmp_path)
    source = HuggingFaceSource.model_validate({**settings, "columns": {"text": "report"}})
    with pytest.raises(DataError, match=r"has no column 'report' \(for read\.columns\.text\)"):
        list(open_reader(source, RunContext(seed=0)))
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = HuggingFaceSource(path=empty)
    with pytest.raises(DataError, match=r"read\.path is .*empty, which datasets cannot open"):
        open_reader(nothing, RunContext(seed=0)).describe()
    with pytest.raises(ValueError, match="give either dataset, a hub id, or path"):
        HuggingFaceSource()
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pairaug\[huggingface\]"):
        list(open_reader(HuggingFaceSource.model_validate(settings), RunContext(seed=0)))
