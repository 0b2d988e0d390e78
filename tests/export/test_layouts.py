"""Each layout gives the same pairs when read with its users' library."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import h5py
import numpy as np
import pandas
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from webdataset import filters, tariterators

from pairaug.clip.transform import CheXzeroTransform
from pairaug.export.captions import _TAKEN_FOR_MISSING
from pairaug.export.record import Terms, record_of
from pairaug.imaging.io import load_image, sha256
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.readers.rows import rows_of
from support.export_pairs import ALL, PUBLIC, RECIPE, contents, export, families, family, grey, real


def _samples(path: Path) -> list[dict[str, Any]]:
    """A shard's samples as read by webdataset, which leaves the file open: a warning here."""
    with path.open("rb") as stream:
        members = tariterators.tar_file_expander([{"url": str(path), "stream": stream}])
        return list(tariterators.group_by_keys(members))


def _read_tars(folder: Path) -> dict[str, dict[str, Any]]:
    """Every pair of the tars, by id."""
    rows = [row for path in (folder / "webdataset").glob("*.tar") for row in _samples(path)]
    assert len({row["__key__"] for row in rows}) == len(rows)
    return {json.loads(row["json"])["id"]: row for row in rows}


def test_tars_read_back_to_the_same_pairs(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "export", pairs, RECIPE)
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
        assert (record["access"], record["restricted"]) == ("credentialed", True)
        assert pair.image is not None
        if pair.branch is Branch.REAL:
            assert row["jpg"] == Path(str(pair.image.path)).read_bytes()
            assert record["labels"] == {"edema": 1, "fracture": 0}
        else:
            assert row["png"] == pair.image.png


def test_open_clip_reads_image_and_text(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "export", pairs, pairs_per_shard=4)
    folder = tmp_path / "export" / "webdataset"
    paths = sorted(folder.glob("train-*.tar"))
    stream = (sample for path in paths for sample in _samples(path))
    decoded = filters.decode("pilrgb")(stream)
    named = filters.rename(image="jpg;png;jpeg;webp", text="txt")(decoded)
    rows = list(filters.to_tuple("image", "text")(named))
    assert [text for _, text in rows] == [p.report.text for p in pairs if p.split == "train"]
    assert all(image.mode == "RGB" and image.size == (20, 24) for image, _ in rows)
    # webdataset looks here for the number of samples.
    sizes = json.loads((folder / "sizes.json").read_text())
    assert sum(sizes[path.name] for path in paths) == len(rows) == 9
    assert sizes.keys() == {path.name for path in folder.glob("*.tar")}


def test_missing_scores_and_labels_are_not_in_the_record(tmp_path: Path) -> None:
    pair = family(tmp_path, 0)[2]
    pair = replace(pair, scores={"image_report": 0.3, "directional": None}, labels={"edema": None})
    record = record_of(pair, Terms())
    assert (record["scores"], record["labels"]) == ({"image_report": 0.3}, {})


def test_tar_members_have_no_time_or_owner(tmp_path: Path) -> None:
    export(tmp_path / "export", families(tmp_path / "images"))
    for path in (tmp_path / "export" / "webdataset").glob("*.tar"):
        with tarfile.open(path) as shard:
            for member in shard:
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                assert (member.uname, member.gname) == ("", "")
                # One dot only: a key ends at the first.
                assert member.name.count(".") == 1
                assert "/" not in member.name


def _assert_same(loaded: Any, pairs: list[Pair]) -> None:
    """Asserts that `datasets` has loaded these pairs, images included."""
    expected = {pair.id: pair for pair in pairs}
    assert {split: rows.num_rows for split, rows in loaded.items()} == {
        "train": 9,
        "validation": 3,
        "test": 3,
    }
    for row in (row for rows in loaded.values() for row in rows):
        pair = expected.pop(row["id"])
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
    assert not expected


@pytest.mark.parametrize("recipe", [PUBLIC, RECIPE], ids=["public", "restricted"])
def test_parquet_loads_with_images_and_splits(tmp_path: Path, recipe: Mapping[str, Any]) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "export", pairs, recipe)
    loaded = datasets.load_dataset(str(tmp_path / "export"), cache_dir=str(tmp_path / "cache"))
    _assert_same(loaded, pairs)


@pytest.mark.parametrize("recipe", [PUBLIC, RECIPE], ids=["public", "restricted"])
def test_a_saved_dataset_is_loaded_from_disk_and_as_a_folder(
    tmp_path: Path, recipe: dict[str, Any]
) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export" / "huggingface"
    export(tmp_path / "export", pairs, recipe, formats=["huggingface"], pairs_per_parquet=4)
    assert len(list((folder / "train").glob("*.arrow"))) == 3
    _assert_same(datasets.load_from_disk(str(folder)), pairs)
    _assert_same(datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache")), pairs)


def test_a_saved_dataset_is_laid_out_as_the_library_does(tmp_path: Path) -> None:
    export(tmp_path / "export", families(tmp_path / "images"), formats=["huggingface"])
    ours = tmp_path / "export" / "huggingface"
    loaded = datasets.load_from_disk(str(ours))
    loaded.save_to_disk(str(tmp_path / "theirs"))
    theirs = tmp_path / "theirs"
    for name in ("dataset_dict.json", "train/state.json", "train/dataset_info.json"):
        own, other = (json.loads((folder / name).read_text()) for folder in (ours, theirs))
        assert own.keys() <= other.keys(), name
        for key in ("splits", "features", "_split", "_format_type", "license", "description"):
            if key in own and key != "splits":
                assert own[key] == other[key]
        if name.endswith("state.json"):
            assert own.keys() == other.keys()
    assert loaded["train"]._fingerprint != loaded["test"]._fingerprint


def test_another_export_to_the_same_folder_is_not_read_from_the_cache(tmp_path: Path) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export"
    for kept in (pairs, pairs[:6], pairs[:3] + pairs[6:9]):
        export(folder, kept)
        loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
        ids = {row_id for rows in loaded.values() for row_id in rows["id"]}
        assert ids == {pair.id for pair in kept}


def test_large_images_are_written_in_small_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairaug.export.columns._BYTES_PER_GROUP", 1000)
    export(tmp_path / "export", families(tmp_path / "images"), formats=["parquet"])
    (path,) = (tmp_path / "export" / "parquet").glob("train-*")
    about = pyarrow.parquet.read_metadata(path)
    assert (about.num_rows, about.num_row_groups > 3) == (9, True)


def test_a_folder_is_read_by_pandas(tmp_path: Path) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export" / "folder"
    export(tmp_path / "export", pairs, formats=["folder"])
    tables = [pandas.read_csv(path) for path in sorted(folder.glob("*.csv"))]
    rows = pandas.concat(tables).set_index("id")
    assert set(rows.index) == {pair.id for pair in pairs}
    for pair in pairs:
        row = rows.loc[pair.id]
        assert row["report"] == pair.report.text
        assert (row["branch"], row["split"]) == (pair.branch.value, pair.split)
        assert row["synthetic"] == (pair.branch is not Branch.REAL)
        assert row["restricted"] == 0
        assert pair.image is not None
        assert np.array_equal(
            load_image(ImageRef(path=str(folder / row["file"]))), load_image(pair.image)
        )
        assert row["image_report"] == pair.scores.get("image_report") or not pair.scores
        if pair.branch is Branch.REAL:
            assert (row["edema"], row["fracture"]) == (1, 0)
            assert np.isnan(row["pneumonia"])
            source = Path(str(pair.image.path)).read_bytes()
            assert (folder / row["file"]).read_bytes() == source


def test_a_folder_is_a_table_that_pairaug_reads(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "export", pairs, formats=["folder"])
    names = ("id", "file", "findings", "impression", "patient_id", "split", "edema")
    path = tmp_path / "export" / "folder" / "train.csv"
    rows = list(rows_of(path, {name: name for name in names}, "utf-8", None))
    assert [row["id"] for _, row in rows] == [pair.id for pair in pairs if pair.split == "train"]
    assert rows[0][1]["edema"] == "1"


# In another process: `datasets` leaves the tables open, which is a warning here.
_AS_IMAGEFOLDER = """
import json, sys
import datasets
loaded = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], cache_dir=sys.argv[2])
loaded = loaded.cast_column("image", datasets.Image(decode=False))
print(json.dumps({
    name: [[row["id"], row["report"], row["image"]["path"]] for row in split]
    for name, split in loaded.items()
}))
"""


@pytest.mark.parametrize("recipe", [PUBLIC, RECIPE])
def test_a_folder_is_an_imagefolder_with_texts(tmp_path: Path, recipe: Mapping[str, Any]) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "export", pairs, recipe, formats=["folder"])
    folders = str(tmp_path / "export" / "folder"), str(tmp_path / "cache")
    command = [sys.executable, "-c", _AS_IMAGEFOLDER, *folders]
    out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    loaded = json.loads(out.splitlines()[-1])
    assert set(loaded) == {"train", "validation", "test"}
    rows = {pair_id: rest for split in loaded.values() for pair_id, *rest in split}
    assert rows.keys() == {pair.id for pair in pairs}
    for pair in pairs:
        text, path = rows[pair.id]
        assert text == pair.report.text
        assert pair.image is not None
        assert np.array_equal(load_image(ImageRef(path=path)), load_image(pair.image))


def test_open_clips_csv_dataset_reads_the_table(tmp_path: Path, monkeypatch: Any) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "export", pairs, formats=["folder"])
    # Its paths are relative to the folder in which open_clip is started.
    monkeypatch.chdir(tmp_path / "export" / "folder")
    table = pandas.read_csv("train-open_clip.tsv", sep="\t")
    assert list(table.columns) == ["filepath", "title"]
    train = [pair for pair in pairs if pair.split == "train"]
    assert [str(title) for title in table["title"].tolist()] == [p.report.text for p in train]
    for path in table["filepath"].tolist():
        with Image.open(str(path)) as opened:
            assert opened.convert("RGB").size == (20, 24)


class CXRDataset:
    """Indexes like CheXzero's dataset: by position, in both files."""

    def __init__(self, img_path: Path, txt_path: Path) -> None:
        self.file = h5py.File(img_path, "r")
        self.images = self.file["cxr"]
        self.texts = pandas.read_csv(txt_path)["impression"]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        image = np.repeat(np.expand_dims(self.images[index], axis=0), 3, axis=0)
        pixels = torch.from_numpy(image)
        # torchvision's Normalize insists on this.
        assert pixels.is_floating_point()
        mean, deviation = CheXzeroTransform.MEAN, CheXzeroTransform.DEVIATION
        return (pixels - mean) / deviation, self.texts[index]


def _padded(image: np.ndarray) -> np.ndarray:
    """The square that CheXzero's preprocessing makes of an 8-bit colour image."""
    colour = Image.fromarray(np.rint(image * 255).astype(np.uint8)).convert("RGB")
    ratio = 320 / max(colour.size)
    size = tuple(int(side * ratio) for side in colour.size)
    square = Image.new("L", (320, 320))
    corner = ((320 - size[0]) // 2, (320 - size[1]) // 2)
    square.paste(colour.resize(size, Image.Resampling.LANCZOS), corner)
    return np.asarray(square)


def test_chexzeros_dataset_reads_images_and_impressions(tmp_path: Path) -> None:
    pairs, folder = families(tmp_path / "images"), tmp_path / "export" / "chexzero"
    export(tmp_path / "export", pairs, formats=["chexzero"])
    train = [pair for pair in pairs if pair.split == "train"]
    loaded = CXRDataset(folder / "train-cxr.h5", folder / "train-impressions.csv")
    try:
        assert len(loaded) == len(loaded.images) == 9
        assert loaded.images.dtype == np.float32
        assert loaded.images.shape == (9, 320, 320)
        transform = CheXzeroTransform(320)
        for index, pair in enumerate(train):
            pixels, text = loaded[index]
            assert text == (pair.report.impression or pair.report.findings)
            assert pair.image is not None
            image = load_image(pair.image)
            assert np.array_equal(loaded.images[index], _padded(image))
            # Training sees the same pixels as the scorer.
            assert torch.allclose(pixels, transform([image])[0], atol=1e-6)
        assert loaded.file.attrs["restricted"] == np.False_
    finally:
        loaded.file.close()
    rows = pandas.read_csv(folder / "train-impressions.csv")
    assert list(rows["id"]) == [pair.id for pair in train]
    assert rows["filename"].is_unique


def test_chexzero_with_another_text(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    for text, expected in (("findings", "changed"), ("impression+findings", "Worse. changed")):
        folder = tmp_path / text
        export(folder, pairs, formats=["chexzero"], text=text)
        rows = pandas.read_csv(folder / "chexzero" / "train-impressions.csv")
        assert rows["impression"][2] == expected


def test_hdf5_is_written_a_few_images_at_a_time(tmp_path: Path) -> None:
    pair = real(tmp_path, 0)
    pairs = [
        Pair(f"a/{index}", Branch.REAL, "p", Report(impression=f"Image {index}."), image=pair.image)
        for index in range(37)
    ]
    export(tmp_path / "export", pairs, formats=["chexzero"])
    with h5py.File(tmp_path / "export" / "chexzero" / "train-cxr.h5") as file:
        assert file["cxr"].shape == (37, 320, 320)
        assert file["cxr"].chunks == (1, 320, 320)
        assert np.array_equal(file["cxr"][0], file["cxr"][36])


def test_texts_that_pandas_reads_as_missing_are_kept(tmp_path: Path) -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES - {""} == _TAKEN_FOR_MISSING
    odd = ["None", "n/a", 'He said "no",\tthen\nleft;\r\nso.', "Größe: 5 µm", "1", "=SUM(A1)"]
    pair = real(tmp_path, 0)
    pairs = [
        Pair(f"odd/{index}", Branch.REAL, "p", Report(impression=text), image=pair.image)
        for index, text in enumerate([*odd, "Clear."])
    ]
    export(tmp_path / "export", pairs, formats=["folder", "chexzero"])
    expected = ["None.", "n/a.", *odd[2:], "Clear."]
    folder = tmp_path / "export"
    tsv = pandas.read_csv(folder / "folder" / "train-open_clip.tsv", sep="\t")
    assert tsv["title"].tolist() == expected
    assert pandas.read_csv(folder / "folder" / "train.csv")["report"].tolist() == expected
    texts = pandas.read_csv(folder / "chexzero" / "train-impressions.csv")["impression"]
    assert texts.tolist() == expected


def test_restricted_exports_are_marked_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    report = export(folder, families(tmp_path / "images"), RECIPE, formats=ALL)
    unmarked = [
        name
        for name in report.files
        if "restricted-" not in name and not name.endswith((".json", "README.md"))
    ]
    assert unmarked == []
    schema = pyarrow.parquet.read_schema(folder / "parquet" / "restricted-train-00000.parquet")
    terms = {
        "source": "covid",
        "license": "CC BY-NC-SA 4.0",
        "access": "credentialed",
        "restricted": True,
    }
    assert json.loads(schema.metadata[b"pairaug"]) == terms
    with h5py.File(folder / "chexzero" / "restricted-train-cxr.h5") as file:
        assert dict(file.attrs).items() >= terms.items()
    for name in ("chexzero/restricted-train-impressions.csv", "folder/restricted-train.csv"):
        with (folder / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {(row["access"], row["restricted"]) for row in rows} == {("credentialed", "1")}
    assert all(json.loads(row["json"])["restricted"] for row in _read_tars(folder).values())
    info = json.loads((folder / "huggingface" / "train" / "dataset_info.json").read_text())
    assert info["license"] == "CC BY-NC-SA 4.0"
    assert info["description"].startswith("Restricted.")
    about = json.loads((folder / "export.json").read_text())
    assert about.items() >= terms.items()
    for card in ("README.md", "huggingface/README.md"):
        assert "# RESTRICTED: " in (folder / card).read_text()


def test_hostile_ids_give_safe_unique_names(tmp_path: Path) -> None:
    pair = real(tmp_path, 0)
    ids = [
        *("a/b.c", "a.b/c", "a_b_c", "x" * 300, "x" * 299 + "y", "été", "e\u0301te\u0301"),
        *("../up", "/etc/passwd", "..", ".", "a\\b", "C:\\x", "nul", "a\nb", "-rf", "*", " "),
    ]
    pairs = [
        Pair(id_, Branch.REAL, "p", pair.report, image=pair.image, scores=pair.scores)
        for id_ in ids
    ]
    report = export(tmp_path / "deep" / "export", pairs, formats=ALL)
    assert report.num_pairs == len(ids)
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"export"}
    images = [name for name in report.files if name.endswith(".jpg")]
    assert len({name.lower() for name in images}) == len(ids)
    assert all(len(Path(name).name) < 100 and name.isascii() for name in images)
    rows = _read_tars(tmp_path / "deep" / "export")
    assert rows.keys() == set(ids)
    assert all("/" not in row["__key__"] for row in rows.values())
    parquet = pyarrow.parquet.read_table(tmp_path / "deep" / "export" / "parquet")
    paths = [image["path"] for image in parquet["image"].to_pylist()]
    assert len(set(paths)) == len(ids)
    assert not any("/" in path or "\\" in path for path in paths)


def _reread(folder: Path, content: bytes, suffix: str) -> tuple[Pair, dict[str, Any]]:
    """An image on disk, and its bytes in a tar."""
    path = folder / f"image.{suffix}"
    path.write_bytes(content)
    image = ImageRef(path=str(path), sha256=sha256(content))
    pair = Pair("a/1", Branch.REAL, "p", Report("Clear."), image=image)
    export(folder / "export", [pair])
    (row,) = _read_tars(folder / "export").values()
    return pair, row


def _saved(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["tiff", "sixteen bits", "turned jpeg", "turned png"])
def test_images_that_readers_decode_differently_become_png(tmp_path: Path, kind: str) -> None:
    levels = np.rint(grey(1) * 255).astype(np.uint8)
    deep = Image.fromarray(levels.astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    content, suffix = {
        "tiff": (_saved(Image.fromarray(levels), format="TIFF"), "tiff"),
        "sixteen bits": (
            _saved(deep, format="PNG"),
            "png",
        ),
        "turned jpeg": (_saved(Image.fromarray(levels), format="JPEG", exif=turned), "jpg"),
        "turned png": (_saved(Image.fromarray(levels), format="PNG", exif=turned), "png"),
    }[kind]
    pair, row = _reread(tmp_path, content, suffix)
    assert pair.image is not None
    with Image.open(io.BytesIO(row["png"])) as opened:
        assert (opened.mode, opened.getexif()) == ("L", {})
        # Opened as in open_clip, and as in the run.
        seen = np.asarray(opened.convert("RGB"))[..., 0] / np.float32(255)
    assert np.abs(seen - load_image(pair.image)).max() <= 0.5 / 255
    assert seen.std() > 0.1


@pytest.mark.parametrize("kind", ["jpeg", "colour jpeg", "png", "colour png"])
def test_images_that_readers_decode_alike_are_copied(tmp_path: Path, kind: str) -> None:
    levels = Image.fromarray(np.rint(grey(1) * 255).astype(np.uint8))
    image = levels.convert("RGB") if "colour" in kind else levels
    suffix = kind.split()[-1].replace("jpeg", "jpg")
    content = _saved(image, format="JPEG" if suffix == "jpg" else "PNG")
    _, row = _reread(tmp_path, content, suffix)
    assert row[suffix] == content


def test_same_pairs_give_the_same_bytes(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "one", pairs, formats=ALL)
    export(tmp_path / "other", pairs, {**PUBLIC, "seconds": {"edit": 99.0}}, formats=ALL)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
