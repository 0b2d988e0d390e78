from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pairaug.config import Settings, change_settings
from pairaug.errors import DataError
from pairaug.manifest import read_pairs
from pairaug.pair import Pair
from pairaug.readers import OpenISource, open_reader
from pairaug.rewrite.cleaning import source_report
from pairaug.run import RunFolder, run
from pairaug.stage import RunContext
from support.layout_trees import image, openi, openi_xml, write

DATA = (
    Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "openi_xml"
)


def _pairs(settings: Mapping[str, Any]) -> list[Pair]:
    source = OpenISource.model_validate({**settings, "name": "n"})
    return list(open_reader(source, RunContext(seed=0)))


def _reasons(pairs: list[Pair]) -> dict[str, str | None]:
    return {pair.id[2:]: pair.drop.reason if pair.drop else None for pair in pairs}


def test_images_of_a_study_have_its_report_and_patient(tmp_path: Path) -> None:
    first, second, *_ = _pairs(openi(tmp_path))
    assert first.report == second.report
    assert first.report.findings == "Heart size borderline. XXXX opacity at the left base."
    assert first.patient_id == second.patient_id == "CXR1"
    assert first.split == second.split
    assert first.image != second.image
    # "Borderline" leaves it open, and a nodule of the breast is none of the lung.
    assert first.labels == {"cardiomegaly": None, "lung opacity": True}


def test_views_are_those_of_the_projections(tmp_path: Path) -> None:
    settings = openi(tmp_path)
    first, second, *_ = _pairs(settings)
    assert [pair.trace["read"]["view"] for pair in (first, second)] == ["Lateral", "Frontal"]
    reasons = _reasons(_pairs({**settings, "views": ["frontal"]}))
    assert reasons["CXR1_1_IM-0001-3001"] == "view_excluded"
    assert reasons["CXR1_1_IM-0001-4001"] is None
    assert reasons["CXR3_IM-0003-2001"] == "view_excluded"  # a study of laterals only
    (tmp_path / "indiana_projections.csv").rename(tmp_path / "views.csv")
    with pytest.raises(DataError, match=r"has no indiana_projections\.csv with the images' views"):
        _pairs({**settings, "views": ["Frontal"]})
    named = {**settings, "projections": tmp_path / "views.csv", "views": ["Frontal"]}
    assert _reasons(_pairs(named)) == reasons


def test_kaggle_image_names(tmp_path: Path) -> None:
    settings = openi(tmp_path)
    images = settings["image_root"]
    (images / "CXR1_1_IM-0001-4001.png").rename(images / "1_IM-0001-4001.dcm.png")
    pair = _pairs(settings)[1]
    assert pair.drop is None
    assert pair.image is not None
    assert str(pair.image.path).endswith("1_IM-0001-4001.dcm.png")


def test_optional_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {**openi(tmp_path), "images": "optional"}
    pairs = {pair.id[2:]: pair for pair in _pairs(settings)}
    assert pairs["CXR5"].drop is None
    assert pairs["CXR5"].image is None
    assert pairs["CXR4"].report.findings == "Image is missing."
    assert pairs["CXR4"].drop is None
    assert pairs["CXR1_1_IM-0001-3001"].image is not None
    assert "have a report but no image" in caplog.text


def test_repeated_headings_are_joined(tmp_path: Path) -> None:
    xml = openi_xml("CXR1", ["a"], [], findings="One &amp; two.")
    again = '<AbstractText Label="FINDINGS">Three.</AbstractText></Abstract>'
    write(tmp_path / "1.xml", xml.replace("</Abstract>", again))
    write(tmp_path / "a.png", image())
    (pair,) = _pairs({"layout": "openi", "root": tmp_path})
    assert pair.report.findings == "One & two.\n\nThree."


def test_xml_bomb_is_dropped(tmp_path: Path) -> None:
    entities = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 50 if n else "x" * 50}">' for n in range(9)
    )
    write(tmp_path / "1.xml", f"<!DOCTYPE a [{entities}]><a><uId id='C'/>&e8;</a>")
    (pair,) = _pairs({"layout": "openi", "root": tmp_path})
    assert pair.drop is not None
    assert pair.drop.reason == "unreadable_report"


@pytest.mark.dataset
def test_the_sixty_studies_are_read_and_rewritten(small_settings: Settings, tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip("the data are not here")
    required = _pairs({"layout": "openi", "root": DATA})
    reasons = Counter(pair.drop.reason if pair.drop else "none" for pair in required)
    # 110 images are named, two studies name none, and no image is there.
    assert reasons == {"missing_image": 112}
    pairs = _pairs({"layout": "openi", "root": DATA, "images": "optional"})
    assert len(pairs) == len({pair.patient_id for pair in pairs}) == 60
    assert not [pair for pair in pairs if pair.drop or pair.image]
    assert any("XXXX" in pair.report.text for pair in pairs)
    assert not any("XX" in source_report(pair.report.text) for pair in pairs)
    assert all(pair.report.impression for pair in pairs)
    assert sum(not pair.report.findings for pair in pairs) == 7

    read = ["read.layout=openi", f"read.root={DATA}", "read.images=optional", "limit=8"]
    folder = RunFolder(tmp_path / "run")
    run(change_settings(small_settings, read), folder)
    made = list(read_pairs(folder.stage("prune")))
    assert {pair.branch.value for pair in made} == {"real", "inter", "intra"}
    inter = [pair for pair in made if pair.branch.value == "inter"]
    assert all(pair.image or pair.drop for pair in inter)
    assert any(pair.image for pair in inter)
