"""Films that need no renderer, so that a trainer's test takes a second."""

from __future__ import annotations

import numpy as np
import pytest

from pairaug.train.films import Films

SIZE = 32


def made_films(num_train: int = 12, num_held_out: int = 6) -> Films:
    """Random films; the first label is whether the left half is bright, and so the reports say."""
    rng = np.random.default_rng(0)
    total = num_train + num_held_out
    films = rng.integers(0, 40, (total, SIZE, SIZE), dtype=np.uint8)
    is_bright = np.arange(total) % 2 == 0
    films[is_bright, :, : SIZE // 2] += 120
    labels = np.stack([is_bright, rng.random(total) < 0.5], axis=1).astype(np.float32)
    reports = tuple(
        ("Bright left half.", "The left half is bright.") if bright else ("Clear.", "It is clear.")
        for bright in is_bright
    )
    return Films(films, labels, ("bright", "other"), reports, num_train)


@pytest.fixture(scope="session")
def films() -> Films:
    return made_films()


@pytest.fixture
def opened_films(films: Films, monkeypatch: pytest.MonkeyPatch) -> Films:
    """The films, also where a trainer opens them by its settings."""
    for module in ("clip.pairs", "classifier", "generator"):
        monkeypatch.setattr(f"pairaug.train.{module}.open_films", lambda settings, out: films)
    return films
