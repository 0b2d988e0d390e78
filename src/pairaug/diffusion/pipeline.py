"""The VAE, text encoders, denoiser and schedule that belong together, loaded from one folder.

`Pipeline` encodes and decodes images and predicts noise. Texts are encoded in `text.py`; the loops
over noise levels are in `sampling.py` and `editing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPTokenizer

from pairaug.diffusion.attention import AttentionSwap, is_swapping
from pairaug.diffusion.checks import check_parts, enlarge_old, parts_of
from pairaug.diffusion.compiling import (
    compile_denoiser,
    of_any_length,
    swap_of_any_length,
)
from pairaug.diffusion.folder import encoders_of, weights_sha256, zeroes_empty_text
from pairaug.diffusion.prompts import LongReport, Prompt
from pairaug.diffusion.schedule import scheduler_config
from pairaug.diffusion.text import Conditioning, TextEncoders, TextTower, check_same_tokens
from pairaug.diffusion.windows import Layout
from pairaug.hub.inference import dtype_of, for_inference
from pairaug.hub.loading import load_part
from pairaug.hub.tokenizers import check_vocabulary, open_tokenizer

Latents = Float[Tensor, "batch channel height width"]
Images = Float[np.ndarray, "image row column"]

# A VAE's activations at full resolution dwarf everything else: latent positions per call.
_MAX_VAE_POSITIONS = 4 * 64 * 64


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A latent diffusion model, ready to use on one device.

    Images are float32 in [0, 1], `image row column`, at `image_size`; latents are float32 whatever
    the models' dtype, so that a trajectory of many steps loses nothing by rounding.
    """

    # Any: an AutoencoderKL, whose methods are annotated with types that nothing satisfies.
    vae: Any = field(repr=False)
    denoiser: UNet2DConditionModel = field(repr=False)
    text_encoders: TextEncoders = field(repr=False)
    scheduler_config: Mapping[str, Any]
    sha256: str
    device: torch.device
    dtype: torch.dtype
    is_compiled: bool = False

    @property
    def window(self) -> int:
        """The tokens of one window of text, both special tokens included."""
        return self.text_encoders.window

    @property
    def vae_factor(self) -> int:
        """Pixels per latent position, along each side."""
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    @property
    def image_size(self) -> int:
        """The side of the model's images, in pixels: the size it was trained at."""
        sample_size = self.denoiser.config["sample_size"]
        side = sample_size if isinstance(sample_size, int) else sample_size[0]
        return int(side) * self.vae_factor

    def latent_shape(self) -> tuple[int, int, int]:
        """Channel, height and width of the latents of one image."""
        side = self.image_size // self.vae_factor
        return int(self.denoiser.config["in_channels"]), side, side

    def fit_prompt(self, text: str, long_report: LongReport = "shorten") -> Prompt:
        """`text` as a prompt, shortened if it exceeds the window; the result says by how much.

        Raises `ReportTooLongError` where `long_report` is `error`.
        """
        return self.text_encoders.fit_prompt(text, long_report)

    def fit_prompts(
        self, source: str, edited: str, long_report: LongReport = "shorten"
    ) -> tuple[Prompt, Prompt]:
        """The two prompts of an edit, shortened alike, so that they differ only where the texts do.

        Raises `ReportTooLongError` where `long_report` is `error`.
        """
        return self.text_encoders.fit_prompts(source, edited, long_report)

    def token_ids(self, prompt: str) -> list[int]:
        """The prompt's tokens with both special tokens and without padding."""
        return self.text_encoders.token_ids(prompt)

    def layout(self, prompt: str) -> Layout:
        """The prompt's tokens in as many windows as they need."""
        return self.text_encoders.layout(prompt)

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """The denoiser's text conditioning for each prompt, padded to the window as in training.

        Nothing is truncated: a prompt beyond the window takes several windows, and all prompts are
        padded with windows of the empty text to the same number. See `fit_prompt` for reports.
        """
        return self.text_encoders.encode(prompts, self.device)

    @torch.inference_mode()
    def encode_latents(self, images: Images) -> Latents:
        """Scaled latents of images: the posterior's mean, so nothing is sampled."""
        pixels = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
        pixels = (2.0 * pixels - 1.0).to(self.device, self.vae.dtype)
        pixels = pixels.expand(-1, int(self.vae.config["in_channels"]), -1, -1)
        parts = pixels.split(self._images_per_call(images.shape[-1] // self.vae_factor))
        posteriors = [self.vae.encode(part, return_dict=False)[0] for part in parts]
        means = torch.cat([posterior.mean for posterior in posteriors]).float()
        return (means - self._shift) * self._scaling

    @torch.inference_mode()
    def decode_latents(self, latents: Latents) -> Images:
        """The images of scaled latents, clipped to [0, 1]; NaN stays NaN."""
        unscaled = (latents / self._scaling + self._shift).to(self.vae.dtype)
        parts = unscaled.split(self._images_per_call(latents.shape[-1]))
        decoded = [self.vae.decode(part, return_dict=False)[0] for part in parts]
        pixels = torch.cat(decoded).float().mean(dim=1)
        return (pixels / 2.0 + 0.5).clamp(0.0, 1.0).cpu().numpy()

    def predict(
        self,
        latents: Latents,
        timestep: Int[Tensor, ""] | Float[Tensor, ""],
        text: Conditioning,
        swap: AttentionSwap | None = None,
    ) -> Latents:
        """The denoiser's output for each row, float32: epsilon or v, as the model was trained.

        `swap` needs the processors of `attention.swapping`. Outside of that context this raises,
        because diffusers' own processors would silently ignore the swap.
        """
        rows, timestep = latents.to(self.dtype), timestep.to(self.device)
        added = self._added(text)
        tokens = text.tokens
        if self.is_compiled:
            rows, tokens, timestep = (of_any_length(each) for each in (rows, tokens, timestep))
            swap = None if swap is None else swap_of_any_length(swap)
            added = added and {name: of_any_length(value) for name, value in added.items()}
        if swap is not None and not is_swapping(self.denoiser):
            raise RuntimeError("a swap was passed outside of `swapping`: it would have no effect")
        return self.denoiser(
            rows,
            timestep,
            encoder_hidden_states=tokens,
            added_cond_kwargs=added,
            cross_attention_kwargs=None if swap is None else {"swap": swap},
            return_dict=False,
        )[0].float()

    def _added(self, text: Conditioning) -> dict[str, Tensor] | None:
        """SDXL's additional conditions: the pooled text, and a size of `image_size`, uncropped.

        Podell et al. 2023, section 2.2: original height and width, top and left of the crop, target
        height and width.
        """
        if text.pooled is None:
            return None
        side = float(self.image_size)
        time_ids = torch.tensor([side, side, 0.0, 0.0, side, side], device=self.device)
        return {"text_embeds": text.pooled, "time_ids": time_ids.expand(len(text), -1)}

    @property
    def _scaling(self) -> float:
        return float(self.vae.config["scaling_factor"])

    @property
    def _shift(self) -> float:
        return float(self.vae.config.get("shift_factor") or 0.0)

    def _images_per_call(self, latent_side: int) -> int:
        return max(1, _MAX_VAE_POSITIONS // latent_side**2)


def load_pipeline(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    allow_pickle: bool = False,
    compile: bool = False,
) -> Pipeline:
    """The model in `folder` (see `folder.model_folder`), cast to `dtype` whatever the disk holds.

    Only its own parts are read: a safety checker, which blackens images, never is, nor a refiner.
    With `compile` the denoiser is compiled at its first steps, which takes minutes once.
    """
    torch_dtype = dtype_of(dtype)
    # Stable Diffusion's VAE overflows in half precision; bfloat16 has the range.
    dtypes = {"vae": torch.float32 if dtype == "float16" else torch_dtype}
    models = {
        name: load_part(part, dtypes.get(name, torch_dtype))
        for name, part in parts_of(folder, allow_pickle).items()
    }
    denoiser, vae = models["unet"], models["vae"]
    text_encoders = _text_encoders(folder, models, device)
    config = scheduler_config(folder)
    enlarge_old(denoiser, folder)
    check_parts(
        denoiser.config, vae.config, text_encoders.width, text_encoders.pooled_width, folder
    )
    vae, denoiser = for_inference(vae, device), for_inference(denoiser, device)
    if denoiser.device.type == "cuda":
        # The layout that cuDNN's half-precision convolutions are written for.
        for model in (vae, denoiser):
            model.to(memory_format=torch.channels_last)
    if compile:
        compile_denoiser(denoiser)
    return Pipeline(
        vae,
        denoiser,
        text_encoders,
        config,
        weights_sha256(folder),
        torch.device(device),
        torch_dtype,
        compile,
    )


def _text_encoders(folder: Path, models: Mapping[str, Any], device: str) -> TextEncoders:
    """One text encoder with its tokenizer, or SDXL's two, in the order of their states."""
    tokenizers, towers = [], []
    for part, tokenizer_part in encoders_of(folder):
        tokenizers.append(open_tokenizer(CLIPTokenizer, folder / tokenizer_part))
        model = models[part]
        check_vocabulary(tokenizers[-1], model.config.vocab_size, folder)
        towers.append(TextTower(for_inference(model, device), int(tokenizers[-1].pad_token_id)))
    for other in tokenizers[1:]:
        check_same_tokens(tokenizers[0], other, str(folder))
    return TextEncoders(tokenizers[0], tuple(towers), zeroes_empty_text(folder))
