from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from webdataset import filters, tariterators

from pairaug.errors import RunError
from pairaug.export import DROP_REASONS, Export, ExportReport, ExportSettings
from pairaug.images import load_image, png_ref, sha256
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.stage import Context

RECIPE: Mapping[str, Any] = {
    "pairaug": {"version": "0.1.0"},
    "seed": 7,
    "source": {"name": "covid", "licence": "CC BY-NC-SA 4.0", "access": "credentialed"},
    "weights": {"score": {"bundled": "abc123"}},
    "rule": {"inter": {"rule": "threshold", "bounds": {"image_report": 0.3}}},
    "counts": {"prune": {"dropped": {"below_threshold": 5}}},
    "fingerprints": {"edit": {"covers": {"edit.num_steps": 50, "seed": 7}}},
    "seconds": {"edit": 12.5},
}


def _film(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((24, 20)).astype(np.float32)


def _real(folder: Path, index: int, split: str = "train", suffix: str = "jpg") -> Pair:
    path = folder / f"film {index}.{suffix}"
    Image.fromarray((_film(index) * 255).astype(np.uint8)).save(path)
    return Pair(
        f"covid/{index:04d}.1",
        Branch.REAL,
        f"p{index}",
        Report("Größe normal.", "No change."),
        split=split,
        image=ImageRef(path=str(path), sha256=sha256(path.read_bytes())),
        labels={"edema": True, "fracture": False, "pneumonia": None},
        scores={"image_report": 0.41},
    )


def _family(folder: Path, index: int, split: str = "train") -> list[Pair]:
    real = _real(folder, index, split)
    inter = real.child("inter-0", branch=Branch.INTER, report=Report("new patient"))
    intra = real.child("intra-0", branch=Branch.INTRA, report=Report("changed"))
    scores = {"image_report": 0.3, "image_image": 0.9, "change": 0.5}
    return [
        real,
        inter.with_image(png_ref(_film(100 + index))),
        replace(intra, scores=scores).with_image(png_ref(_film(200 + index))),
    ]


def _pairs(folder: Path) -> list[Pair]:
    folder.mkdir(parents=True, exist_ok=True)
    splits = ("train", "train", "validate", "train", "test")
    return [pair for index, split in enumerate(splits) for pair in _family(folder, index, split)]


def _export(
    folder: Path, pairs: Sequence[Pair], recipe: Mapping[str, Any] = RECIPE, **settings: Any
) -> ExportReport:
    export = Export(ExportSettings.model_validate(settings), Context(seed=0))
    return export.write(pairs, folder, recipe)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    """What webdataset makes of a shard; by itself it leaves the file open, a warning here."""
    with path.open("rb") as stream:
        members = tariterators.tar_file_expander([{"url": str(path), "stream": stream}])
        return list(tariterators.group_by_keys(members))


def _read_tars(folder: Path) -> dict[str, dict[str, Any]]:
    """Every pair of the tars, by id, read by the webdataset library."""
    rows = [row for path in (folder / "webdataset").glob("*.tar") for row in _rows(path)]
    assert len({row["__key__"] for row in rows}) == len(rows)
    return {json.loads(row["json"])["id"]: row for row in rows}


def test_tars_read_back_to_the_same_pairs(tmp_path: Path) -> None:
    pairs = _pairs(tmp_path / "films")
    _export(tmp_path / "export", pairs)
    rows = _read_tars(tmp_path / "export")
    assert rows.keys() == {pair.id for pair in pairs}
    for pair in pairs:
        row = rows[pair.id]
        record = json.loads(row["json"])
        assert row["txt"].decode() == pair.report.text
        assert record["synthetic"] is (pair.branch is not Branch.REAL)
        assert record["branch"] == pair.branch.value
        assert (record["parent_id"], record["patient_id"]) == (pair.parent_id, pair.patient_id)
        assert record["source_patient_id"] == pair.source_patient_id
        assert record["scores"] == pair.scores
        assert record["access"] == "credentialed"
        assert pair.image is not None
        if pair.branch is Branch.REAL:
            assert row["jpg"] == Path(str(pair.image.path)).read_bytes()
            assert record["labels"] == {"edema": 1, "fracture": 0}
        else:
            assert row["png"] == pair.image.png


def test_open_clips_way_of_reading_gives_image_and_text(tmp_path: Path) -> None:
    pairs = _pairs(tmp_path / "films")
    _export(tmp_path / "export", pairs)
    stream = _rows(tmp_path / "export" / "webdataset" / "train-000000.tar")
    decoded = filters.decode("pil")(stream)
    rows = list(filters.rename(image="jpg;png;jpeg;webp", text="txt")(decoded))
    assert len(rows) == 9
    assert all(row["image"].size == (20, 24) and row["text"] for row in rows)


def test_tar_members_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    _export(tmp_path / "export", _pairs(tmp_path / "films"))
    for path in (tmp_path / "export" / "webdataset").glob("*.tar"):
        with tarfile.open(path) as shard:
            for member in shard:
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                assert (member.uname, member.gname) == ("", "")
                # One dot only: a key ends at the first.
                assert member.name.count(".") == 1
                assert "/" not in member.name


def test_parquet_loads_with_pictures_and_splits(tmp_path: Path) -> None:
    pairs = {pair.id: pair for pair in _pairs(tmp_path / "films")}
    _export(tmp_path / "export", list(pairs.values()))
    loaded = datasets.load_dataset(str(tmp_path / "export"), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {
        "train": 9,
        "validation": 3,
        "test": 3,
    }
    for row in (row for rows in loaded.values() for row in rows):
        pair = pairs.pop(row["id"])
        assert pair.image is not None
        picture = np.asarray(row["image"].convert("L"), dtype=np.float32) / 255
        assert np.array_equal(picture, load_image(pair.image))
        assert row["report"] == pair.report.text
        assert (row["branch"], row["split"]) == (pair.branch.value, pair.split)
        assert row["synthetic"] is (pair.branch is not Branch.REAL)
        assert {key: value for key, value in row["scores"].items() if value is not None} == dict(
            pair.scores
        )
        if pair.branch is Branch.REAL:
            assert (row["labels"]["edema"], row["labels"]["fracture"]) == (1, 0)
            assert row["labels"]["pneumonia"] is None
    assert not pairs


def test_another_export_to_the_same_folder_is_not_read_from_the_cache(tmp_path: Path) -> None:
    pairs, folder = _pairs(tmp_path / "films"), tmp_path / "export"
    for kept in (pairs, pairs[:6], pairs[:3] + pairs[6:9]):
        _export(folder, kept)
        loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
        ids = {row_id for rows in loaded.values() for row_id in rows["id"]}
        assert ids == {pair.id for pair in kept}


def test_sizes_and_splits_of_files(tmp_path: Path) -> None:
    report = _export(
        tmp_path / "export", _pairs(tmp_path / "films"), pairs_per_shard=4, pairs_per_parquet=2
    )
    assert [name for name in report.files if name.endswith(".tar")] == [
        "webdataset/test-000000.tar",
        "webdataset/train-000000.tar",
        "webdataset/train-000001.tar",
        "webdataset/train-000002.tar",
        "webdataset/validate-000000.tar",
    ]
    parquet = [name for name in report.files if name.endswith(".parquet")]
    assert [name for name in parquet if "train" in name] == [
        f"parquet/train-0000{number}.parquet" for number in range(5)
    ]
    rows = datasets.load_dataset(
        "parquet",
        data_files=[str(tmp_path / "export" / name) for name in parquet],
        cache_dir=str(tmp_path / "cache"),
    )["train"]
    assert rows.num_rows == 15
    assert len(_read_tars(tmp_path / "export")) == 15


def test_dropped_pairs_stay_out_and_real_ones_on_request(tmp_path: Path) -> None:
    pairs = _pairs(tmp_path / "films")
    pairs[1] = pairs[1].dropped("prune", "below_threshold")
    report = _export(tmp_path / "export", pairs)
    assert report.num_pairs == 14
    assert report.counts["train"] == {"real": 3, "inter": 2, "intra": 3}
    only = _export(tmp_path / "synthetic", pairs, include_real=False, formats=["webdataset"])
    assert only.counts == {
        "train": {"inter": 2, "intra": 3},
        "validate": {"inter": 1, "intra": 1},
        "test": {"inter": 1, "intra": 1},
    }
    assert not (tmp_path / "synthetic" / "parquet").exists()
    assert only.lost == {}


def test_same_pairs_give_the_same_bytes(tmp_path: Path) -> None:
    pairs = _pairs(tmp_path / "films")
    _export(tmp_path / "one", pairs)
    _export(tmp_path / "other", pairs, {**RECIPE, "seconds": {"edit": 99.0}})
    assert _contents(tmp_path / "one") == _contents(tmp_path / "other")


def test_an_export_replaces_an_earlier_one_whatever_was_left_behind(tmp_path: Path) -> None:
    pairs, folder = _pairs(tmp_path / "films"), tmp_path / "export"
    _export(tmp_path / "expected", pairs)
    (tmp_path / "export.partial" / "webdataset").mkdir(parents=True)
    (tmp_path / "export.partial" / "webdataset" / "train-000000.tar").write_bytes(b"cut short")
    (tmp_path / "export.old").mkdir()
    _export(folder, pairs[:3])
    _export(folder, pairs)
    assert _contents(folder) == _contents(tmp_path / "expected")
    assert {path.name for path in tmp_path.iterdir()} == {"films", "expected", "export"}


def test_an_interruption_leaves_the_earlier_export_whole(tmp_path: Path) -> None:
    pairs, folder = _pairs(tmp_path / "films"), tmp_path / "export"
    _export(folder, pairs[:3])
    before = _contents(folder)

    def interrupted():
        yield pairs[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Export(ExportSettings(), Context(seed=0)).write(interrupted(), folder, RECIPE)
    assert _contents(folder) == before
    _export(folder, pairs)
    assert len(_read_tars(folder)) == 15


def test_other_folders_are_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    _export(folder, [])  # an empty folder is fine
    (folder / "export.json").unlink()
    with pytest.raises(RunError, match="thesis holds something that is no export"):
        _export(folder, [])
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        _export(tmp_path / "file", [])
    with pytest.raises(RunError, match=r"cannot write .*file/export"):
        _export(tmp_path / "file" / "export", [])


def test_films_that_are_gone_or_changed_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone, changed, bare, broken, good = (_real(tmp_path, index) for index in range(5))
    Path(str(gone.image and gone.image.path)).unlink()
    Path(str(changed.image and changed.image.path)).write_bytes(b"\xff\xd8\xff other film")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a no film")
    broken = broken.with_image(ImageRef(path=str(tmp_path / "broken.gif")))
    report = _export(tmp_path / "export", [gone, changed, replace(bare, image=None), broken, good])
    assert report.lost == {
        "changed_image": 1,
        "missing_image": 1,
        "no_image": 1,
        "unreadable_image": 1,
    }
    assert report.lost.keys() == DROP_REASONS.keys()
    assert report.num_pairs == 1
    assert "4 kept pairs were not exported" in caplog.text
    assert "film 0" not in caplog.text
    card = (tmp_path / "export" / "README.md").read_text()
    assert "Left out while exporting: changed_image 1, missing_image 1" in card
    assert json.loads((tmp_path / "export" / "export.json").read_text())["lost"] == report.lost


def test_other_formats_become_png(tmp_path: Path) -> None:
    pair = _real(tmp_path, 0, suffix="tiff")
    _export(tmp_path / "export", [pair])
    (row,) = _read_tars(tmp_path / "export").values()
    picture = np.asarray(Image.open(io.BytesIO(row["png"])))
    assert pair.image is not None
    assert np.array_equal(picture / np.float32(255), load_image(pair.image))


def test_ids_that_look_alike_have_keys_of_their_own(tmp_path: Path) -> None:
    pair = _real(tmp_path, 0)
    ids = ["a/b.c", "a.b/c", "a_b_c", "x" * 300, "x" * 299 + "y", "été", "../up"]
    _export(tmp_path / "export", [replace(pair, id=id_) for id_ in ids])
    rows = _read_tars(tmp_path / "export")
    assert rows.keys() == set(ids)
    assert all("/" not in row["__key__"] for row in rows.values())


def test_card_says_how_it_was_made_and_on_what_terms(tmp_path: Path) -> None:
    _export(tmp_path / "export", _pairs(tmp_path / "films"))
    card = (tmp_path / "export" / "README.md").read_text()
    for line in (
        "| train | 3 | 3 | 3 |",
        "- licence, inherited by every pair: CC BY-NC-SA 4.0",
        "**Restricted.**",
        "- score: `bundled`, SHA-256 `abc123`",
        "- kept of inter, by threshold: image_report > 0.3000",
        "- dropped at prune: below_threshold 5",
        "edit.num_steps: 50",
        "Not\nfor clinical use",
        "PairAug 0.1.0, seed 7",
    ):
        assert line in card
    assert "12.5" not in card
    _export(tmp_path / "public", [], {"source": {"access": "public", "licence": "CC0"}})
    assert "Restricted" not in (tmp_path / "public" / "README.md").read_text()
    _export(tmp_path / "unknown", [], {})
    unknown = (tmp_path / "unknown" / "README.md").read_text()
    assert "licence is not recorded" in unknown
    assert "**Restricted.**" in unknown


def test_wrong_settings_are_errors() -> None:
    with pytest.raises(ValidationError, match="'webdataset' or 'parquet'"):
        ExportSettings.model_validate({"formats": ["zip"]})
    with pytest.raises(ValidationError, match="at least 1 item"):
        ExportSettings.model_validate({"formats": []})


def test_progress_counts_every_pair_written(tmp_path: Path) -> None:
    done: list[int] = []
    export = Export(ExportSettings(), Context(seed=0, report_progress=done.append))
    export.write(_pairs(tmp_path / "films"), tmp_path / "export", RECIPE)
    assert sum(done) == 15
