"""The findings classifier: the right outputs in the right order, whatever the folder's order."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import ResNetForImageClassification

from pairaug.errors import ModelError
from pairaug.evaluate.classifier import FindingsClassifier
from pairaug.phantom.findings import LABELS
from pairaug.train.classifier import as_classifier_input, as_images


def _images(num=5, size=32):
    return np.random.default_rng(0).random((num, size, size), dtype=np.float32)


def _changed(folder, to, **config):
    shutil.copytree(folder, to)
    path = to / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return to


def test_agrees_with_the_trained_model(classifier_folder):
    seen = _images()
    levels = np.rint(seen * 255).astype(np.uint8)
    model = ResNetForImageClassification.from_pretrained(classifier_folder, dtype=torch.float32)
    with torch.inference_mode():
        images = as_classifier_input(as_images(levels, torch.device("cpu")))
        expected = torch.sigmoid(model.eval()(images).logits).numpy()
    found = FindingsClassifier(classifier_folder).probabilities(seen)
    assert found.shape == (5, len(LABELS))
    assert np.allclose(found, expected, atol=1e-5)


def test_images_of_other_sizes_are_fitted(classifier_folder):
    classifier = FindingsClassifier(classifier_folder)
    large = np.kron(_images(2), np.ones((4, 4), dtype=np.float32))
    assert classifier.probabilities(large).shape == (2, len(LABELS))
    assert classifier.probabilities(np.zeros((0, 32, 32))).shape == (0, len(LABELS))


def test_batches_change_nothing(classifier_folder):
    classifier = FindingsClassifier(classifier_folder)
    seen = _images(40)
    together = classifier.probabilities(seen)
    assert np.allclose(together[35:36], classifier.probabilities(seen[35:36]), atol=1e-5)


def test_outputs_are_found_by_name(classifier_folder, tmp_path):
    order = list(reversed(range(len(LABELS))))
    turned = _changed(
        classifier_folder,
        tmp_path / "turned",
        id2label={str(column): LABELS[index] for column, index in enumerate(order)},
        label2id={LABELS[index]: column for column, index in enumerate(order)},
    )
    seen = _images()
    expected = FindingsClassifier(classifier_folder).probabilities(seen)[:, order]
    assert np.allclose(FindingsClassifier(turned).probabilities(seen), expected)


def test_thresholds(classifier_folder, tmp_path):
    plain = FindingsClassifier(classifier_folder)
    assert plain.reads(np.full((1, len(LABELS)), 0.51)).all()
    assert not plain.reads(np.full((1, len(LABELS)), 0.49)).any()
    stricter = _changed(
        classifier_folder, tmp_path / "stricter", thresholds={"edema": 0.9, "pacemaker": 0.1}
    )
    read = FindingsClassifier(stricter).reads(np.full((1, len(LABELS)), 0.6))[0]
    assert not read[LABELS.index("edema")]
    assert read[LABELS.index("pacemaker")]
    assert read.sum() == len(LABELS) - 1


def test_other_classifier(classifier_folder, tmp_path):
    names = {str(column): f"thing {column}" for column in range(len(LABELS))}
    other = _changed(classifier_folder, tmp_path / "other", id2label=names, label2id={})
    with pytest.raises(ModelError, match="has no output 'cardiomegaly'; required are: cardiomeg"):
        FindingsClassifier(other)


def test_no_transform(classifier_folder, tmp_path):
    bare = _changed(classifier_folder, tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"preprocessor_config\.json is missing"):
        FindingsClassifier(bare)


def test_no_weights(classifier_folder, tmp_path):
    empty = _changed(classifier_folder, tmp_path / "empty")
    (empty / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        FindingsClassifier(empty)
