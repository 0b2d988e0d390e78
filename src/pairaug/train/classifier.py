"""Training of the findings classifier, in the layout of transformers' image classifiers.

The classifier reads findings from an image, to check generated and edited images against reports.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    MobileNetV1Config,
    MobileNetV1ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from pairaug.system.atomic import new_files, remove_leftovers
from pairaug.system.locks import hold_lock
from pairaug.train.augment import augment
from pairaug.train.checkpoint import saving
from pairaug.train.image_dataset import ImageDataset, ImageDatasetSettings, open_dataset
from pairaug.train.loop import (
    Loop,
    LoopSettings,
    StepRandomness,
    TrainingOutcome,
    TrainingTask,
    choose_device,
    write_record,
)

IMAGE_MEAN, IMAGE_STD = 0.5, 0.25

Classifier = ResNetForImageClassification | MobileNetV1ForImageClassification


class ClassifierSettings(LoopSettings):
    """Settings of the findings classifier and its training."""

    data: ImageDatasetSettings = Field(
        default_factory=ImageDatasetSettings, description="Pairs to train on."
    )
    batch_size: int = Field(default=64, ge=1, description="Images per step.")
    learning_rate: float = Field(
        default=2e-3, gt=0, description="Peak learning rate, after the warm-up."
    )
    weight_decay: float = Field(default=0.05, ge=0, description="Decoupled weight decay (AdamW).")
    max_minutes: float | None = Field(
        default=8.0, gt=0, description="Stop after this many minutes."
    )
    evaluate_minutes: float = Field(default=2.0, ge=0, description="Minutes between validations.")
    architecture: Literal["resnet", "mobilenet"] = Field(
        default="resnet",
        description="Architecture; `mobilenet` can become the image tower of `train clip`.",
    )
    embedding_size: int = Field(
        default=32, ge=1, description="Channels after the stem of a ResNet."
    )
    hidden_sizes: tuple[int, ...] = Field(
        default=(32, 64, 128, 192), description="Channels of each stage of a ResNet."
    )
    depths: tuple[int, ...] = Field(
        default=(2, 2, 2, 2), description="Residual layers of each stage of a ResNet."
    )
    width: float = Field(
        default=0.5,
        gt=0,
        description="Channels of a MobileNet, as a fraction of the published numbers.",
    )
    augmentation: float = Field(
        default=1.0, ge=0, description="Strength of image augmentation; 0 disables it."
    )


def train_classifier(settings: ClassifierSettings, out: Path) -> TrainingOutcome:
    """Trains the classifier on images and labels; saves it as float16 in `out/classifier`.

    Labels that are not stated are left out of the loss.
    """
    with hold_lock(out):
        remove_leftovers(out)
        return _train_classifier(settings, out)


def _train_classifier(settings: ClassifierSettings, out: Path) -> TrainingOutcome:
    torch.manual_seed(settings.seed)
    device = choose_device(settings.device)
    dataset = open_dataset(settings.data, out)
    model: Any = make_classifier(settings, dataset.label_names)
    model = model.to(device=device, memory_format=torch.channels_last)
    labels = torch.from_numpy(dataset.labels).to(device)

    def losses(randomness: StepRandomness) -> dict[str, Tensor]:
        images = as_images(dataset.images[randomness.indices], device)
        images = augment(images, randomness.torch, settings.augmentation)
        logits = model(as_classifier_input(images)).logits
        return {
            "loss": masked_binary_cross_entropy(
                logits, labels[torch.from_numpy(randomness.indices)]
            )
        }

    def evaluate() -> dict[str, float]:
        return _metrics(model, dataset, device) if dataset.num_validation else {}

    task = TrainingTask({"classifier": model}, losses, evaluate)
    outcome = Loop(out / "training", settings, task, dataset.num_train).run()
    folder = out / "classifier"
    with saving(folder), new_files(folder, last="config.json") as written:
        model.half().save_pretrained(written)
        _write_preprocessor(written, dataset.images.shape[1])
        write_record(written, settings, outcome)
    return outcome


def make_classifier(settings: ClassifierSettings, label_names: tuple[str, ...]) -> Classifier:
    """A new classifier with one independent output per label."""
    shared: dict[str, Any] = {
        "num_channels": 1,
        "problem_type": "multi_label_classification",
        "id2label": dict(enumerate(label_names)),
        "label2id": {name: index for index, name in enumerate(label_names)},
    }
    if settings.architecture == "mobilenet":
        config = MobileNetV1Config(
            depth_multiplier=settings.width, classifier_dropout_prob=0.0, **shared
        )
        model = MobileNetV1ForImageClassification(config)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                # The published 0.9997 is TensorFlow's convention: the fraction that is kept.
                module.momentum = 0.1
        return model
    config = ResNetConfig(
        embedding_size=settings.embedding_size,
        hidden_sizes=list(settings.hidden_sizes),
        depths=list(settings.depths),
        layer_type="basic",
        **shared,
    )
    return ResNetForImageClassification(config)


def masked_binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy over stated labels; NaN marks the others."""
    is_stated = ~labels.isnan()
    targets = torch.where(is_stated, labels, 0.0)
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (each * is_stated).sum() / is_stated.sum().clamp(min=1)


def as_images(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 images as float32 in [0, 1], `image 1 height width`."""
    return torch.from_numpy(np.array(images)).to(device).float().div_(255.0)[:, None]


def as_classifier_input(images: Tensor) -> Tensor:
    """Images in [0, 1] normalized as by the classifier's preprocessor, channels last."""
    return ((images - IMAGE_MEAN) / IMAGE_STD).contiguous(memory_format=torch.channels_last)


def macro_auroc(labels: np.ndarray, scores: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """AUROC by label over the rows that state it, and their mean as `macro_auroc`.

    Labels with one value only are left out.
    """
    metrics: dict[str, float] = {}
    for column, name in enumerate(names):
        is_stated = ~np.isnan(labels[:, column])
        truth = labels[is_stated, column]
        if len(np.unique(truth)) == 2:
            metrics[name] = float(roc_auc_score(truth, scores[is_stated, column]))
    mean = float(np.mean(list(metrics.values()))) if metrics else float("nan")
    return {"macro_auroc": mean, **metrics}


def _metrics(model: Classifier, dataset: ImageDataset, device: torch.device) -> dict[str, float]:
    logits = []
    for group in np.array_split(dataset.validation, max(1, len(dataset.validation) // 100)):
        images = as_images(dataset.images[group], device)
        logits.append(model(as_classifier_input(images)).logits.float().cpu())
    scores = torch.cat(logits).numpy()
    return macro_auroc(dataset.labels[dataset.validation], scores, dataset.label_names)


def _write_preprocessor(folder: Path, size: int) -> None:
    config = {
        "image_processor_type": "ConvNextImageProcessor",
        "crop_pct": 1.0,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [IMAGE_MEAN],
        "image_std": [IMAGE_STD],
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": size},
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
