"""The VAE, text encoder, denoiser and schedule that belong together, loaded from one folder.

What the models are asked for is here too: latents of films, films of latents, text states and
predictions. Loops over noise levels are in `sampling.py` and `editing.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from pairaug.diffusion.attention import Swap, Watch, is_swapping
from pairaug.diffusion.folder import variant_of, weights_sha256
from pairaug.diffusion.prompts import Prompt, fit_prompt
from pairaug.errors import ModelError
from pairaug.models import dtype_named, for_inference, one_line, without_progress_bar

Latents = Float[Tensor, "batch channel height width"]
Films = Float[np.ndarray, "film row column"]
TextStates = Float[Tensor, "prompt token feature"]

# A VAE's activations at full resolution dwarf everything else: latent positions per call.
_MAX_VAE_POSITIONS = 4 * 64 * 64


@dataclass(frozen=True, slots=True)
class Bundle:
    """A latent diffusion model, ready to use on one device.

    Films are float32 in [0, 1], `film row column`, at `image_size`; latents are float32 whatever
    the models' dtype, so that a trajectory of many steps loses nothing by rounding.
    """

    # Any: an AutoencoderKL, whose methods are annotated with types that nothing satisfies.
    vae: Any = field(repr=False)
    denoiser: UNet2DConditionModel = field(repr=False)
    text_encoder: CLIPTextModel = field(repr=False)
    tokenizer: CLIPTokenizer = field(repr=False)
    scheduler_config: Mapping[str, Any]
    sha256: str
    device: torch.device
    dtype: torch.dtype

    @property
    def window(self) -> int:
        """The most tokens that a prompt may have, both special tokens included."""
        positions = int(self.text_encoder.config.max_position_embeddings)
        return min(positions, int(self.tokenizer.model_max_length))

    @property
    def vae_factor(self) -> int:
        """Pixels per latent position, along each side."""
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    @property
    def image_size(self) -> int:
        """The side of the model's films, in pixels: the size it was trained at."""
        sample_size = self.denoiser.config["sample_size"]
        side = sample_size if isinstance(sample_size, int) else sample_size[0]
        return int(side) * self.vae_factor

    def latent_shape(self) -> tuple[int, int, int]:
        """Channel, height and width of the latents of one film."""
        side = self.image_size // self.vae_factor
        return int(self.denoiser.config["in_channels"]), side, side

    def fit_prompt(self, text: str) -> Prompt:
        """`text` as a prompt that fits the text encoder; what was left out is in the result."""
        return fit_prompt(text, self._num_tokens, self.window)

    def token_ids(self, prompt: str) -> list[int]:
        """The prompt's tokens with both special tokens and without padding."""
        ids = list(self.tokenizer(prompt).input_ids)
        if len(ids) > self.window:
            raise ValueError(f"a prompt of {len(ids)} tokens does not fit into {self.window}")
        return ids

    @torch.inference_mode()
    def encode_prompts(self, prompts: Sequence[str]) -> TextStates:
        """The text encoder's states, one row per prompt, padded to the window as in training.

        A prompt that does not fit is an error, never cut: see `fit_prompt`.
        """
        distinct = list(dict.fromkeys(prompts))
        for prompt in distinct:
            self.token_ids(prompt)
        tokens = self.tokenizer(
            distinct, padding="max_length", max_length=self.window, return_tensors="pt"
        ).to(self.device)
        # Stable Diffusion attends to padding too; only some text encoders ask for a mask.
        masked = bool(getattr(self.text_encoder.config, "use_attention_mask", False))
        states = self.text_encoder(
            tokens.input_ids, attention_mask=tokens.attention_mask if masked else None
        ).last_hidden_state
        rows = {prompt: row for row, prompt in enumerate(distinct)}
        return states[[rows[prompt] for prompt in prompts]]

    @torch.inference_mode()
    def encode_films(self, films: Films) -> Latents:
        """Scaled latents of films: the posterior's mean, so nothing is drawn."""
        pixels = torch.from_numpy(np.ascontiguousarray(films, dtype=np.float32))[:, None]
        pixels = (2.0 * pixels - 1.0).to(self.device, self.vae.dtype)
        pixels = pixels.expand(-1, int(self.vae.config["in_channels"]), -1, -1)
        parts = pixels.split(self._films_per_call(films.shape[-1] // self.vae_factor))
        posteriors = [self.vae.encode(part, return_dict=False)[0] for part in parts]
        means = torch.cat([posterior.mean for posterior in posteriors]).float()
        return (means - self._shift) * self._scaling

    @torch.inference_mode()
    def decode_latents(self, latents: Latents) -> Films:
        """The films of scaled latents, clipped to [0, 1]; NaN stays NaN."""
        unscaled = (latents / self._scaling + self._shift).to(self.vae.dtype)
        parts = unscaled.split(self._films_per_call(latents.shape[-1]))
        decoded = [self.vae.decode(part, return_dict=False)[0] for part in parts]
        pixels = torch.cat(decoded).float().mean(dim=1)
        return (pixels / 2.0 + 0.5).clamp(0.0, 1.0).cpu().numpy()

    def predict(
        self,
        latents: Latents,
        timestep: Int[Tensor, ""],
        text: TextStates,
        swap: Swap | None = None,
        watch: Watch | None = None,
    ) -> Latents:
        """The denoiser's output for each row, float32: epsilon or v, as the model was trained.

        `swap` and `watch` are for the processors of `attention.swapping`; outside of it this
        raises, because diffusers' own processors would leave them out without a word.
        """
        asked = {"swap": swap, "watch": watch}
        given = {name: value for name, value in asked.items() if value is not None}
        if given and not is_swapping(self.denoiser):
            raise RuntimeError(
                f"{' and '.join(given)} asked for, but the denoiser's layers do not obey it"
            )
        return self.denoiser(
            latents.to(self.dtype),
            timestep.to(self.device),
            encoder_hidden_states=text,
            cross_attention_kwargs=given or None,
            return_dict=False,
        )[0].float()

    def _num_tokens(self, text: str) -> int:
        # verbose=False: a text that is too long is what this is there to find.
        return len(self.tokenizer(text, verbose=False).input_ids)

    @property
    def _scaling(self) -> float:
        return float(self.vae.config["scaling_factor"])

    @property
    def _shift(self) -> float:
        return float(self.vae.config.get("shift_factor") or 0.0)

    def _films_per_call(self, latent_side: int) -> int:
        return max(1, _MAX_VAE_POSITIONS // latent_side**2)


def load_bundle(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    allow_pickle: bool = False,
) -> Bundle:
    """The model in `folder` (see `folder.model_folder`), cast to `dtype` whatever the disk holds.

    Only the five parts are read: a safety checker, which blackens films, never is.
    """
    torch_dtype = dtype_named(dtype)
    try:
        denoiser = _loaded(UNet2DConditionModel, folder, "unet", torch_dtype, allow_pickle)
        # Stable Diffusion's VAE overflows in half precision; bfloat16 has the range.
        vae_dtype = torch.float32 if dtype == "float16" else torch_dtype
        vae = _loaded(AutoencoderKL, folder, "vae", vae_dtype, allow_pickle)
        with without_progress_bar():
            text_encoder = CLIPTextModel.from_pretrained(
                folder,
                subfolder="text_encoder",
                dtype=torch_dtype,
                use_safetensors=None if allow_pickle else True,
                variant=variant_of(folder, "text_encoder"),
                local_files_only=True,
            )
        tokenizer = CLIPTokenizer.from_pretrained(
            folder, subfolder="tokenizer", local_files_only=True
        )
        config = _scheduler_config(folder)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"cannot load the generator in {folder}: {one_line(error)}") from error
    _check_parts(denoiser, vae, text_encoder, folder)
    return Bundle(
        for_inference(vae, device),
        for_inference(denoiser, device),
        for_inference(text_encoder, device),
        tokenizer,
        config,
        weights_sha256(folder),
        torch.device(device),
        torch_dtype,
    )


def _loaded(kind: Any, folder: Path, part: str, dtype: torch.dtype, allow_pickle: bool) -> Any:
    return kind.from_pretrained(
        folder,
        subfolder=part,
        torch_dtype=dtype,
        use_safetensors=None if allow_pickle else True,
        variant=variant_of(folder, part),
        local_files_only=True,
        # Without accelerate the other way only logs a warning and does this.
        low_cpu_mem_usage=False,
    )


def _scheduler_config(folder: Path) -> dict[str, Any]:
    path = folder / "scheduler" / "scheduler_config.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _check_parts(denoiser: Any, vae: Any, text_encoder: Any, folder: Path) -> None:
    """Parts of different models load without a word, and then draw noise or fail in the loop."""
    text_width = int(text_encoder.config.hidden_size)
    wanted_width = denoiser.config["cross_attention_dim"]
    if text_width != wanted_width:
        raise ModelError(
            f"{folder}: the text encoder's width is {text_width}, the denoiser wants {wanted_width}"
        )
    channels = int(vae.config["latent_channels"])
    taken, made = int(denoiser.config["in_channels"]), int(denoiser.config["out_channels"])
    if not channels == taken == made:
        raise ModelError(
            f"{folder}: the VAE has {channels} latent channels, the denoiser takes {taken} and "
            f"makes {made}; inpainting and upscaling models cannot be used"
        )
