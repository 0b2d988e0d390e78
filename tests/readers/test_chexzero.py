"""CheXzero's HDF5 of images with its CSV of impressions, its own and that of our export."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from pairaug.errors import DataError
from pairaug.imaging.io import load_image
from pairaug.pair import Pair
from pairaug.readers import CheXzeroSource, open_reader
from pairaug.readers.reader import Counted
from pairaug.stage import RunContext
from support.export_pairs import export, families
from support.layout_trees import csv

RNG = np.random.default_rng(3)
LEVELS = RNG.integers(0, 256, (5, 320, 320)).astype(np.float32)
PATHS = [
    "files/p10/p10000001/s50000001/a.jpg",
    "files/p10/p10000001/s50000002/b.jpg",
    "files/p10/p10000002/s50000003/c.jpg",
    "files/p10/p10000003/s50000004/d.jpg",
    "files/p10/p10000003/s50000004/e.jpg",
]
TEXTS = ["No acute process.", "Small, left effusion.", "NO IMPRESSION", "Failed.", "Edema."]


def _written(folder: Path, images: np.ndarray = LEVELS) -> CheXzeroSource:
    images = images.copy()
    images[3] = 0
    with h5py.File(folder / "cxr.h5", "w") as file:
        file["cxr"] = images
    studies = [f"{path.split('/')[3]}.txt" for path in PATHS]
    table = csv(folder / "mimic_impressions.csv", "filename,impression",
                *zip(studies, TEXTS, strict=True))  # fmt: skip
    paths = csv(folder / "cxr_paths.csv", "Path", *[(path,) for path in PATHS])
    return CheXzeroSource(images=folder / "cxr.h5", table=table, paths=paths, name="c")


def _read(source: CheXzeroSource) -> list[Pair]:
    reader = open_reader(source, RunContext(seed=0))
    pairs = list(reader)
    assert isinstance(reader, Counted)
    assert reader.count() == len(pairs)
    return pairs


def test_reads_chexzero_files(tmp_path: Path) -> None:
    pairs = _read(_written(tmp_path))
    assert [pair.drop.reason if pair.drop else None for pair in pairs] == [
        None, None, "empty_report", "image_constant", None
    ]  # fmt: skip
    assert pairs[1].id == "c/files/p10/p10000001/s50000002/b"
    assert pairs[1].report.impression == "Small, left effusion."
    assert [pair.patient_id for pair in pairs] == [path.split("/")[2] for path in PATHS]
    assert pairs[0].image
    assert np.array_equal(load_image(pairs[0].image), LEVELS[0] / np.float32(255))


def test_without_paths_warns_and_groups_by_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = _written(tmp_path).model_copy(update={"paths": None})
    pairs = _read(source)
    assert "images cannot be grouped by patient" in caplog.text
    assert [pair.patient_id for pair in pairs[3:]] == ["s50000004", "s50000004"]
    assert len({pair.id for pair in pairs}) == 5


def test_mismatched_files_raise(tmp_path: Path) -> None:
    source = _written(tmp_path)
    for name, images, match in [
        ("cxr", LEVELS[:4], "has 5 rows, but .* has 4 images"),
        ("images", LEVELS, "has no dataset 'cxr' of grey images"),
        ("cxr", LEVELS[0], "has no dataset 'cxr' of grey images"),
    ]:
        with h5py.File(tmp_path / "cxr.h5", "w") as file:
            file[name] = images
        with pytest.raises(DataError, match=match):
            list(open_reader(source, RunContext(seed=0)))
    (tmp_path / "cxr.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="is not an HDF5 file, or is cut short"):
        list(open_reader(source, RunContext(seed=0)))
    (tmp_path / "cxr.h5").unlink()
    with pytest.raises(DataError, match=r"cxr\.h5, which does not exist"):
        list(open_reader(source, RunContext(seed=0)))


def test_invalid_grey_levels_are_dropped(tmp_path: Path) -> None:
    images = LEVELS.copy()
    images[0] *= 100
    images[1, 0, 0] = np.nan
    reasons = [
        pair.drop.reason if pair.drop else None for pair in _read(_written(tmp_path, images))
    ]
    assert reasons[:2] == ["unreadable_image", "unreadable_image"]


def test_reads_own_export(tmp_path: Path) -> None:
    pairs = families(tmp_path / "images")
    export(tmp_path / "export", pairs, formats=["chexzero"])
    folder = tmp_path / "export" / "chexzero"
    source = CheXzeroSource(
        images=folder / "train-cxr.h5", table=folder / "train-impressions.csv", name="demo"
    )
    found = {pair.id.removeprefix("demo/"): pair for pair in _read(source)}
    expected = {pair.id: pair for pair in pairs if pair.split == "train"}
    for pair_id, pair in expected.items():
        again = found[pair_id]
        assert (again.patient_id, again.split) == (pair.patient_id, "train")
        is_synthetic = pair.branch.value != "real"
        assert (again.drop.reason if again.drop else None) == (
            "synthetic" if is_synthetic else None
        )
