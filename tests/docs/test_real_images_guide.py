"""The guide for real images and its examples: they agree, suit real data, and their lines work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pairaug.config import Settings, change_settings
from pairaug.run import RunFolder, run
from support.dicom_images import LEVELS, dataset_of, saved

_ROOT = Path(__file__).parents[2]
_GUIDE = (_ROOT / "docs" / "how-to" / "real-images.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _GUIDE, re.DOTALL)


def _example(name: str) -> dict[str, Any]:
    return yaml.safe_load((_ROOT / "examples" / name).read_text(encoding="utf-8"))


def test_the_guide_and_its_example_agree() -> None:
    told, example = yaml.safe_load(_blocks("yaml")[0]), _example("real-images.yaml")
    assert told.keys() <= example.keys()
    assert told["preset"] == example["preset"]
    assert told["prune"] == example["prune"]
    assert told["read"].keys() <= example["read"].keys()
    assert told["read"]["columns"].keys() <= example["read"]["columns"].keys()


@pytest.mark.parametrize("name", ["real-images.yaml", "openi.yaml", "mimic-cxr.yaml"])
def test_no_example_for_real_data_has_the_thresholds_of_another_scorer(name: str) -> None:
    example = _example(name)
    assert example.get("preset", "default") == "default"
    assert {rule["rule"] for rule in example["prune"].values()} == {"mismatch-quantile"}


def test_the_readme_installs_what_a_hospital_needs() -> None:
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    for page in (readme, _GUIDE):
        (command,) = [line for line in page.splitlines() if '".[dicom]"' in line]
        assert "pip install --constraint constraints.txt" in command
    assert "https://download.pytorch.org/whl/cpu" in readme


def test_the_lines_of_the_guide_open_dicoms(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = ["id,file,findings,impression"]
    for row in range(3):
        (tmp_path / f"{row}.dcm").write_bytes(saved(dataset_of(LEVELS + np.uint16(row))))
        rows.append(f'{row},{row}.dcm,"Small right pleural effusion. Clear lungs.",Effusion.')
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    table = ["read.layout=table", f"read.table={tmp_path / 't.csv'}", f"read.root={tmp_path}"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    run(change_settings(small_settings, table), RunFolder(Path("runs/my-study")))
    found: dict[str, Any] = {}
    for lines in _blocks("python"):
        exec(lines, found)
    assert found["image"].shape == LEVELS.shape
    assert found["kept"][0]["image"]["path"].endswith(".dcm")
    assert (tmp_path / "image.png").stat().st_size
