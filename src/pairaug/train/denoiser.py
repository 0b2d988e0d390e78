"""Training of the denoiser and its text encoder, on the latents of a trained autoencoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from pydantic import Field
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pairaug.diffusion.checks import check_parts
from pairaug.errors import ModelError, RunError
from pairaug.hub.folders import start_folder, start_part
from pairaug.hub.loading import Part, load_part
from pairaug.system.atomic import new_files, remove_leftovers, write_file
from pairaug.system.json_text import read_json_object
from pairaug.train.arrays import open_array
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
from pairaug.train.tokenizer import (
    MAX_TOKENS,
    TOKENIZER_FILES,
    copy_tokenizer,
    load_tokenizer,
    special_ids,
    token_ids,
    token_table,
    train_tokenizer,
)
from pairaug.train.vae import as_vae_input, load_vae

log = getLogger(__name__)

_INDEX = "model_index.json"


class DenoiserSettings(LoopSettings):
    """Settings of the denoiser, its text encoder and their training."""

    batch_size: int = Field(default=48, ge=1, description="Pairs per step.")
    learning_rate: float = Field(
        default=6e-4, gt=0, description="Peak learning rate, after the warm-up."
    )
    text_learning_rate: float = Field(
        default=2e-4, gt=0, description="Peak learning rate of the text encoder."
    )
    max_minutes: float | None = Field(
        default=60.0, gt=0, description="Stop after this many minutes."
    )
    ema_decay: float = Field(default=0.9995, ge=0, lt=1, description="Decay of the weight average.")
    block_out_channels: tuple[int, ...] = Field(
        default=(64, 160),
        description="Channels at each resolution; the side halves after each but the last.",
    )
    layers_per_block: int = Field(
        default=1, ge=1, description="Residual layers at each resolution."
    )
    head_size: int = Field(default=32, ge=1, description="Channels per attention head.")
    norm_num_groups: int = Field(
        default=16, ge=1, description="Groups of each group normalization."
    )
    text_hidden_size: int = Field(default=192, ge=1, description="Width of the text encoder.")
    text_num_layers: int = Field(default=4, ge=1, description="Layers of the text encoder.")
    text_num_heads: int = Field(default=6, ge=1, description="Attention heads of the text encoder.")
    init: Path | None = Field(
        default=None,
        description="Trained generator that UNet, text encoder and tokenizer start from: its "
        "folder, or `bundled`; null: new weights.",
    )
    init_text_encoder: Path | None = Field(
        default=None,
        description="Trained CLIP that text encoder and tokenizer start from, in place of those of "
        "`init`: its folder, or `bundled`.",
    )

    @property
    def text_folder(self) -> Path | None:
        """The model that text encoder and tokenizer start from, or None."""
        if self.init_text_encoder is not None:
            return start_folder(self.init_text_encoder, "scorer")
        return None if self.init is None else start_folder(self.init, "generator")

    empty_prompt_rate: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Fraction of pairs trained without a prompt, for classifier-free guidance.",
    )
    snr_gamma: float = Field(
        default=5.0, gt=0, description="Upper bound of the loss weight: see `loss_weights`."
    )


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Files with the latents of each image: float16, `image channel height width`, not scaled."""

    mean: np.ndarray
    std: np.ndarray


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, rescaled to zero signal at its end; v-prediction.

    Without zero signal at the end, the mean brightness leaks through the noise in training and
    sampling from pure noise goes wrong (Lin et al. 2024); with it, timesteps must be trailing.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def loss_weights(alpha_bar: Tensor, gamma: float) -> Tensor:
    """Weight of a squared error in v at each noise level.

        w = min(SNR + 1, gamma) / (SNR + 1),   SNR = a_t / (1 - a_t)

    Hang et al. 2023 (min-SNR) for v-prediction, with SNR + 1 in place of SNR in the numerator:
    theirs is zero where the signal is zero, and that step would never be learned.
    """
    # SNR + 1 = 1 / (1 - a_t).
    inverse = 1.0 - alpha_bar
    return torch.clamp(gamma * inverse, max=1.0)


def make_denoiser(
    settings: DenoiserSettings, latent_size: int, channels: int
) -> UNet2DConditionModel:
    """A denoiser with cross-attention at every resolution: new, or that of `init`."""
    if settings.init is not None:
        return _load_denoiser(settings.init, latent_size, channels)
    num_levels = len(settings.block_out_channels)
    # diffusers' name for the number of heads at each resolution.
    num_heads: Any = tuple(width // settings.head_size for width in settings.block_out_channels)
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * num_levels,
        up_block_types=("CrossAttnUpBlock2D",) * num_levels,
        block_out_channels=settings.block_out_channels,
        layers_per_block=settings.layers_per_block,
        cross_attention_dim=settings.text_hidden_size,
        attention_head_dim=num_heads,
        norm_num_groups=settings.norm_num_groups,
    )


def make_text_encoder(settings: DenoiserSettings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The text encoder: new, or that of `init_text_encoder` or `init`."""
    if settings.text_folder is not None:
        return _load_text_encoder(settings.text_folder)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_hidden_size,
        intermediate_size=4 * settings.text_hidden_size,
        num_hidden_layers=settings.text_num_layers,
        num_attention_heads=settings.text_num_heads,
        max_position_embeddings=MAX_TOKENS,
        **special_ids(tokenizer),
    )
    return CLIPTextModel(config)


def _load_denoiser(folder: Path, latent_size: int, channels: int) -> UNet2DConditionModel:
    unet = load_part(Part(UNet2DConditionModel, start_part(folder, "unet")), torch.float32)
    found = (unet.config["sample_size"], unet.config["in_channels"])
    if found != (latent_size, channels):
        raise ModelError(
            f"the UNet in {folder} samples latents of size {found[0]} and {found[1]} channels; the "
            f"autoencoder has size {latent_size} and {channels} channels"
        )
    return unet


def _load_text_encoder(folder: Path) -> CLIPTextModel:
    part = Part(
        CLIPTextModel,
        folder / "text_encoder" if (folder / "text_encoder").is_dir() else folder,
        stored_as=("CLIPModel", "VisionTextDualEncoderModel", "CLIPTextModelWithProjection"),
        # The image tower of a CLIP folder is left out on purpose.
        left_over=r"vision_model\.|visual_projection\.|text_projection\.|logit_scale$",
    )
    return load_part(part, torch.float32)


def train_denoiser(
    settings: DenoiserSettings, dataset: ImageDataset, vae_folder: Path, out: Path
) -> TrainingOutcome:
    """Trains denoiser and text encoder jointly; saves a diffusers folder in float16."""
    torch.manual_seed(settings.seed)
    device = choose_device(settings.device)
    vae: Any = load_vae(vae_folder)
    latents = encode_latents(vae, dataset, out / "latents", device)
    tokenizer = _tokenizer(settings, dataset, out)
    tokens = token_table(dataset, tokenizer).to(device)
    text_encoder: Any = make_text_encoder(settings, tokenizer)
    text_encoder = text_encoder.to(device)
    unet: Any = make_denoiser(settings, latents.mean.shape[-1], latents.mean.shape[1])
    width = int(text_encoder.config.hidden_size)
    check_parts(unet.config, vae.config, width, None, settings.init or out)
    unet = unet.to(device=device, memory_format=torch.channels_last)
    denoising = Denoising(settings, unet, text_encoder, make_scheduler(), _empty(tokenizer, device))

    def losses(randomness: StepRandomness) -> dict[str, Tensor]:
        clean = _sampled_latents(latents, randomness, device) * vae.config["scaling_factor"]
        variants = randomness.numpy.integers(tokens.shape[1], size=len(randomness.indices))
        prompts = tokens[torch.from_numpy(randomness.indices), torch.from_numpy(variants)]
        return {"loss": denoising.loss(clean, prompts.long(), randomness.torch)}

    def evaluate() -> dict[str, float]:
        if not dataset.num_validation:
            return {}
        chosen = dataset.validation[:256]
        mean = torch.from_numpy(latents.mean[chosen].astype(np.float32)).to(device)
        clean = mean * vae.config["scaling_factor"]
        return denoising.validation(clean, tokens[torch.from_numpy(chosen), 0].long())

    modules = {"unet": unet, "text_encoder": text_encoder}
    rates = {"text_encoder": settings.text_learning_rate / settings.learning_rate}
    task = TrainingTask(
        modules,
        losses,
        evaluate,
        rates,
        identity={"vae": weights_hash(vae), "images": dataset.fingerprint},
    )
    outcome = Loop(out / "denoiser-training", settings, task, dataset.num_train).run()
    save_generator(out, vae, unet, text_encoder, tokenizer)
    return outcome


@dataclass(frozen=True, slots=True)
class Denoising:
    """The training objective of a denoiser and its text encoder."""

    settings: DenoiserSettings
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    scheduler: DDIMScheduler
    empty_prompt: Tensor

    def loss(self, clean: Tensor, prompts: Tensor, generator: torch.Generator) -> Tensor:
        """Mean weighted squared error of v over a batch, with some prompts dropped."""
        randomness = torch.rand((2, len(clean)), generator=generator, device=clean.device)
        is_empty = randomness[0] < self.settings.empty_prompt_rate
        prompts = torch.where(is_empty[:, None], self.empty_prompt, prompts)
        # One timestep from each of `batch` equal spans: the loss varies less between steps.
        positions = (torch.arange(len(clean), device=clean.device) + randomness[1]) / len(clean)
        noise = torch.empty_like(clean).normal_(generator=generator)
        errors, alpha_bar = self._errors(clean, noise, positions, prompts)
        return (errors * loss_weights(alpha_bar, self.settings.snr_gamma)).mean()

    def validation(self, clean: Tensor, prompts: Tensor) -> dict[str, float]:
        """Unweighted error of v on validation pairs, with and without prompts.

        Noise and noise levels are the same at each call. `prompt_gain`, the difference, is the part
        of the error that the prompt explains.
        """
        generator = torch.Generator(clean.device).manual_seed(0)
        noise = torch.empty_like(clean).normal_(generator=generator)
        positions = (torch.arange(len(clean), device=clean.device) + 0.5) / len(clean)
        # Levels are assigned to pairs at random, so they do not depend on the order of pairs.
        positions = positions[torch.randperm(len(clean), generator=generator, device=clean.device)]
        means = []
        for words in (prompts, self.empty_prompt.expand_as(prompts)):
            groups = zip(
                clean.split(32), noise.split(32), positions.split(32), words.split(32), strict=True
            )
            means.append(float(torch.cat([self._errors(*group)[0] for group in groups]).mean()))
        return {"error": means[0], "error_no_prompt": means[1], "prompt_gain": means[1] - means[0]}

    def _errors(
        self, clean: Tensor, noise: Tensor, positions: Tensor, prompts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean squared error of v for each pair, and its alpha_bar, at `positions` in [0, 1)."""
        levels = self.scheduler.alphas_cumprod.to(clean.device)
        timesteps = (positions * len(levels)).long().clamp(max=len(levels) - 1)
        alpha_bar = levels[timesteps]
        signal, sigma = (
            alpha_bar.sqrt()[:, None, None, None],
            (1 - alpha_bar).sqrt()[:, None, None, None],
        )
        noisy = signal * clean + sigma * noise
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        states = self.text_encoder(prompts).last_hidden_state
        predicted = self.unet(noisy, timesteps, encoder_hidden_states=states).sample
        errors = (predicted.float() - (signal * noise - sigma * clean)).square().mean(dim=(1, 2, 3))
        return errors, alpha_bar


def _empty(tokenizer: CLIPTokenizer, device: torch.device) -> Tensor:
    return token_ids(tokenizer, [""]).to(device)


def _tokenizer(settings: DenoiserSettings, dataset: ImageDataset, out: Path) -> CLIPTokenizer:
    if settings.text_folder is not None:
        return load_tokenizer(settings.text_folder)
    if (out / "tokenizer" / TOKENIZER_FILES[0]).exists():
        return load_tokenizer(out)
    return train_tokenizer(
        (text for reports in dataset.reports for text in reports), out / "tokenizer"
    )


def _sampled_latents(
    latents: LatentStatistics, randomness: StepRandomness, device: torch.device
) -> Tensor:
    mean = torch.from_numpy(latents.mean[randomness.indices].astype(np.float32)).to(device)
    std = torch.from_numpy(latents.std[randomness.indices].astype(np.float32)).to(device)
    return mean + std * torch.empty_like(mean).normal_(generator=randomness.torch)


def encode_latents(
    vae: AutoencoderKL, dataset: ImageDataset, folder: Path, device: torch.device
) -> LatentStatistics:
    """Mean and standard deviation of the latents of all images, on disk; resumed if interrupted.

    Starts again if the folder holds those of another autoencoder or of other images.
    """
    remove_leftovers(folder)
    progress_path = folder / "done.json"
    key = weights_hash(vae) + dataset.fingerprint
    shape = _latent_shape(vae, dataset, device)
    first = _num_encoded(folder, key, shape)
    mean, std = (open_array(folder / f"{name}.npy", np.float16, shape) for name in ("mean", "std"))
    num_channels = int(vae.config["in_channels"])
    encoder: Any = vae.eval()
    encoder = encoder.to(device=device, memory_format=torch.channels_last)
    for start in range(first, len(dataset.images), 50):
        stop = min(start + 50, len(dataset.images))
        with torch.inference_mode():
            pixels = as_vae_input(dataset.images[start:stop], device, num_channels)
            posterior = encoder.encode(pixels).latent_dist
        mean[start:stop], std[start:stop] = posterior.mean.cpu(), posterior.std.cpu()
        if stop % 2000 == 0 or stop == len(dataset.images):
            mean.flush()
            std.flush()
            done = {"vae": key, "shape": shape, "num_images": stop}
            write_file(progress_path, json.dumps(done).encode())
            log.info("encoded %d of %d images", stop, len(dataset.images))
    return LatentStatistics(mean, std)


def _num_encoded(folder: Path, key: str, shape: tuple[int, ...]) -> int:
    """Number of images already encoded; 0, and logged, if uncertain."""
    try:
        done = read_json_object(folder / "done.json", RunError, "the latents are encoded again")
        if done.get("vae") != key or done.get("shape") != list(shape):
            return 0
        whole = [np.load(folder / f"{name}.npy", mmap_mode="r").shape for name in ("mean", "std")]
        num_images = done["num_images"]
        if whole == [shape, shape] and type(num_images) is int and 0 <= num_images <= shape[0]:
            return num_images
    except FileNotFoundError:
        return 0
    except (RunError, OSError, EOFError, ValueError, TypeError, KeyError):
        pass  # damaged: as below
    log.warning("the latents in %s are damaged and are encoded again", folder)
    return 0


def _latent_shape(
    vae: AutoencoderKL, dataset: ImageDataset, device: torch.device
) -> tuple[int, ...]:
    factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
    num_images, height, width = dataset.images.shape
    return num_images, vae.config["latent_channels"], height // factor, width // factor


def weights_hash(vae: AutoencoderKL) -> str:
    """The SHA-256 of the autoencoder's weights."""
    digest = sha256()
    for name, value in sorted(vae.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_generator(
    out: Path,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> None:
    """Writes a folder that diffusers loads as a StableDiffusionPipeline, weights as float16."""
    # Written last: without it the folder is not a generator, and its parts may not belong together.
    (out / _INDEX).unlink(missing_ok=True)
    for name, part in (("vae", vae), ("unet", unet), ("text_encoder", text_encoder)):
        with saving(out / name), new_files(out / name, last="config.json") as written:
            part.half().save_pretrained(written)
    if not (out / "tokenizer" / TOKENIZER_FILES[0]).is_file():
        copy_tokenizer(tokenizer, out / "tokenizer")
    with new_files(out / "scheduler", last="scheduler_config.json") as written:
        make_scheduler().save_pretrained(written)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write_file(out / _INDEX, (json.dumps(index, indent=2) + "\n").encode())
