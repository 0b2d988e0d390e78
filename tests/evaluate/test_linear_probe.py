"""Linear probing: the layer against scikit-learn, few labels with both classes, patients apart."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pairaug.errors import DataError
from pairaug.evaluate.data.settings import PhantomData, TableData
from pairaug.evaluate.few_labels import patients_for
from pairaug.evaluate.linear_head import fit_head
from pairaug.evaluate.linear_probe import LinearProbeSettings, run_linear_probe
from pairaug.metrics import seed_metrics
from pairaug.readers import SplitFractions
from support.tiny_clip import write_image_model

DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _cases(num: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(num, 6)).astype(np.float32)
    labels = (features @ rng.normal(size=(6, 3)) + rng.normal(size=(num, 3)) > 0.5).astype(float)
    return features, labels


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_the_layer_is_that_of_scikit_learn_label_by_label(l2: float) -> None:
    features, labels = _cases()
    labels[np.random.default_rng(1).random(labels.shape) < 0.3] = np.nan
    head = fit_head(features, labels, l2, seed=0)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    for column in range(3):
        stated = ~np.isnan(labels[:, column])
        # Its penalty is |w|^2 / (2 C), beside the sum over cases and not their mean.
        other = LogisticRegression(C=1 / (l2 * stated.sum()), tol=1e-8, max_iter=1000)
        other.fit(standard[stated], labels[stated, column])
        assert head.weight[column] == pytest.approx(other.coef_[0], abs=2e-3)
        assert head.logits(features)[:, column] == pytest.approx(
            other.decision_function(standard), abs=1e-2
        )


def test_start_of_the_layer_does_not_matter() -> None:
    features, labels = _cases()
    one, other = (fit_head(features, labels, 0.1, seed).weight for seed in (0, 1))
    assert np.abs(one - other).max() < 1e-4


def test_few_labels_have_both_classes_and_whole_patients() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(rng.permutation(100), 3)
    labels = np.zeros((300, 4))
    labels[:, 0] = np.repeat(rng.random(100) < 0.5, 3)
    labels[7, 1] = 1  # one image of all
    labels[:, 2] = 1  # no image without it
    labels[:, 3] = np.nan
    for seed in range(10):
        rows = patients_for(0.01, labels, patients, seed)
        assert len(np.unique(patients[rows])) <= 3
        assert rows.sum() == 3 * len(np.unique(patients[rows]))
        assert labels[rows, 1].max() == 1
        assert set(labels[rows, 0]) == {0, 1}
        tenth = patients_for(0.1, labels, patients, seed)
        assert 10 <= len(np.unique(patients[tenth])) <= 12
        assert not (rows & ~tenth).any()
        assert patients_for(1.0, labels, patients, seed).all()
    chosen = {tuple(patients_for(0.05, labels, patients, seed)) for seed in range(10)}
    assert len(chosen) == 10


def test_metrics_over_seeds_are_means_with_deviations() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 2)) < 0.4).astype(float)
    models = [labels + lift * rng.normal(size=(80, 2)) for lift in (0.5, 1.0, 1.5)]
    findings, macros = seed_metrics(labels, models, {"all": (0, 1)})
    alone = [seed_metrics(labels, [model], {"all": (0, 1)}) for model in models]
    values = [one[0][1].auroc.mean.value for one in alone]
    assert findings[1].auroc.mean.value == pytest.approx(np.mean(values))
    assert findings[1].auroc.deviation == pytest.approx(np.std(values, ddof=1))
    assert math.isnan(alone[0][0][0].auroc.deviation)
    assert macros["all"].auroc.mean.value == pytest.approx(
        np.mean([each.auroc.mean.value for each in findings])
    )
    assert macros["all"].auroc.mean.high <= 1.0


def _run(out: Path, **settings: Any) -> dict[str, Any]:
    given = {"device": "cpu", "num_resamples": 100, "label_fractions": (0.1, 1.0), **settings}
    path = run_linear_probe(LinearProbeSettings.model_validate(given), out)
    return {**json.loads(path.read_text()), "table": path.with_suffix(".txt").read_text()}


@pytest.fixture(scope="module")
def phantoms() -> PhantomData:
    return PhantomData(num_patients=150, seed=5, size=64, labels="chexpert")


def test_more_labels_help(
    phantoms: PhantomData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = ["cardiomegaly", "pleural effusion", "edema"]
    given = {"data": phantoms, "findings": findings, "num_seeds": 2}
    content = _run(tmp_path, **given)
    few, all_of_them = content["label_fractions"]
    assert [few["fraction"], all_of_them["fraction"]] == [0.1, 1.0]
    lots = all_of_them["macro"]["all"]["auroc"]
    assert lots["low"] > 0.75
    assert lots["value"] > few["macro"]["all"]["auroc"]["value"]
    assert all_of_them["num_patients"] == [content["num_patients"]["train"]] * 2
    # The same patients from another start: the problem has one solution.
    assert lots["deviation"] < 1e-3
    assert few["macro"]["all"]["auroc"]["deviation"] > lots["deviation"]
    assert sum(content["num_patients"].values()) == 150
    assert "10 % of labels" in content["table"]

    def no_images(*_: object) -> None:
        raise AssertionError("an image was asked for")

    monkeypatch.setattr("pairaug.phantom.study.Study.render", no_images)
    again = _run(tmp_path, **given)
    assert again["label_fractions"] == content["label_fractions"]
    # Another division of patients is another cache: it never mixes.
    with pytest.raises(AssertionError, match="an image was asked for"):
        _run(tmp_path, **given, split=SplitFractions(seed=1))


def test_image_only_model_with_test_data(tmp_path: Path) -> None:
    folder = write_image_model(tmp_path / "images")
    content = _run(
        tmp_path,
        model=str(folder),
        data=PhantomData(num_patients=30, size=32),
        test_data=PhantomData(num_patients=20, seed=9, size=32),
        l2=0.1,
        num_seeds=1,
        split=SplitFractions(validation_fraction=0.0, test_fraction=0.0),
        label_fractions=(1.0,),
        findings=("cardiomegaly", "left pneumothorax"),
    )
    assert content["num_images"] == {"train": 30, "validation": 0, "test": 20}
    assert content["label_fractions"][0]["l2"] == [0.1]
    assert content["label_fractions"][0]["macro"]["all"]["auroc"]["deviation"] is None


def test_split_without_images(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    few = {"model": str(tiny_scorer_folder), "data": PhantomData(num_patients=6, size=32)}
    with pytest.raises(DataError, match="no images of the split validation; set l2"):
        _run(tmp_path, **few, split=SplitFractions(validation_fraction=0.0, test_fraction=0.5))
    with pytest.raises(DataError, match="no images of the split train; see own_splits"):
        _run(tmp_path, **few, own_splits=True)


def test_findings_missing_in_training(
    phantoms: PhantomData, tiny_scorer_folder: Path, tmp_path: Path
) -> None:
    content = _run(
        tmp_path,
        model=str(tiny_scorer_folder),
        data=PhantomData(num_patients=4, size=32),
        test_data=phantoms.model_copy(update={"labels": "by-side", "size": 32}),
        split=SplitFractions(validation_fraction=0.0, test_fraction=0.0),
        l2=1.0,
        num_seeds=1,
        label_fractions=(1.0,),
    )
    values = {
        name: each["auroc"]["value"]
        for name, each in content["label_fractions"][0]["findings"].items()
    }
    unseen = [name for name, value in values.items() if value is None]
    assert 0 < len(unseen) < 15
    assert f"in training or in the test): {', '.join(unseen)}." in content["table"]


@pytest.mark.dataset
def test_real_images_and_their_labels(tmp_path: Path) -> None:
    """Images of ChestX-ray14 and of a COVID-19 collection; whatever the numbers are."""
    table = DATA / "cxr_labels" / "labels.csv"
    if not table.exists():
        pytest.skip(f"{table} is not here")
    with table.open(newline="", encoding="utf-8") as file:
        patients = {row["patient_id"] for row in csv.DictReader(file)}
    data = TableData(table=table, patient_id="patient_id", list_column="labels")
    content = _run(tmp_path, data=data, label_fractions=(0.01, 0.1, 1.0))
    assert sum(content["num_patients"].values()) == len(patients)
    few, _, lots = (fraction["macro"]["all"]["auroc"] for fraction in content["label_fractions"])
    assert few["low"] < few["value"] < few["high"]
    assert lots["value"] > few["value"]
