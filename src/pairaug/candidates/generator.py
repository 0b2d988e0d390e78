"""Opens the latent diffusion model of a stage's settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pairaug.diffusion.folder import model_folder
from pairaug.settings import GeneratorModel
from pairaug.stage import RunContext

if TYPE_CHECKING:
    from pairaug.diffusion.pipeline import Pipeline


def generator_folder(settings: GeneratorModel) -> Path:
    """The folder of the model; `ModelError` if it is missing."""
    return model_folder(settings.model, settings.revision, settings.allow_pickle)


def open_generator(settings: GeneratorModel, context: RunContext) -> Pipeline:
    """The model, loaded on the context's device."""
    # Imported late: tensor libraries load slowly, and some parts have no image to generate.
    from pairaug.diffusion.pipeline import load_pipeline

    return load_pipeline(
        generator_folder(settings),
        device=context.device,
        dtype=context.dtype,
        allow_pickle=settings.allow_pickle,
        compile=context.compile,
    )
