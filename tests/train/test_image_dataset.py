from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pairaug.errors import DataError, SettingsError
from pairaug.imaging.io import png_ref
from pairaug.manifest import fingerprint, write_part
from pairaug.pair import FINDINGS, Branch, ImageRef, Pair, Report
from pairaug.phantom.findings import LABELS, label_vector
from pairaug.phantom.study import sample_study
from pairaug.train import image_dataset
from pairaug.train.image_dataset import ImageDatasetSettings, open_dataset, render_chunk


def phantoms(**changes) -> ImageDatasetSettings:
    values = {
        "num_patients": 3,
        "num_validation": 2,
        "num_reports": 2,
        "size": 32,
        "num_workers": 1,
    }
    return ImageDatasetSettings(**{**values, **changes})


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renders here instead of in other processes, which take seconds to start."""

    class Here:
        def __init__(self, *_, **__) -> None: ...
        def __enter__(self):
            return self

        def __exit__(self, *_) -> None: ...
        def map(self, function, spans):
            return map(function, spans)

    monkeypatch.setattr(image_dataset, "open_workers", Here)
    monkeypatch.setattr(image_dataset, "_CHUNK", 2)


def test_images_are_the_phantoms_with_their_reports_and_labels(in_process, tmp_path: Path):
    dataset = open_dataset(phantoms(seed=7), tmp_path)
    assert dataset.images.shape == (5, 32, 32)
    assert dataset.num_train == 3
    assert dataset.validation.tolist() == [3, 4]
    assert dataset.label_names == LABELS
    study = sample_study(7, 3)
    np.testing.assert_array_equal(dataset.images[3], np.rint(study.render(32).image * 255))
    np.testing.assert_array_equal(dataset.labels[3], label_vector(study.findings))
    assert dataset.reports[3][0] == study.text
    findings, impression = study.report(1)
    assert dataset.reports[3][1] == f"{impression} {findings}".strip()


def test_another_process_renders_the_same(tmp_path: Path):
    dataset = open_dataset(phantoms(num_patients=1, num_validation=2), tmp_path)
    expected, lines = render_chunk((0, 3), seed=1, size=32, num_reports=2)
    np.testing.assert_array_equal(dataset.images, expected)
    assert (tmp_path / "cache" / "reports.jsonl").read_text().splitlines() == lines


def test_interrupted_cache_is_resumed(in_process, tmp_path: Path, monkeypatch):
    whole = open_dataset(phantoms(), tmp_path / "a")
    asked: list[tuple[int, int]] = []

    def watched(span, **settings):
        asked.append(span)
        if span[0] == 2 and len(asked) == 2:
            raise KeyboardInterrupt
        return render_chunk(span, **settings)

    monkeypatch.setattr(image_dataset, "render_chunk", watched)
    with pytest.raises(KeyboardInterrupt):
        open_dataset(phantoms(), tmp_path / "b")
    with (tmp_path / "b" / "cache" / "reports.jsonl").open("a") as stream:
        stream.write('{"reports": ["cut o')
    carried_on = open_dataset(phantoms(), tmp_path / "b")
    assert asked == [(0, 2), (2, 4), (2, 4), (4, 5)]
    np.testing.assert_array_equal(whole.images, carried_on.images)
    assert whole.reports == carried_on.reports
    assert whole.fingerprint == carried_on.fingerprint


def test_a_cache_of_other_images_is_refused(in_process, tmp_path: Path):
    open_dataset(phantoms(), tmp_path)
    with pytest.raises(SettingsError, match=r"holds images of other settings \(seed changed\)"):
        open_dataset(phantoms(seed=2), tmp_path)


def pair(name: str, split: str = "train", **changes) -> Pair:
    image = png_ref(np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(40, 40))
    values = {
        "branch": Branch.REAL,
        "patient_id": name,
        "report": Report(findings="Lungs are clear.", impression="Normal."),
        "split": split,
        "image": image,
        "labels": {"edema": True, "cardiomegaly": False, "pneumonia": None},
    }
    return Pair(id=name, **{**values, **changes})


def write_run(folder: Path, pairs: list[Pair], stage: str = "read") -> Path:
    write_part(folder / stage, 0, pairs, fingerprint({"stage": stage}))
    return folder


def test_run_gives_kept_pairs_validation_last(tmp_path: Path, caplog):
    missing = ImageRef(path=str(tmp_path / "none.png"))
    run = write_run(
        tmp_path / "run",
        [
            pair("v", split="validation"),
            pair("a"),
            pair("t", split="test"),
            pair("gone").dropped("read", "image_missing"),
            pair("no-image", image=None),
            pair("unreadable", image=missing),
            pair("b", report=Report(findings="", impression="Edema.")),
        ],
    )
    dataset = open_dataset(ImageDatasetSettings(layout="run", run=run, size=32), tmp_path)
    assert dataset.images.shape == (3, 32, 32)
    assert (dataset.num_train, dataset.num_validation) == (2, 1)
    assert dataset.reports == (
        ("Normal. Lungs are clear.",),
        ("Edema.",),
        ("Normal. Lungs are clear.",),
    )
    assert dataset.label_names == FINDINGS
    first = dict(zip(FINDINGS, dataset.labels[0], strict=True))
    assert first["edema"] == 1.0
    assert first["cardiomegaly"] == 0.0
    assert np.isnan(first["pneumonia"])
    assert "1 of 4 images cannot be read" in caplog.text


def test_the_last_stage_of_a_run_is_taken(tmp_path: Path):
    run = write_run(tmp_path / "run", [pair("a"), pair("b"), pair("c")])
    write_run(run, [pair("a"), pair("b"), pair("c").dropped("prune", "image_report")], "prune")
    dataset = open_dataset(ImageDatasetSettings(layout="run", run=run, size=32), tmp_path)
    assert dataset.num_train == 2
    assert dataset.num_validation == 0


@pytest.mark.parametrize(
    ("branches", "num_train"), [(None, 2), (("real", "inter"), 3), (("intra",), 2)]
)
def test_run_gives_real_pairs_by_default(
    tmp_path: Path, branches: tuple[str, ...] | None, num_train: int
):
    synthetic = {"branch": Branch.INTER, "parent_id": "a", "source_patient_id": "p"}
    edited = {**synthetic, "branch": Branch.INTRA}
    pairs = [
        *(pair("a"), pair("b"), pair("v", split="validation")),
        pair("a~inter-0", **synthetic),
        pair("v~inter-0", **synthetic, split="validation"),
        *(pair("a~intra-0", **edited), pair("b~intra-0", **edited)),
    ]
    run = write_run(tmp_path / "run", pairs)
    given = {} if branches is None else {"branches": branches}
    dataset = open_dataset(ImageDatasetSettings(layout="run", run=run, size=32, **given), tmp_path)
    # Validation pairs are real, whatever is trained on.
    assert (dataset.num_train, dataset.num_validation) == (num_train, 1)


def test_rejects_unusable_runs(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"needs data\.run"):
        open_dataset(ImageDatasetSettings(layout="run"), tmp_path / "a")
    with pytest.raises(DataError, match="is it a run folder"):
        open_dataset(ImageDatasetSettings(layout="run", run=tmp_path / "nothing"), tmp_path / "b")
    run = write_run(tmp_path / "run", [pair("a"), pair("v", split="validation")])
    with pytest.raises(DataError, match="has 1 living train pairs with image and report; need 2"):
        open_dataset(ImageDatasetSettings(layout="run", run=run), tmp_path / "c")


def test_cache_records_its_content(in_process, tmp_path: Path):
    open_dataset(phantoms(cache=tmp_path / "shared"), tmp_path / "out")
    origin = json.loads((tmp_path / "shared" / "cache.json").read_text())
    assert origin == {
        "layout": "phantom",
        "seed": 1,
        "num_reports": 2,
        "size": 32,
        "num_images": 5,
    }


def test_reworded_reports_come_after_the_others(in_process, tmp_path: Path):
    dataset = open_dataset(phantoms(seed=7, num_reworded=2), tmp_path)
    study = sample_study(7, 3)
    assert dataset.reports[3][2:] == (study.reworded(0), study.reworded(1))
    open_dataset(phantoms(cache=tmp_path / "shared"), tmp_path / "out")
    with pytest.raises(
        SettingsError, match=r"holds images of other settings \(num_reworded changed"
    ):
        open_dataset(phantoms(num_reworded=2, cache=tmp_path / "shared"), tmp_path / "out")
