"""Training of the autoencoder between images and latents, in diffusers' `AutoencoderKL` layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from pairaug.errors import ModelError
from pairaug.hub.folders import start_part
from pairaug.hub.loading import Part, load_part
from pairaug.system.atomic import new_files
from pairaug.train.checkpoint import saving
from pairaug.train.image_dataset import ImageDataset
from pairaug.train.loop import (
    Loop,
    LoopSettings,
    StepRandomness,
    TrainingOutcome,
    TrainingTask,
    choose_device,
)


class VaeSettings(LoopSettings):
    """Settings of the autoencoder and its training."""

    batch_size: int = Field(default=16, ge=1, description="Images per step.")
    learning_rate: float = Field(
        default=2e-3, gt=0, description="Peak learning rate, after the warm-up."
    )
    max_minutes: float | None = Field(
        default=25.0, gt=0, description="Stop after this many minutes."
    )
    ema_decay: float = Field(default=0.998, ge=0, lt=1, description="Decay of the weight average.")
    block_out_channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 96),
        description="Channels at each resolution; the side halves after each but the last.",
    )
    layers_per_block: int = Field(
        default=1, ge=1, description="Residual layers at each resolution."
    )
    latent_channels: int = Field(default=8, ge=1, description="Channels of the latents.")
    norm_num_groups: int = Field(default=8, ge=1, description="Groups of each group normalization.")
    detail_weight: float = Field(
        default=1.0,
        ge=0,
        description="Weight of the loss on differences between neighbouring pixels, at three "
        "scales: keeps edges sharp.",
    )
    square_weight: float = Field(
        default=2.0,
        ge=0,
        description="Weight of the squared error: keeps thin bright structures, which the absolute "
        "error loses.",
    )
    init: Path | None = Field(
        default=None,
        description="Trained autoencoder to start from: its folder, that of a generator, or "
        "`bundled`; null: new weights.",
    )
    train_encoder: bool = Field(
        default=True,
        description="Train the encoder too. False trains the decoder alone, so that denoisers "
        "trained on the latents of `init` stay valid.",
    )
    kl_weight: float = Field(
        default=1e-4,
        ge=0,
        description="Weight of the mean Kullback-Leibler divergence per latent value.",
    )

    @model_validator(mode="after")
    def _has_an_encoder(self) -> VaeSettings:
        if not self.train_encoder and self.init is None:
            raise ValueError(
                "train_encoder: false needs init, the autoencoder whose encoder is kept"
            )
        return self


def make_vae(settings: VaeSettings, size: int) -> AutoencoderKL:
    """An autoencoder for one-channel images, `size` pixels a side: new, or that of `init`."""
    if settings.init is not None:
        return load_vae(settings.init)
    num_levels = len(settings.block_out_channels)
    levels: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * num_levels,
        "up_block_types": ("UpDecoderBlock2D",) * num_levels,
        "block_out_channels": settings.block_out_channels,
    }
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        **levels,
        layers_per_block=settings.layers_per_block,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.norm_num_groups,
        sample_size=size,
    )


def load_vae(setting: Path) -> AutoencoderKL:
    """The autoencoder of a folder, of a generator, or the bundled one; float32."""
    vae = load_part(Part(AutoencoderKL, start_part(setting, "vae")), torch.float32)
    channels = vae.config["in_channels"], vae.config["out_channels"]
    if channels not in ((1, 1), (3, 3)):
        raise ModelError(
            f"the autoencoder in {setting} takes {channels[0]} channels and returns {channels[1]}; "
            "supported are one channel, or three equal ones"
        )
    # Stable Diffusion's pipelines scale latents without shifting them, and so does training.
    vae.register_to_config(shift_factor=None)
    return vae


def reconstruction_losses(
    images: Tensor, decoded: Tensor, num_scales: int = 3
) -> tuple[Tensor, Tensor]:
    """Mean absolute error, and that of differences between neighbours summed over the scales.

    Both are means per pixel in the units of the images. The second penalizes blurred edges. At each
    scale the error is averaged over 2 x 2 pixels.
    """
    error = decoded - images
    detail = error.new_zeros(())
    coarse = error
    for scale in range(num_scales):
        coarse = functional.avg_pool2d(coarse, 2) if scale else coarse
        detail = detail + (coarse[..., 1:, :] - coarse[..., :-1, :]).abs().mean()
        detail = detail + (coarse[..., :, 1:] - coarse[..., :, :-1]).abs().mean()
    return error.abs().mean(), detail


def as_vae_input(images: np.ndarray, device: torch.device, num_channels: int = 1) -> Tensor:
    """uint8 images as float32 in [-1, 1], `image channel height width`, channels last.

    Repeated for an autoencoder with several channels.
    """
    pixels = torch.from_numpy(np.array(images)).to(device).float().div_(127.5).sub_(1.0)
    pixels = pixels[:, None].expand(-1, num_channels, -1, -1)
    return pixels.contiguous(memory_format=torch.channels_last)


def train_vae(settings: VaeSettings, dataset: ImageDataset, out: Path) -> TrainingOutcome:
    """Trains the autoencoder; saves it with its scale, as float16, under `out/vae`."""
    torch.manual_seed(settings.seed)
    device = choose_device(settings.device)
    vae: Any = make_vae(settings, dataset.images.shape[1])
    vae = vae.to(device=device, memory_format=torch.channels_last)
    num_channels = int(vae.config["in_channels"])
    if not settings.train_encoder:
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(False)

    def losses(randomness: StepRandomness) -> dict[str, Tensor]:
        pixels = as_vae_input(dataset.images[randomness.indices], device, num_channels)
        with torch.set_grad_enabled(settings.train_encoder):
            posterior = vae.encode(pixels).latent_dist
        decoded = vae.decode(posterior.sample(generator=randomness.torch)).sample
        absolute, detail = reconstruction_losses(pixels, decoded)
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        squared = (decoded - pixels).square().mean()
        loss = (
            absolute
            + settings.detail_weight * detail
            + settings.square_weight * squared
            + settings.kl_weight * divergence
        )
        # Pixels span 2, so half of the error is that on the scale of 0 to 1.
        return {
            "loss": loss,
            "absolute": absolute / 2,
            "detail": detail,
            "squared": squared,
            "kl": divergence,
        }

    def evaluate() -> dict[str, float]:
        if not dataset.num_validation:
            return {}
        pixels = as_vae_input(dataset.images[dataset.validation[:200]], device, num_channels)
        groups = pixels.split(25)
        decoded = torch.cat(
            [vae.decode(vae.encode(group).latent_dist.mode()).sample for group in groups]
        )
        absolute, detail = reconstruction_losses(pixels, decoded.clamp(-1.0, 1.0))
        return {"absolute": float(absolute) / 2, "detail": float(detail)}

    task = TrainingTask({"vae": vae}, losses, evaluate, identity={"images": dataset.fingerprint})
    outcome = Loop(out / "vae-training", settings, task, dataset.num_train).run()
    if settings.train_encoder:
        vae.register_to_config(scaling_factor=latent_scale(vae, dataset, device))
    with saving(out / "vae"), new_files(out / "vae", last="config.json") as written:
        vae.half().save_pretrained(written)
    return outcome


@torch.inference_mode()
def latent_scale(vae: Any, dataset: ImageDataset, device: torch.device) -> float:
    """Factor that scales latents of up to 1,000 training images to a standard deviation of 1."""
    chosen = dataset.images[: min(1000, dataset.num_train)]
    groups = as_vae_input(chosen, device, int(vae.config["in_channels"])).split(25)
    latents = torch.cat([vae.encode(group).latent_dist.mean for group in groups])
    return 1.0 / float(latents.std())
