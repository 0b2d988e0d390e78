"""The data-quality table counts what is in the parts, and names no study unless it is asked to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pairaug.cli import app
from pairaug.config import as_yaml, load_settings
from pairaug.imaging.io import encode_png
from pairaug.manifest import part_paths, write_part
from pairaug.pair import Branch, Drop, ImageRef, Pair, Report
from pairaug.run import RunFolder, quality
from pairaug.run.doctor import diagnose
from pairaug.run.quality import assess, hash_id, list_unusable
from pairaug.summary.page import load_facts
from support.dicom_images import dataset_of, saved

ROWS = """id,file,patient,findings,impression,view,split
a,a.png,p1,The heart is enlarged. No pleural effusion.,Cardiomegaly.,PA,train
b,b.png,p1,Lungs are clear.,,lateral,train
c,a.png,p2,,Small left pleural effusion.,PA,test
d,d.dcm,p3,No pneumothorax.,,AP,val
e,gone.png,p4,Clear.,Clear.,,train
f,b.png,p5,,NaN,PA,train
SECRET,../x.png,p6,Clear.,,PA,train
h,h.dcm,p7,Clear.,,PA,train
"""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality")
    (folder / "t.csv").write_text(ROWS)
    for seed, name in enumerate(("a.png", "b.png")):
        image = np.random.default_rng(seed).random((20, 20))
        (folder / name).write_bytes(encode_png(image))
    (folder / "d.dcm").write_bytes(saved(dataset_of(BurnedInAnnotation="YES")))
    (folder / "h.dcm").write_bytes(saved(dataset_of(np.zeros((80, 60), np.uint16))))
    columns = "{patient_id: patient, view: view, split: split}"
    read = f"{{layout: table, table: {folder / 't.csv'}, columns: {columns}}}"
    (folder / "run.yaml").write_text(f"preset: demo\npart_size: 3\nread: {read}\n")
    done = CliRunner().invoke(app, ["read", str(folder)])
    assert done.exit_code == 0, done.output
    (folder / "said.txt").write_text(done.output)
    return folder


def test_everything_is_counted(run_folder: Path) -> None:
    found = load_facts(run_folder)["quality"]
    stated = found.pop("stated")
    assert found == {
        "records": 8,
        "studies": 8,
        "usable": 4,
        "images": 4,
        "text_only": 0,
        "missing_images": 1,
        "unreadable_images": 1,
        "duplicate_images": 1,
        "images_in_two_splits": 1,
        "no_findings": 2,
        "no_impression": 5,
        "no_text": 1,
        "not_english": 0,
        "burnt_in": 1,
        "shallow": 0,
        "ignored_headers": 0,
        "patients": {"train": 1, "validation": 1, "test": 1},
        "views": {"PA": 5, "lateral": 1, "AP": 1, "not stated": 1},
        "words": {"least": 2, "5 %": 2, "median": 3, "95 %": 8, "most": 8},
        "stated_by": "report",
        "dropped": {
            "missing_image": 1,
            "empty_report": 1,
            "outside_root": 1,
            "image_constant": 1,
        },
    }
    assert stated["cardiomegaly"]["present"] == 1
    assert stated["pleural effusion"] == {"present": 1, "absent": 1, "not stated": 2}
    assert stated["pneumothorax"]["absent"] >= 1
    assert stated["fracture"] == {"present": 0, "absent": 0, "not stated": 4}


def test_the_terminal_shows_it_with_ids_hashed_unless_asked(run_folder: Path) -> None:
    said = (run_folder / "said.txt").read_text()
    assert "data quality" in said
    assert "burnt-in annotation" in said
    assert "all stored values are 0" in said
    assert hash_id("t/SECRET") in said
    assert "t/SECRET" not in said
    shown = CliRunner().invoke(app, ["read", str(run_folder), "--show-ids"])
    assert "t/SECRET" in shown.output
    assert "SECRET" not in json.dumps(load_facts(run_folder)["quality"])


def test_how_parts_are_cut_changes_nothing(run_folder: Path, tmp_path: Path) -> None:
    from pairaug.manifest import read_pairs

    write_part(tmp_path, 0, read_pairs(run_folder / "read"), "0" * 64, is_last=True)
    assert assess(part_paths(tmp_path)) == assess(part_paths(run_folder / "read"))


def _part(folder: Path, pairs: list[Pair]) -> list[Path]:
    write_part(folder, 0, pairs, "0" * 64, is_last=True)
    return part_paths(folder)


def _pair(name: str, **more: object) -> Pair:
    return Pair(f"t/{name}", Branch.REAL, f"p{name}", Report("Clear."), **more)  # type: ignore[arg-type]


def test_labels_of_the_source_go_before_its_text(tmp_path: Path) -> None:
    labels = [{"edema": True}, {"edema": False}, {}]
    pairs = [_pair(str(place), labels=each) for place, each in enumerate(labels)]
    found = assess(_part(tmp_path, pairs))
    assert found.stated_by == "labels"
    assert found.stated["edema"] == {"present": 1, "absent": 1, "not stated": 1}
    assert found.stated["pneumothorax"]["not stated"] == 3
    assert found.text_only == 3


def test_studies_of_several_images_are_counted_once(tmp_path: Path) -> None:
    pairs = [_pair(str(place)).with_trace("read", study=f"s{place // 2}") for place in range(5)]
    found = assess(_part(tmp_path, pairs))
    assert (found.records, found.studies) == (5, 3)


def test_nothing_usable_is_no_crash(tmp_path: Path) -> None:
    pairs = [_pair(str(place), drop=Drop("read", "missing_image")) for place in range(9)]
    parts = _part(tmp_path, pairs)
    found = assess(parts)
    assert (found.usable, found.words, sum(found.patients.values())) == (0, {}, 0)
    assert len(list(list_unusable(parts, 4, show_ids=True))) == 4


def test_many_views_are_added_up(tmp_path: Path) -> None:
    words = ["PA", "AP", "left", "right", "lateral"]
    views = [f"{words[place % 4]} {words[place // 4 % 5]}" for place in range(40)]
    pairs = [_pair(str(n)).with_trace("read", view=view) for n, view in enumerate(views)]
    found = assess(_part(tmp_path, pairs))
    assert len(found.views) == quality._MAX_VIEWS + 1
    assert sum(found.views.values()) == 40


def test_equal_images_are_found_whatever_their_paths(tmp_path: Path) -> None:
    images = [ImageRef(path=f"/{n}.png", sha256=f"{n % 3:064x}"[::-1]) for n in range(7)]
    found = assess(_part(tmp_path, [_pair(str(n), image=image) for n, image in enumerate(images)]))
    assert (found.images, found.duplicate_images, found.images_in_two_splits) == (7, 4, 0)


def test_the_summary_of_a_run_shows_it(finished: RunFolder) -> None:
    facts = load_facts(finished.path)
    assert facts["quality"]["records"] == facts["counts"]["read"]["created"]
    assert facts["quality"]["stated_by"] == "labels"
    page = (finished.path / "summary.html").read_text(encoding="utf-8")
    section = page.partition('<section id="data">')[2].partition("</section>")[0]
    assert "<h2>Source data</h2>" in section
    for finding in facts["quality"]["stated"]:
        assert f"<td>{finding}</td>" in section


_REAL_IMAGES = Path(__file__).parents[3] / "shared" / "data" / "covid_cxr_pairs"


@pytest.mark.dataset
@pytest.mark.skipif(not _REAL_IMAGES.is_dir(), reason="the images are not beside the repository")
def test_all_real_images_are_counted(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "real-images.yaml"
    settings = load_settings(
        example, [f"read.table={_REAL_IMAGES / 'reports.csv'}", f"read.root={_REAL_IMAGES}"]
    )
    (tmp_path / "run.yaml").write_text(as_yaml(settings))
    done = CliRunner().invoke(app, ["read", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = load_facts(tmp_path)["quality"]
    assert (found["records"], found["usable"], found["images"]) == (171, 171, 171)
    assert sum(found["patients"].values()) == 101
    assert found["images_in_two_splits"] == 0
    assert found["dropped"] == {}


def test_reports_in_another_language_are_counted_and_not_read(tmp_path: Path) -> None:
    foreign = [
        Pair(f"t/{place}", Branch.REAL, f"p{place}", Report(text))
        for place, text in enumerate(["Kein Pneumothorax.", "Derrame pleural derecho."])
    ]
    english = Pair("t/e", Branch.REAL, "e", Report("No effusion. Pneumothorax."))
    found = assess(_part(tmp_path, [*foreign, english]))
    assert (found.usable, found.not_english) == (3, 2)
    assert found.stated["pneumothorax"] == {"present": 1, "absent": 0, "not stated": 2}
    assert found.stated["pleural effusion"] == {"present": 0, "absent": 1, "not stated": 2}


def test_labels_of_the_source_are_used_whatever_the_language(tmp_path: Path) -> None:
    labels = {"pleural effusion": True}
    pair = Pair("t/0", Branch.REAL, "p", Report("Derrame pleural derecho."), labels=labels)
    found = assess(_part(tmp_path, [pair]))
    assert (found.stated_by, found.not_english) == ("labels", 1)
    assert found.stated["pleural effusion"]["present"] == 1


def _table_of(folder: Path, texts: list[str]) -> Path:
    lines = [f"r{place},{text}" for place, text in enumerate(texts)]
    (folder / "t.csv").write_text("\n".join(["id,findings", *lines]), encoding="utf-8")
    read = (
        f"{{layout: table, table: {folder / 't.csv'}, columns: {{file: null, impression: null}}}}"
    )
    (folder / "run.yaml").write_text(f"preset: demo\nread: {read}\n")
    return folder


@pytest.mark.parametrize(("num_german", "is_ok"), [(20, False), (5, True), (0, True)])
def test_doctor_and_terminal_say_that_reports_are_not_english(
    tmp_path: Path, num_german: int, is_ok: bool
) -> None:
    texts = ["Kein Pleuraerguss. Kein Pneumothorax."] * num_german
    folder = _table_of(tmp_path, texts + ["No effusion."] * (20 - num_german))
    (check,) = (each for each in diagnose(folder / "run.yaml") if each.name == "language")
    assert check.is_ok is is_ok
    said = f"{num_german} of 20 reports are not in English: "
    assert (said in check.message) is bool(num_german)
    done = CliRunner().invoke(app, ["read", str(folder)])
    assert done.exit_code == 0, done.output
    assert (said in done.output) is bool(num_german)


def test_what_is_no_view_is_not_printed_as_one(tmp_path: Path) -> None:
    views = ["PA", "AP_horizontal", "10000032", "Small effusion on the left.", "Miller"]
    pairs = [_pair(str(n)).with_trace("read", view=view) for n, view in enumerate(views)]
    found = assess(_part(tmp_path, pairs))
    assert found.views == {"PA": 1, "AP_horizontal": 1, "others": 3}
