from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import ResNetForImageClassification

from pairaug.train.classifier import (
    ClassifierSettings,
    as_classifier_input,
    as_images,
    macro_auroc,
    masked_binary_cross_entropy,
    train_classifier,
)
from pairaug.train.loop import Loop


def settings(**changes) -> ClassifierSettings:
    values = {
        "batch_size": 4,
        "max_steps": 4,
        "max_minutes": None,
        "warmup_steps": 1,
        "embedding_size": 8,
        "hidden_sizes": (8, 8),
        "depths": (1, 1),
        "device": "cpu",
    }
    return ClassifierSettings(**{**values, **changes})


def test_learns_and_transformers_loads_it(opened_dataset, tmp_path: Path):
    changes = {"max_steps": 60, "learning_rate": 1e-2, "ema_decay": 0.9, "augmentation": 0.3}
    outcome = train_classifier(settings(**changes), tmp_path)
    assert outcome.metrics["bright"] > 0.95
    folder = tmp_path / "classifier"
    model = ResNetForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()
    assert model.config.id2label == {0: "bright", 1: "other"}
    assert model.config.num_channels == 1
    images = as_images(opened_dataset.images[opened_dataset.validation], torch.device("cpu"))
    with torch.inference_mode():
        logits = model(as_classifier_input(images)).logits
    is_bright = opened_dataset.labels[opened_dataset.validation, 0] == 1
    assert logits[is_bright, 0].min() > logits[~is_bright, 0].max()
    dtypes = {
        v.dtype for v in load_file(folder / "model.safetensors").values() if v.is_floating_point()
    }
    assert dtypes == {torch.float16}


def test_resumed_training_gives_the_same_bytes(opened_dataset, tmp_path: Path, monkeypatch):
    train_classifier(settings(), tmp_path / "a")
    one_step = Loop._one_step

    def killed_at_two(loop: Loop, progress: float):
        if loop.step == 2:
            raise KeyboardInterrupt
        return one_step(loop, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_one_step", killed_at_two)
        with pytest.raises(KeyboardInterrupt):
            train_classifier(settings(checkpoint_minutes=0.0), tmp_path / "b")
    train_classifier(settings(), tmp_path / "b")
    ours, theirs = (tmp_path / name / "classifier" / "model.safetensors" for name in "ab")
    assert ours.read_bytes() == theirs.read_bytes()


def test_unstated_labels_are_left_out():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    labels = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    loss = masked_binary_cross_entropy(logits, labels)
    terms = [math.log(1 + math.exp(value)) for value in (-2.0, 0.5, -3.0)]
    assert float(loss.detach()) == pytest.approx(sum(terms) / 3)
    loss.backward()
    assert logits.grad is not None
    assert float(logits.grad[0, 1]) == 0.0


def test_no_stated_labels_give_zero_loss():
    labels = torch.full((2, 2), float("nan"))
    assert float(masked_binary_cross_entropy(torch.randn(2, 2), labels)) == 0.0


def test_auroc_is_over_stated_labels_with_both_values():
    nan = float("nan")
    labels = np.array([[0, 1, 0], [1, 1, nan], [1, 1, 1], [nan, 1, 1]])
    scores = np.array([[0.2, 0.1, 0.9], [0.1, 0.2, 0.0], [0.9, 0.3, 0.1], [0.0, 0.4, 0.95]])
    metrics = macro_auroc(labels, scores, ("a", "b", "c"))
    assert metrics == {"macro_auroc": 0.5, "a": 0.5, "c": 0.5}
