"""`pairaug evaluate zero-shot` as a whole: results and warnings."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pairaug.cli import app
from pairaug.clip.encoders import open_encoder
from pairaug.errors import DataError, SettingsError
from pairaug.evaluate.data.settings import PhantomData, TableData
from pairaug.evaluate.zero_shot import ZeroShotSettings, findings_probabilities, run_zero_shot
from pairaug.metrics import macro_auroc
from pairaug.phantom.findings import LABELS, label_vector
from pairaug.phantom.study import sample_study
from support.original_layouts import generated, openai_clip_shapes, openai_tokenizer, write_folder
from support.tiny_clip import write_clip

DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _run(out: Path, **settings: Any) -> dict[str, Any]:
    given = {"device": "cpu", "num_resamples": 100, **settings}
    path = run_zero_shot(ZeroShotSettings.model_validate(given), out)
    return {**json.loads(path.read_text()), "table": path.with_suffix(".txt").read_text()}


@pytest.fixture(scope="module")
def phantoms() -> PhantomData:
    return PhantomData(num_patients=60, seed=5, size=32)


def test_program_equals_its_parts(
    tiny_scorer_folder: Path, phantoms: PhantomData, tmp_path: Path
) -> None:
    content = _run(tmp_path, models=[str(tiny_scorer_folder)], data=phantoms)
    studies = [sample_study(5, index) for index in range(60)]
    encoder = open_encoder(tiny_scorer_folder, batch_size=32)
    images = [study.render(32).image for study in studies]
    labels = np.stack([label_vector(study.findings) for study in studies])
    expected = macro_auroc(labels, findings_probabilities(encoder, images, LABELS))
    assert content["macro"]["all"]["auroc"]["value"] == pytest.approx(expected.value, abs=1e-9)
    assert list(content["findings"]) == list(LABELS)
    assert content["macro"]["CheXpert five"]["num_findings"] == 2
    assert (content["num_images"], content["num_patients"]) == (60, 60)


def test_record_for_reproduction(
    tiny_scorer_folder: Path, phantoms: PhantomData, tmp_path: Path
) -> None:
    content = _run(
        tmp_path,
        models=[str(tiny_scorer_folder)],
        data=phantoms,
        findings=["Edema"],
        templates=[["{}", "no {}"], ["large {}", "small {}"]],
    )
    encoder = open_encoder(tiny_scorer_folder)
    assert content["models"] == [
        {
            "model": tiny_scorer_folder.name,
            "weights_sha256": encoder.weights_sha256,
            "transform_and_tokenizer_sha256": encoder.fingerprint,
        }
    ]
    assert content["captions"] == {
        "edema": {"positive": ["edema", "large edema"], "negative": ["no edema", "small edema"]}
    }
    assert content["intervals"] == {"resamples": 100, "level": 0.95, "resampled": "patients"}
    assert ZeroShotSettings.model_validate(content["settings"]).data == phantoms
    assert "edema" in content["table"]


def test_checkpoints_are_averaged_by_probability(
    tiny_scorer_folder: Path, phantoms: PhantomData, tmp_path: Path
) -> None:
    other = write_clip(tmp_path / "other", seed=1)
    folders = [str(tiny_scorer_folder), str(other)]
    content = _run(tmp_path / "out", models=folders, data=phantoms)
    studies = [sample_study(5, index) for index in range(60)]
    images = [study.render(32).image for study in studies]
    labels = np.stack([label_vector(study.findings) for study in studies])
    each = [
        findings_probabilities(open_encoder(Path(folder), batch_size=32), images, LABELS)
        for folder in folders
    ]
    expected = macro_auroc(labels, np.mean(each, axis=0)).value
    assert content["macro"]["all"]["auroc"]["value"] == pytest.approx(expected, abs=1e-9)
    alone = [model["macro_auroc"]["value"] for model in content["models"]]
    assert alone == pytest.approx([macro_auroc(labels, scores).value for scores in each])


def test_cached_vectors(
    tiny_scorer_folder: Path, phantoms: PhantomData, tmp_path: Path, monkeypatch
) -> None:
    given = {"models": [str(tiny_scorer_folder)], "data": phantoms, "cache": tmp_path / "kept"}
    first = _run(tmp_path / "a", **given)
    assert len(list((tmp_path / "kept").glob("features-*.npz"))) == 1

    def no_images(*_: object) -> None:
        raise AssertionError("an image was asked for")

    monkeypatch.setattr("pairaug.phantom.study.Study.render", no_images)
    second = _run(tmp_path / "b", **given)
    assert second["findings"] == first["findings"]
    # Captions may change without encoding an image again; other weights may not.
    other = _run(tmp_path / "c", **given, own_templates={"edema": [["{}", "the lungs are clear"]]})
    assert other["findings"]["edema"] != first["findings"]["edema"]
    with pytest.raises(AssertionError, match="an image was asked for"):
        _run(tmp_path / "d", **given | {"models": [str(write_clip(tmp_path / "m", seed=1))]})


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"\x93NUMPY\x01\x00", None])
def test_damaged_cached_vectors(
    tiny_scorer_folder: Path,
    tmp_path: Path,
    content: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = PhantomData(num_patients=4, size=32, seed=5)
    given = {"models": [str(tiny_scorer_folder)], "data": data, "cache": tmp_path / "kept"}
    first = _run(tmp_path / "a", **given)
    (path,) = (tmp_path / "kept").glob("features-*.npz")
    if content is None:
        arrays = dict(np.load(path))
        np.savez(path, **{**arrays, "labels": arrays["labels"][1:]})
    else:
        path.write_bytes(content)
    again = _run(tmp_path / "b", **given)
    assert "are damaged and are computed again" in caplog.text
    assert again["findings"] == first["findings"]


def _table(folder: Path, images: list[np.ndarray], labels: list[str]) -> TableData:
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    rows = [f"{index}.png,p{index // 2},{label}" for index, label in enumerate(labels)]
    (folder / "labels.csv").write_text("\n".join(["file,patient,edema,hernia", *rows]) + "\n")
    return TableData(
        table=folder / "labels.csv",
        patient_id="patient",
        columns={"edema": "edema", "hernia": "hernia"},
    )


def test_inverted_and_one_class_findings(tmp_path: Path) -> None:
    """The bundled scorer on phantoms whose edema is written down the wrong way round."""
    studies = [sample_study(5, index) for index in range(60)]
    images = [np.rint(study.render(128).image * 255).astype(np.uint8) for study in studies]
    column = LABELS.index("edema")
    swapped = [f"{int(1 - label_vector(study.findings)[column])},0" for study in studies]
    content = _run(tmp_path / "out", data=_table(tmp_path, images, swapped))
    edema, hernia = content["findings"]["edema"], content["findings"]["hernia"]
    assert edema["is_inverted"]
    assert edema["auroc"]["high"] < 0.5
    assert "Below one half by more than the interval: edema." in content["table"]
    assert not hernia["is_evaluable"]
    assert hernia["auroc"]["value"] is None
    assert "Not evaluable and left out of means" in content["table"]
    assert content["macro"]["all"]["num_findings"] == 1
    assert content["macro"]["all"]["auroc"]["value"] == edema["auroc"]["value"]
    assert content["num_patients"] == 30
    # Asked for the right way round, it is found.
    turned = _run(
        tmp_path / "turned",
        data=_table(tmp_path, images, swapped),
        own_templates={"edema": [["no {}", "{}"]]},
    )
    assert turned["findings"]["edema"]["auroc"]["low"] > 0.5


def test_images_that_cannot_be_used_are_counted(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20, 20), dtype=np.uint8) for _ in range(6)]
    images[1][:] = 7
    data = _table(tmp_path, images, ["1,0", "0,1"] * 3)
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "4.png").unlink()
    content = _run(tmp_path / "out", models=[str(tiny_scorer_folder)], data=data)
    assert content["images_left_out"] == {
        "image_constant": 1,
        "missing_image": 1,
        "unreadable_image": 1,
    }
    assert content["num_images"] == 3
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"no image of the data can be used \(missing_image 6\)"):
        _run(tmp_path / "out", models=[str(tiny_scorer_folder)], data=data)


def test_conflicting_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="same caption for present and absent"):
        _run(tmp_path, templates=[["{}", "{}"]])
    with pytest.raises(ValueError, match="list_column, not both"):
        TableData(table=tmp_path / "t.csv")


def test_chexzero_weights_evaluate(tmp_path: Path, phantoms: PhantomData) -> None:
    tokenizer = openai_tokenizer()
    weights = generated(openai_clip_shapes(1, 1, vocabulary=len(tokenizer)))
    folder = write_folder(tmp_path / "chexzero", "chexzero", weights, tokenizer)
    few = phantoms.model_copy(update={"num_patients": 12})
    content = _run(tmp_path / "out", models=[str(folder)], data=few, findings=["edema"])
    assert content["findings"]["edema"]["num_positive"] > 0
    assert 0 <= content["findings"]["edema"]["auroc"]["value"] <= 1


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_here")
def test_the_commands(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    data = "data: {layout: phantom, num_patients: 40, size: 32}\ndevice: cpu\nnum_resamples: 100\n"
    Path("many.yaml").write_text(f"models: [{tiny_scorer_folder}]\n{data}")
    Path("one.yaml").write_text(f"model: {tiny_scorer_folder}\n{data}")
    for name, config, first in (
        ("zero-shot", "many.yaml", "Zero-shot on 40 images of 40 patients (phantom), one model"),
        ("linear-probe", "one.yaml", "Linear probe on "),
        ("retrieval", "one.yaml", "Retrieval among 40 pairs of 40 patients (phantom)"),
    ):
        result = CliRunner().invoke(app, ["evaluate", name, config, "--out", "out"])
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(first)
        assert result.stdout.rstrip().endswith(f"out/{name}.json")
        assert Path("out", f"{name}.txt").read_text().startswith(first)
        wrong = CliRunner().invoke(app, ["evaluate", name, config, "--set", "sed=1"])
        assert wrong.exit_code == 1
        assert "unknown setting sed in --set; did you mean seed?" in wrong.stderr


@pytest.mark.dataset
def test_real_images_and_their_labels(tmp_path: Path) -> None:
    """Images of ChestX-ray14 and of a COVID-19 collection; whatever the numbers are."""
    table = DATA / "cxr_labels" / "labels.csv"
    if not table.exists():
        pytest.skip(f"{table} is not here")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    data = TableData(table=table, patient_id="patient_id", list_column="labels")
    content = _run(tmp_path, data=data)
    assert content["num_images"] == len(rows)
    assert content["num_patients"] == len({row["patient_id"] for row in rows})
    listed = sum("Effusion" in row["labels"].split("|") for row in rows)
    assert content["findings"]["pleural effusion"]["num_positive"] == listed
    low, value, high = (content["macro"]["all"]["auroc"][name] for name in ("low", "value", "high"))
    assert 0.3 < low < value < high < 0.7  # a scorer of simulated images knows nothing of real ones
