"""What many tests share: phantoms, and tiny models on disk, loaded as any other model is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["plugins.no_network"]

# Timings say nothing on a machine that is busy with other things.
settings.register_profile("pairaug", deadline=None)
settings.load_profile("pairaug")


@pytest.fixture(scope="session")
def tiny_generator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent diffusion model of random weights: films of 16 pixels, 32 tokens."""
    # Imported here: the hub libraries must not be, before the plugin has set them offline.
    from tiny_generator import write_generator

    return write_generator(
        tmp_path_factory.mktemp("models") / "generator", prediction_type="v_prediction"
    )


@pytest.fixture(scope="session")
def tiny_scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model of random weights: films of 32 pixels, 24 tokens."""
    from tiny_clip import write_clip

    return write_clip(tmp_path_factory.mktemp("models") / "scorer")
