"""Parts on disk: what goes in comes back, whole or not at all, and always as the same bytes."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pairaug import manifest
from pairaug.errors import RunError
from pairaug.pair import FINDINGS, SCORES, Branch, Drop, ImageRef, Pair, Report


def png_of(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (6, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def make_pairs(image: str) -> list[Pair]:
    real = Pair(
        id="covid/0001",
        branch=Branch.REAL,
        patient_id="p7",
        report=Report("Clear lungs.", "Normal."),
        image=ImageRef(path=image, sha256="ab", height=4, width=6),
        labels={"edema": True, "fracture": False},
    )
    child = real.child(
        "inter-0",
        branch=Branch.INTER,
        source_report=real.report.text,
        report=Report(impression="Größer."),
    )
    child = child.with_image(ImageRef(png=png_of(9))).with_scores(image_report=0.1 + 0.2)
    child = child.with_embeddings(image=np.array([0.1, -0.7], np.float32))
    child = child.with_trace("generate", seed=2**62, steps=[1, 2], note="ü", nothing=None)
    return [
        real,
        child,
        real.child(
            "intra-0", branch=Branch.INTRA, source_report=real.report.text, report=Report()
        ).dropped("x", "y"),
    ]


pair_strategy = st.builds(
    Pair,
    id=st.text(min_size=1, max_size=8),
    branch=st.sampled_from(Branch),
    patient_id=st.text(max_size=8),
    report=st.builds(Report, st.text(max_size=20), st.text(max_size=20)),
    split=st.sampled_from(["train", "validation", "test"]),
    parent_id=st.none() | st.text(max_size=8),
    source_patient_id=st.none() | st.text(max_size=8),
    source_report=st.none() | st.text(max_size=20),
    image=st.none()
    | st.builds(
        ImageRef,
        path=st.none() | st.just("/images/a.png"),
        png=st.none() | st.binary(max_size=8),
        sha256=st.none() | st.just("ab"),
        height=st.none() | st.integers(1, 9000),
        width=st.none() | st.integers(1, 9000),
    ),
    labels=st.dictionaries(st.sampled_from(FINDINGS), st.booleans()),
    scores=st.dictionaries(st.sampled_from(SCORES), st.floats(-1, 1)),
    image_embedding=st.none() | st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)),
    source_report_embedding=st.none() | st.tuples(st.floats(-1, 1, width=32)),
    trace=st.dictionaries(
        st.text(max_size=5),
        st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text()),
        max_size=2,
    ),
    drop=st.none() | st.builds(Drop, st.just("edit"), st.just("failed"), st.text(max_size=5)),
)


@given(st.lists(pair_strategy, min_size=1, max_size=3))
def test_pairs_round_trip(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> None:
    path = manifest.write_part(tmp_path_factory.mktemp("parts"), 0, pairs, "f")
    assert manifest.read_part(path) == pairs


def test_only_parts_have_numbers() -> None:
    with pytest.raises(ValueError, match=r"part-1\.parquet is not the name of a part"):
        manifest.part_index(Path("part-1.parquet"))


def test_missing_values_round_trip(tmp_path: Path) -> None:
    pair = Pair(
        "a", Branch.REAL, "p", Report(), labels={"edema": None}, scores={"directional": None}
    )
    [back] = manifest.read_part(manifest.write_part(tmp_path, 0, [pair], "f"))
    assert back.labels == back.scores == {}


def test_equal_pairs_have_equal_bytes_in_any_folder(tmp_path: Path) -> None:
    pairs = make_pairs("/images/1.png")
    one = manifest.write_part(tmp_path / "one", 0, pairs, "f").read_bytes()
    other = manifest.write_part(tmp_path / "two", 3, make_pairs("/images/1.png"), "f").read_bytes()
    assert one == other
    assert str(tmp_path).encode() not in one


def test_part_metadata(tmp_path: Path) -> None:
    first = manifest.write_part(tmp_path, 0, make_pairs("/a.png"), "first")
    last = manifest.write_part(tmp_path, 1, make_pairs("/a.png"), "last", is_last=True)
    assert manifest.part_fingerprint(first) == "first"
    assert manifest.part_fingerprint(last) == "last"
    assert (manifest.is_last_part(first), manifest.is_last_part(last)) == (False, True)
    assert [manifest.part_index(path) for path in (first, last)] == [0, 1]
    assert manifest.part_paths(tmp_path) == [first, last]
    assert len(list(manifest.read_pairs(tmp_path))) == 6


def test_datasets_loads_parts_with_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    image = tmp_path / "image.png"
    image.write_bytes(png_of(200))
    manifest.write_part(tmp_path / "parts", 0, make_pairs(str(image)), "f")
    manifest.write_part(tmp_path / "parts", 1, make_pairs(str(image))[1:], "f", is_last=True)
    rows = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "parts" / "*.parquet"),
        cache_dir=str(tmp_path / "cache"),
    )["train"]
    assert len(rows) == 5
    assert np.asarray(rows[0]["image"]).tolist() == np.full((4, 6), 200).tolist()
    assert np.asarray(rows[1]["image"]).max() == 9
    assert rows[2]["image"] is None
    assert (rows[0]["labels"]["edema"], rows[0]["labels"]["fracture"]) == (1, 0)
    assert rows[0]["labels"]["pneumonia"] is None
    assert rows[1]["scores"]["image_report"] == 0.1 + 0.2
    assert json.loads(rows[1]["trace"])["generate"]["seed"] == 2**62
    assert rows[2]["drop_reason"] == "y"


def test_columns_are_those_of_the_contract() -> None:
    promised = (
        "id parent_id branch patient_id split findings impression source_report image labels "
        "scores image_embedding report_embedding source_report_embedding "
        "drop_stage drop_reason drop_detail trace"
    )
    assert set(promised.split()) <= set(manifest.SCHEMA.names)


def test_a_part_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a part without pairs"):
        manifest.write_part(tmp_path, 0, [], "f")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (Pair("a", Branch.REAL, "p", Report(), labels={"oedema": True}), "unknown label 'oedema'"),
        (Pair("a", Branch.REAL, "p", Report(), scores={"logit": 3.0}), "unknown score 'logit'"),
    ],
)
def test_unknown_names_raise(tmp_path: Path, pair: Pair, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        manifest.write_part(tmp_path, 0, [pair], "f")


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_cut_part_raises_with_remedy(tmp_path: Path, keep: float) -> None:
    path = manifest.write_part(tmp_path, 0, make_pairs("/a.png"), "f")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(RunError, match=r"part-00000\.parquet is damaged or cut short\. Delete it"):
        manifest.read_part(path)
    with pytest.raises(RunError, match="damaged or cut short"):
        manifest.part_fingerprint(path)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = manifest.write_part(tmp_path, 0, make_pairs("/a.png"), "f")
    column = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match="damaged"):
        manifest.read_part(path)


def test_earlier_layout_names_stages_to_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a part is looked into, with or without the column that it lacks."""
    monkeypatch.setattr(manifest, "FORMAT_VERSION", 1)
    path = manifest.write_part(tmp_path / "run" / "prune", 0, make_pairs("/a.png"), "f")
    monkeypatch.undo()
    looks = (
        manifest.read_part,
        manifest.read_table,
        manifest.part_fingerprint,
        manifest.is_last_part,
        lambda part: manifest.read_columns(part, ["id"]),
    )
    for look in looks:
        with pytest.raises(RunError) as raised:
            look(path)
        assert "\n" not in str(raised.value)
        assert "written by an earlier PairAug" in str(raised.value)
        assert "all stages again, from read on" in str(raised.value)
        assert f"pairaug run {tmp_path / 'run' / 'run.yaml'} --out NEW_FOLDER" in str(raised.value)
    monkeypatch.setattr(manifest, "FORMAT_VERSION", 9)
    later = manifest.write_part(tmp_path / "later" / "prune", 0, make_pairs("/a.png"), "f")
    monkeypatch.undo()
    with pytest.raises(RunError, match="later PairAug"):
        manifest.read_part(later)


def test_missing_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"part-00007\.parquet does not exist"):
        manifest.read_part(manifest.part_path(tmp_path, 7))


def test_foreign_parquet_raises(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    pq.write_table(manifest.pa.table({"id": ["a"]}), path)
    with pytest.raises(RunError, match="has no column parent_id"):
        manifest.read_part(path)
    with pytest.raises(RunError, match="was not written by PairAug"):
        manifest.part_fingerprint(path)


def test_full_disk_raises_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "generate"
    with pytest.raises(RunError, match=r"the disk is full: part-00000\.parquet does not fit in "):
        manifest.write_part(folder, 0, make_pairs("/a.png"), "f")
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"cannot write .*part-00000\.parquet"):
        manifest.write_part(tmp_path / "file", 0, make_pairs("/a.png"), "f")


def test_leftovers_are_not_parts(tmp_path: Path) -> None:
    (tmp_path / ".part-00000.parquet.writing-pairaug").write_bytes(b"half")
    assert manifest.part_paths(tmp_path) == []
    assert manifest.part_paths(tmp_path / "nowhere") == []


def test_fingerprints_follow_content_and_parent_not_order() -> None:
    one = manifest.fingerprint({"a": 1, "b": {"c": [1, 2]}})
    assert one == manifest.fingerprint({"b": {"c": [1, 2]}, "a": 1})
    others = {
        manifest.fingerprint({"a": 1, "b": {"c": [2, 1]}}),
        manifest.fingerprint({"a": 1, "b": {"c": [1, 2]}}, parent="x"),
        manifest.fingerprint({"a": 1}),
    }
    assert len(others | {one}) == 4


OWN = {"format": manifest.FORMAT_VERSION, "fingerprint": "f", "is_last": True}


@pytest.mark.parametrize(
    "own",
    [
        b"[1, 2]",
        b"null",
        b'"text"',
        b"{",
        b"\xff",
        b"[" * 9_000,
        json.dumps({**OWN, "fingerprint": 3}).encode(),
        json.dumps({**OWN, "is_last": "no"}).encode(),
        json.dumps({"format": manifest.FORMAT_VERSION}).encode(),
    ],
    ids=lambda own: repr(own[:20]),
)
@pytest.mark.parametrize(
    "read",
    [manifest.read_part, manifest.read_table, manifest.part_fingerprint, manifest.is_last_part],
    ids=lambda read: read.__name__,
)
def test_part_with_other_metadata_raises(
    tmp_path: Path, own: bytes, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "part-00000.parquet"
    table = manifest.SCHEMA.empty_table().replace_schema_metadata({b"pairaug": own})
    pq.write_table(table, path)
    with pytest.raises(RunError, match=r"part-00000\.parquet is damaged or cut short\. Delete it"):
        read(path)


@pytest.mark.parametrize(
    ("column", "value"),
    [("trace", "[1]"), ("trace", "{"), ("trace", "[" * 90_000), ("branch", "other")],
    ids=["list", "cut", "deep", "branch"],
)
def test_part_with_other_cell_types_raises(tmp_path: Path, column: str, value: str) -> None:
    path = manifest.write_part(tmp_path, 0, make_pairs("/a.png"), "f")
    table = pq.read_table(path)
    changed = pa.array([value] * table.num_rows)
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, table.field(column), changed), path)
    with pytest.raises(RunError, match=r"part-00000\.parquet is damaged or cut short\. Delete it"):
        manifest.read_part(path)
