"""Findings read from images by a transformers image classifier, to check images against reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForImageClassification

from pairaug.clip.folder import weights_sha256
from pairaug.errors import ModelError
from pairaug.hub.folders import read_config
from pairaug.hub.inference import dtype_of, for_inference
from pairaug.hub.loading import Part, load_part
from pairaug.imaging.io import fit_square
from pairaug.phantom.findings import LABELS

_BATCH = 32


class FindingsClassifier:
    """A classifier of phantom findings with independent outputs."""

    def __init__(self, folder: Path, device: str = "cpu", dtype: str = "float32") -> None:
        self._dtype = dtype_of(dtype)
        model = load_part(Part(AutoModelForImageClassification, folder), self._dtype)
        self._columns = _columns(folder, model.config.id2label)
        self.thresholds = _thresholds(folder, model.config)
        self._size, self._mean, self._std = _transform(folder)
        self._model = for_inference(model, device)
        self._device = device
        self.sha256 = weights_sha256(folder)

    @torch.inference_mode()
    def probabilities(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Probabilities, float32 `image label`, in the order of `LABELS`, for images in [0, 1]."""
        rows = [np.zeros((0, len(LABELS)), dtype=np.float32)]
        for start in range(0, len(images), _BATCH):
            group = [self._prepare(image) for image in images[start : start + _BATCH]]
            pixels = torch.tensor(np.stack(group))[:, None]
            channels = int(getattr(self._model.config, "num_channels", 1))
            pixels = pixels.expand(-1, channels, -1, -1).to(self._device, self._dtype)
            rows.append(torch.sigmoid(self._model(pixels).logits.float()).cpu().numpy())
        return np.concatenate([rows[0], *(row[:, self._columns] for row in rows[1:])])

    def reads(self, probabilities: np.ndarray) -> np.ndarray:
        """True where a probability exceeds its label's threshold."""
        return probabilities > self.thresholds

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        # Eight bits, as in the classifier's training.
        levels = np.rint(np.clip(fit_square(image, self._size), 0.0, 1.0) * 255.0) / 255.0
        return ((levels - self._mean) / self._std).astype(np.float32)


def _columns(folder: Path, names: dict[int, str]) -> list[int]:
    """Index of each of `LABELS` among the model's outputs."""
    index_of = {name.lower(): int(column) for column, name in names.items()}
    missing = [label for label in LABELS if label not in index_of]
    if missing:
        raise ModelError(
            f"the classifier in {folder} has no output {missing[0]!r}; required are: "
            f"{', '.join(LABELS)}"
        )
    return [index_of[label] for label in LABELS]


def _thresholds(folder: Path, config: object) -> np.ndarray:
    """Probability threshold of each label: `thresholds` of the config, or 0.5."""
    stated = getattr(config, "thresholds", None) or {}
    if not isinstance(stated, dict):
        raise ModelError(f"thresholds in {folder}/config.json must map labels to numbers")
    return np.array([float(stated.get(label, 0.5)) for label in LABELS])


def _transform(folder: Path) -> tuple[int, float, float]:
    """Side in pixels, mean and deviation of the classifier's input."""
    path = folder / "preprocessor_config.json"
    settings = read_config(path)
    try:
        size = settings["size"]
        side = int(size.get("shortest_edge") or size["height"])
        return side, float(np.mean(settings["image_mean"])), float(np.mean(settings["image_std"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} must state size, image_mean and image_std ({type(error).__name__})"
        ) from error
