"""What many tests share: phantoms, and tiny models on disk, loaded as any other model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pairaug.config import Settings
    from pairaug.run import RunFolder

pytest_plugins = ["support.plugins.no_network", "support.plugins.one_thread"]

# Timings say nothing on a machine that is busy with other things.
settings.register_profile("pairaug", deadline=None)
settings.load_profile("pairaug")


@pytest.fixture(scope="session")
def tiny_generator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent diffusion model of random weights: images of 16 pixels, 32 tokens."""
    # Imported here: the hub libraries must not be, before the plugin has set them offline.
    from support.tiny_generator import write_generator

    return write_generator(
        tmp_path_factory.mktemp("models") / "generator", prediction_type="v_prediction"
    )


@pytest.fixture(scope="session")
def tiny_scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model of random weights: images of 32 pixels, 24 tokens."""
    from support.tiny_clip import write_clip

    return write_clip(tmp_path_factory.mktemp("models") / "scorer")


@pytest.fixture(scope="session")
def small_settings(tiny_generator_folder: Path, tiny_scorer_folder: Path) -> Settings:
    """The demo with tiny models: five patients in three parts."""
    from pairaug.config import load_settings

    return load_settings(
        preset="demo",
        overrides=[
            "device=cpu",
            "part_size=2",
            "read.num_patients=5",
            "read.size=32",
            f"generate.model={tiny_generator_folder}",
            "generate.num_inference_steps=2",
            f"edit.model={tiny_generator_folder}",
            "edit.num_inference_steps=2",
            "edit.cross_replace_steps=0.5",
            f"score.model={tiny_scorer_folder}",
            "prune.inter.rule=mean-margin",
            "prune.intra.margin=0.003",
        ],
    )


@pytest.fixture(scope="session")
def finished(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of `small_settings` that nothing disturbed; not to be written to."""
    from pairaug.run import RunFolder, run

    folder = RunFolder(tmp_path_factory.mktemp("runs") / "finished")
    run(small_settings, folder)
    return folder
