"""Images that need no renderer, so that a trainer's test takes a second."""

from __future__ import annotations

import numpy as np
import pytest

from pairaug.train.image_dataset import ImageDataset

SIZE = 32


def random_images(num_train: int = 12, num_validation: int = 6) -> ImageDataset:
    """Random images; the first label is whether the left half is bright, and so the reports say."""
    rng = np.random.default_rng(0)
    total = num_train + num_validation
    images = rng.integers(0, 40, (total, SIZE, SIZE), dtype=np.uint8)
    is_bright = np.arange(total) % 2 == 0
    images[is_bright, :, : SIZE // 2] += 120
    labels = np.stack([is_bright, rng.random(total) < 0.5], axis=1).astype(np.float32)
    reports = tuple(
        ("Bright left half.", "The left half is bright.") if bright else ("Clear.", "It is clear.")
        for bright in is_bright
    )
    return ImageDataset(images, labels, ("bright", "other"), reports, num_train)


@pytest.fixture(scope="session")
def dataset() -> ImageDataset:
    return random_images()


@pytest.fixture
def opened_dataset(dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> ImageDataset:
    """The images, also where a trainer opens them by its settings."""
    for module in ("clip.pairs", "classifier", "generator"):
        monkeypatch.setattr(f"pairaug.train.{module}.open_dataset", lambda settings, out: dataset)
    return dataset
