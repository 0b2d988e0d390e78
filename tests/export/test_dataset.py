"""A dataset of real images, if present, read from a table and exported to every layout.

The folder is that of PAIRAUG_TEST_DATA, or `../shared/data` beside the repository.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import datasets
import h5py
import numpy as np
import pandas
import pytest

from pairaug.imaging.io import load_image
from pairaug.pair import Pair
from pairaug.readers import TableReader, TableSource
from pairaug.stage import RunContext
from support.export_pairs import ALL, contents, export

pytestmark = pytest.mark.dataset
DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
NUM_IMAGES = 24


def _real_pairs() -> list[Pair]:
    folder = DATA / "covid_cxr_pairs"
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    source = TableSource.model_validate(
        {
            "table": folder / "reports.csv",
            "name": "covid",
            "columns": {"id": "image_id", "patient_id": "patient_id"},
        }
    )
    return list(islice(TableReader(source, RunContext(seed=0)), NUM_IMAGES))


def test_every_layout_gives_the_real_images_back(tmp_path: Path) -> None:
    pairs = _real_pairs()
    living = {pair.id: pair for pair in pairs if pair.drop is None}
    report = export(tmp_path / "one", pairs, {"source": {"access": "public"}}, formats=ALL)
    assert report.num_pairs == len(living) > 0
    assert report.lost == {}
    folder = tmp_path / "one"
    for loaded in (
        datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache")),
        datasets.load_from_disk(str(folder / "huggingface")),
    ):
        rows = [row for split in loaded.values() for row in split]
        assert {row["id"] for row in rows} == living.keys()
        for row in rows:
            pair = living[row["id"]]
            assert pair.image is not None
            assert row["report"] == pair.report.text
            shown = np.asarray(row["image"].convert("RGB").convert("L"), dtype=np.float32) / 255
            assert np.abs(shown - load_image(pair.image)).max() <= 1 / 255
    for path in (folder / "chexzero").glob("*.csv"):
        texts = pandas.read_csv(path)
        with h5py.File(str(path).replace("impressions.csv", "cxr.h5")) as file:
            images = file["cxr"][:]
        assert len(images) == len(texts)
        assert texts["impression"].notna().all()
        for image, pair_id in zip(images, texts["id"], strict=True):
            height, width = load_image(living[pair_id].image).shape
            lit = np.flatnonzero(image.any(axis=1 if height < width else 0))
            side = int(320 * min(height, width) / max(height, width))
            assert lit[-1] - lit[0] < side + 1
    # A second export has the same bytes.
    export(tmp_path / "other", pairs, {"source": {"access": "public"}}, formats=ALL)
    assert contents(folder) == contents(tmp_path / "other")
