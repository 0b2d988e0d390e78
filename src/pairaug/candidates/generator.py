"""The latent diffusion model that a stage's settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pairaug.diffusion.folder import model_folder
from pairaug.settings import GeneratorModel
from pairaug.stage import RunContext

if TYPE_CHECKING:
    from pairaug.diffusion.pipeline import Pipeline


def generator_folder(settings: GeneratorModel) -> Path:
    """Where its files are; `ModelError` where they are not."""
    return model_folder(settings.model, settings.revision, settings.allow_pickle)


def open_generator(settings: GeneratorModel, context: RunContext) -> Pipeline:
    """The model, loaded for the context's device."""
    # Only now: tensor libraries take long to import, and not every part has an image to generate.
    from pairaug.diffusion.pipeline import load_pipeline

    return load_pipeline(
        generator_folder(settings),
        device=context.device,
        dtype=context.dtype,
        allow_pickle=settings.allow_pickle,
        compile=context.compile,
    )
