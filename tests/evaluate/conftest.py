"""A tiny classifier of random weights, in the layout that training writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import ResNetForImageClassification

from pairaug.phantom.findings import LABELS
from pairaug.train.classifier import ClassifierSettings, _write_preprocessor, make_classifier


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "classifier"
    torch.manual_seed(0)
    settings = ClassifierSettings(embedding_size=4, hidden_sizes=(4, 8), depths=(1, 1))
    model: ResNetForImageClassification = make_classifier(settings, LABELS)
    model.half().save_pretrained(folder)
    _write_preprocessor(folder, 32)
    return folder
