"""Training of the latent diffusion generator: autoencoder first, then denoiser and text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pairaug.errors import ModelError
from pairaug.settings import StageSettings
from pairaug.system.atomic import remove_leftovers
from pairaug.system.locks import hold_lock
from pairaug.train.denoiser import DenoiserSettings, train_denoiser
from pairaug.train.image_dataset import ImageDatasetSettings, open_dataset
from pairaug.train.loop import TrainingOutcome, write_record
from pairaug.train.vae import VaeSettings, train_vae


class GeneratorSettings(StageSettings):
    """Settings of `pairaug train generator`."""

    phase: Literal["vae", "denoiser", "both"] = Field(
        default="both", description="Phase to train; the denoiser needs a trained autoencoder."
    )
    data: ImageDatasetSettings = Field(
        default_factory=ImageDatasetSettings, description="Pairs to train on."
    )
    vae: VaeSettings = Field(default_factory=VaeSettings, description="Autoencoder settings.")
    vae_folder: Path | None = Field(
        default=None,
        description="Trained autoencoder for the denoiser: its folder, that of a generator, or "
        "`bundled`; null: `vae` in the output folder.",
    )
    denoiser: DenoiserSettings = Field(
        default_factory=DenoiserSettings, description="Denoiser and text encoder settings."
    )


def train_generator(settings: GeneratorSettings, out: Path) -> dict[str, TrainingOutcome]:
    """Trains the phases in the settings; `out` is a diffusers folder once both are done."""
    with hold_lock(out):
        remove_leftovers(out)
        return _train_generator(settings, out)


def _train_generator(settings: GeneratorSettings, out: Path) -> dict[str, TrainingOutcome]:
    dataset = open_dataset(settings.data, out)
    outcomes: dict[str, TrainingOutcome] = {}
    if settings.phase in ("vae", "both"):
        outcomes["vae"] = train_vae(settings.vae, dataset, out)
        write_record(out / "vae", settings, outcomes["vae"])
    if settings.phase in ("denoiser", "both"):
        vae_folder = settings.vae_folder or out / "vae"
        if settings.vae_folder is None and not (vae_folder / "config.json").exists():
            raise ModelError(
                f"no autoencoder in {vae_folder}: train phase vae first, or set vae_folder"
            )
        outcomes["denoiser"] = train_denoiser(settings.denoiser, dataset, vae_folder, out)
        write_record(out, settings, outcomes["denoiser"])
    return outcomes
