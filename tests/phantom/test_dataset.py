"""The phantom dataset: readable by anything, the same bytes twice, never over other files."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairaug.errors import DataError, SettingsError
from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.dataset import COLUMNS, DatasetSize, write_dataset
from pairaug.phantom.findings import Finding
from pairaug.phantom.render import render
from pairaug.phantom.study import sample_study


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms") / "dataset"
    write_dataset(out, DatasetSize(20, seed=3, size=48, num_studies=2), masks=True, num_processes=1)
    return out


def test_every_row_has_its_image_and_report(dataset):
    rows = _rows(dataset / "reports.csv")
    assert len(rows) == 40
    assert tuple(rows[0]) == COLUMNS
    assert len({row["id"] for row in rows}) == 40
    for row in rows:
        with Image.open(dataset / row["file"]) as opened:
            assert opened.size == (48, 48)
            assert opened.mode == "L"
        assert row["findings"]
        assert row["impression"]


def test_labels_are_the_truth(dataset):
    rows = {row["id"]: row for row in _rows(dataset / "reports.csv")}
    truths = [json.loads(line) for line in (dataset / "findings.jsonl").read_text().splitlines()]
    assert len(truths) == 40
    for truth in truths:
        row = rows[truth["id"]]
        kinds = {finding["kind"] for finding in truth["findings"]}
        assert (row["Pleural Effusion"] == "1") == ("pleural effusion" in kinds)
        assert (row["Lung Lesion"] == "1") == bool(kinds & {"nodule", "mass"})
        assert row["Fracture"] == ""
    assert any(row["Support Devices"] == "1" for row in rows.values())


def test_the_truth_renders_the_same_image(dataset):
    truth = json.loads((dataset / "findings.jsonl").read_text().splitlines()[5])
    findings = [Finding(**finding) for finding in truth["findings"]]
    image = render(Anatomy(**truth["anatomy"]), findings, 48).image
    with Image.open(dataset / "images" / f"{truth['id']}.png") as opened:
        assert np.array_equal(np.asarray(opened), np.rint(image * 255).astype(np.uint8))
    study = sample_study(truth["seed"], truth["index"], truth["visit"])
    assert study.findings == tuple(findings)


def test_masks_name_the_findings(dataset):
    truths = [json.loads(line) for line in (dataset / "findings.jsonl").read_text().splitlines()]
    for truth in truths:
        masks = {path.stem for path in (dataset / "masks" / truth["id"]).iterdir()}
        assert {"left-lung", "right-lung", "heart"} <= masks
        for finding in truth["findings"]:
            assert Finding(**finding).label.replace(" ", "-") in masks


def test_patients_are_in_one_split(dataset):
    splits: dict[str, set[str]] = {}
    for row in _rows(dataset / "reports.csv"):
        splits.setdefault(row["patient_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) <= {"train", "validation", "test"}


def test_the_card_states_that_images_are_simulated(dataset):
    card = (dataset / "README.md").read_text()
    assert "Not clinical data" in card
    assert "seed 3" in card


def test_same_arguments_same_bytes_in_one_process_or_two(dataset, tmp_path):
    reported: list[int] = []
    write_dataset(
        tmp_path / "again",
        DatasetSize(20, seed=3, size=48, num_studies=2),
        masks=True,
        num_processes=2,
        report_progress=reported.append,
    )
    assert _hashes(tmp_path / "again") == _hashes(dataset)
    assert sum(reported) == 40


def test_a_folder_that_is_not_empty_is_an_error(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"is not an empty folder; pass another --out"):
        write_dataset(tmp_path, DatasetSize(1), num_processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match="is not an empty folder"):
        write_dataset(tmp_path / "out", DatasetSize(1), num_processes=1)


@pytest.mark.parametrize("wrong", [{"num_patients": 0}, {"seed": -1}, {"size": 8}])
def test_wrong_sizes(wrong):
    name = next(iter(wrong))
    with pytest.raises(SettingsError, match=rf"{name} is {wrong[name]}; it must be at least"):
        DatasetSize(**{"num_patients": 2, **wrong})
