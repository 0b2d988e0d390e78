"""What holds for every layout, on a small tree of each with the traps of real ones."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pairaug.config import Settings, change_settings, load_settings
from pairaug.errors import DataError, SettingsError
from pairaug.pair import Branch, Pair
from pairaug.readers import Counted, ReadSettings, open_reader
from pairaug.run import RunFolder, make_plan
from pairaug.run.doctor import diagnose
from pairaug.run.stages import check_allowed
from pairaug.stage import RunContext
from support.layout_trees import TREES, image, tar

_SETTINGS: TypeAdapter[Any] = TypeAdapter(ReadSettings)

EXPECTED: Mapping[str, Mapping[str, str | None]] = {
    "mimic-cxr": {
        "s50000001/aa01": None,
        "s50000001/aa02": "view_excluded",
        "s50000002/aa03": None,
        "s50000003/aa04": "view_excluded",
        "s50000004/aa05": "missing_image",
        "s50000005/aa06": None,
        "s50000006/aa07": None,
        "s50000006/aa07#row-9": "duplicate_id",
        "s50000007/aa08": None,
        "s50000008/aa09": "undecodable_report",
        "s50000009/aa10": "view_excluded",
        "s50000010/../../../../../../aa11": "outside_root",
        "s50000011/aa12": None,
        "s50000012/aa13": "missing_report",
    },
    "openi": {
        "CXR1_1_IM-0001-3001": None,
        "CXR1_1_IM-0001-4001": None,
        "CXR2_IM-0002-1001": None,
        "CXR3_IM-0003-2001": None,
        "CXR4_IM-0004-1001": "missing_image",
        "CXR5": "missing_image",
        "../../CXR6_IM-0006-1001": "outside_root",
        "CXR2_IM-0002-1001#report-7-image-1": "duplicate_id",
        "CXR8": "unreadable_report",
        "CXR10_IM-0010-1001": "empty_report",
    },
    "chexpert-plus": {
        "train/patient1/study1/view1_frontal": None,
        "train/patient1/study1/view2_lateral": "view_excluded",
        "train/patient2/study1/view1_frontal": None,
        "train/patient2/study1/view1_frontal#row-5": "duplicate_id",
        "valid/patient3/study1/view1_frontal": "empty_report",
        "valid/patient4/study1/view1_frontal": "missing_image",
        "../../patient5": "outside_root",
        "train/patient 6 é/study1/view1_frontal": None,
    },
    "padchest": {
        "1_a": None,
        "1_b": "view_excluded",
        "2_a": None,
        "2_a#row-5": "duplicate_id",
        "3_a": "empty_report",
        "4_a": "missing_image",
        "../../5_a": "outside_root",
        "6 é": None,
    },
    "cxr-folder": {
        "Müller 1/café é": None,
        "Müller 1/other": None,
        "b/alone": "missing_image",
        "b/empty": "empty_report",
        "b/latin": "undecodable_report",
        "b/no report": "missing_report",
        "b/plain": None,
        "b/two": None,
        "b/two#image-9": "duplicate_id",
        "link/x": None,
    },
    "webdataset": {
        "a/1": None,
        "a/2": None,
        "a/3": "missing_image",
        "a/4": "unreadable_report",
        "a/5": "empty_report",
        "shard-cxr-000001.tar-member-1": "unsafe_member",
        "shard-cxr-000001.tar-member-3": "unsafe_member",
        "a/1#shard-cxr-000001.tar-member-5": "duplicate_id",
        "a/9 é": None,
    },
    "huggingface": {
        "all-0000001": None,
        "all-0000002": "missing_image",
        "all-0000003": "unreadable_image",
        "all-0000004": "empty_report",
        "all-0000005": "outside_root",
        "all-0000006": None,
    },
}

PATIENTS_AND_TEXTS = (
    "10000001", "11000001", "pleural", "Épanchement", "corazon", "patient1", "Müller", "Climbs",
)  # fmt: skip
REWRITTEN = {
    "mimic-cxr": 7,
    "openi": 5,
    "chexpert-plus": 1,
    "padchest": 0,
    "cxr-folder": 3,
    "webdataset": 3,
    "huggingface": 2,
}
"""English reports of at least `rewrite.min_words` words, of the views that are kept."""

CREDENTIALED = ("mimic-cxr", "chexpert-plus", "padchest")
layouts = pytest.mark.parametrize("layout", list(TREES))


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Writes a layout's tree into a folder with a space and an accent in its name."""
    return lambda layout: TREES[layout](tmp_path / "thorax été" / layout)


def _pairs(settings: Mapping[str, Any]) -> list[Pair]:
    return list(open_reader(_SETTINGS.validate_python(settings), RunContext(seed=0)))


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@layouts
def test_pairs_and_drops_of_every_layout(layout: str, tree: Any) -> None:
    pairs = _pairs({**tree(layout), "name": "n"})
    found = {pair.id.removeprefix("n/"): pair.drop.reason if pair.drop else None for pair in pairs}
    assert found == EXPECTED[layout]
    assert len(found) == len(pairs)
    for pair in pairs:
        assert pair.branch is Branch.REAL
        assert pair.drop or (pair.image and (pair.image.height, pair.image.width) == (24, 20))
        assert "\r" not in pair.report.text


@layouts
def test_reading_twice_is_equal_and_read_only(layout: str, tree: Any, tmp_path: Path) -> None:
    settings = tree(layout)
    before = _files(tmp_path)
    reader = open_reader(_SETTINGS.validate_python(settings), RunContext(seed=0))
    provenance, pairs = reader.describe(), list(reader)
    assert list(reader) == pairs
    assert _pairs(settings) == pairs
    assert provenance == reader.describe()
    assert provenance.hashes
    assert len(list(reader.records())) == len(pairs)
    if isinstance(reader, Counted):
        assert reader.count() == len(pairs)
    assert _files(tmp_path) == before


@layouts
def test_a_patient_is_in_one_split(layout: str, tree: Any) -> None:
    pairs = _pairs(tree(layout))
    splits = {(pair.patient_id, pair.split) for pair in pairs}
    assert len(splits) == len({pair.patient_id for pair in pairs})


@layouts
def test_logs_have_no_reports_or_patients(
    layout: str, tree: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tree(layout)
    with caplog.at_level(logging.DEBUG, logger="pairaug"):
        pairs = _pairs({**settings, "name": "n"})
    said = " ".join(
        record.getMessage() for record in caplog.records if record.name.startswith("pairaug")
    )
    details = " ".join(pair.drop.detail for pair in pairs if pair.drop)
    assert "dropped:" in said
    assert not [word for word in PATIENTS_AND_TEXTS if word in said + details]


def test_plan_of_large_source_reads_first_reports(small_settings: Settings, tmp_path: Path) -> None:
    report = "Clear lungs without any effusion, pneumothorax or pneumonia to be seen on this image."
    members = [(f"{number:05d}.txt", report.encode()) for number in range(1200)]
    # Of the first 500, half are of no use.
    members[:500:2] = [(f"../{number:05d}.txt", b"x") for number in range(0, 500, 2)]
    path = tar(tmp_path / "x.tar", *members)
    read = ["read.layout=webdataset", f"read.shards={path}", "rewrite.branches=[inter]"]
    plan = make_plan(change_settings(small_settings, read), RunFolder(tmp_path / "run"))
    assert plan.num_pairs == 1200
    assert plan.rewriting.startswith("600 reports, 600 texts")


def _overrides(settings: Mapping[str, Any]) -> list[str]:
    return [f"read.{key}={json.dumps(value, default=str)}" for key, value in settings.items()]


@layouts
def test_plans_and_checks_work(
    layout: str, tree: Any, small_settings: Settings, tmp_path: Path
) -> None:
    overrides = _overrides(tree(layout))
    plan = make_plan(change_settings(small_settings, overrides), RunFolder(tmp_path / "run"))
    assert plan.problems == ()
    assert plan.num_pairs == len(EXPECTED[layout])
    # Images of other views are none of the reports that will be rewritten.
    assert plan.rewriting.startswith(f"{REWRITTEN[layout]} reports")
    assert plan.bytes_needed
    limited = change_settings(small_settings, [*overrides, "limit=2"])
    assert make_plan(limited, RunFolder(tmp_path / "run")).num_pairs == 2
    (data,) = (check for check in diagnose(None, overrides) if check.name == "data")
    assert data.is_ok, data.message
    assert "pairs can be used" in data.message


@layouts
def test_credentialed_layouts_are_refused_to_remote_models(
    layout: str, tree: Any, small_settings: Settings
) -> None:
    remote = [
        "rewrite.backend=openai",
        "rewrite.model=some-model",
        "rewrite.base_url=https://example.org/v1",
        "rewrite.allow_remote=true",
        "rewrite.data_policy=public",
    ]
    settings = change_settings(small_settings, [*_overrides(tree(layout)), *remote])
    assert (settings.read.access == "credentialed") == (layout in CREDENTIALED)
    if layout not in CREDENTIALED:
        check_allowed(settings)
        return
    with pytest.raises(SettingsError, match=r"credentialed .* PhysioNet's data use agreement"):
        check_allowed(settings)
    provenance = open_reader(settings.read, RunContext(seed=0)).describe()
    assert provenance.access == "credentialed"


@pytest.mark.parametrize("layout", CREDENTIALED)
def test_credentialed_access_is_fixed(layout: str, tree: Any) -> None:
    with pytest.raises(ValueError, match=r"access\n  Extra inputs are not permitted"):
        _SETTINGS.validate_python({**tree(layout), "access": "public"})


@pytest.mark.parametrize(
    ("layout", "gone", "message"),
    [
        ("mimic-cxr", "mimic-cxr-2.0.0-metadata.csv.gz", "has no list of images"),
        ("mimic-cxr", "mimic-cxr-2.0.0-split.csv.gz", "has no list of splits"),
        ("mimic-cxr", "mimic-cxr-2.0.0-chexpert.csv", r"set read\.labels: none"),
        ("mimic-cxr", "mimic-cxr-reports", r"unpack mimic-cxr-reports\.zip"),
        ("openi", "ecgen-radiology", r"has no XML files; unpack NLMCXR_reports\.tgz"),
        ("chexpert-plus", "df_chexpert_plus_240401.csv", "has no table of images and reports"),
        ("padchest", "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", "has no table"),
        ("webdataset", "cxr-000001.tar", r"cxr-000001\.tar does not exist; set read\.shards"),
        ("huggingface", "images and reports.parquet", r"read\.path is .* which does not exist"),
        ("cxr-folder", ".", r"does not exist; set read\.root"),
    ],
)
def test_missing_files_raise_with_remedy(
    layout: str, gone: str, message: str, tree: Any, tmp_path: Path
) -> None:
    settings = tree(layout)
    (tmp_path / "thorax été" / layout / gone).resolve().rename(tmp_path / "moved")
    with pytest.raises(DataError, match=message):
        _pairs(settings)


def test_chexpert_plus_has_its_labels_views_and_split(tree: Any) -> None:
    first, second, third, *_ = pairs = _pairs(tree("chexpert-plus"))
    assert first.report.findings == "Clear lungs."
    assert first.report.impression == "1. No change. 2. Normal."
    assert first.labels == {"no finding": True, "edema": False}
    assert third.labels == {"lung opacity": True, "edema": None}
    assert [pair.trace["read"]["view"] for pair in (first, second)] == ["AP", "Lateral"]
    assert {pair.split for pair in pairs} == {"train", "validation"}
    only = _pairs({**tree("chexpert-plus"), "text": "impression"})
    assert only[0].report.findings == ""
    assert only[-1].drop is not None  # it has findings only
    assert only[-1].drop.reason == "empty_report"


def test_padchest_terms_and_spanish_reports(tree: Any) -> None:
    first, *_, last = _pairs(tree("padchest"))
    assert first.report.findings == "corazon aumentado . sonda ."
    assert first.labels == {
        "cardiomegaly": True,
        "pleural effusion": True,
        "support devices": True,
    }
    assert last.report.findings == "neumonía bilateral ."


def test_a_folder_of_images_takes_its_patients_from_folders(tree: Any) -> None:
    settings = {**tree("cxr-folder"), "patient": "folder", "headless": "impression"}
    pairs = {pair.id.partition("/")[2]: pair for pair in _pairs({**settings, "name": "n"})}
    assert pairs["Müller 1/café é"].patient_id == pairs["Müller 1/other"].patient_id == "Müller 1"
    assert pairs["b/plain"].report.impression == "The lungs are clear.\n\nNo effusion."
    latin = _pairs({**settings, "encoding": "latin-1", "name": "n"})
    assert "Épanchement." in [pair.report.text for pair in latin]
    with pytest.raises(DataError, match="unknown; try utf-8 or latin-1"):
        _pairs({**settings, "encoding": "klingon"})


@pytest.mark.parametrize("name", ["mimic-cxr", "openi"])
def test_examples_are_settings(name: str) -> None:
    path = Path(__file__).parents[2] / "examples" / f"{name}.yaml"
    assert load_settings(path).read.layout == name


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_irregular_report_file_is_dropped(tmp_path: Path, kind: str) -> None:
    """A pipe would never end, and neither would a device."""
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(image(number))
    (tmp_path / "1.txt").write_text("IMPRESSION: Clear.")
    path = tmp_path / "2.txt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"Clear. " * 200_000)
    settings = {"layout": "cxr-folder", "root": tmp_path, "license": "none", "access": "public"}
    source = _SETTINGS.validate_python(settings)
    pairs = {pair.id: pair for pair in open_reader(source, RunContext(seed=0))}
    assert len(pairs) == 2
    assert {pair.drop.reason if pair.drop else None for pair in pairs.values()} <= {
        None,
        "undecodable_report",
        "missing_report",
    }
    assert sum(pair.drop is None for pair in pairs.values()) == 1
