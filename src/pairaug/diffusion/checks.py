"""The parts of a model, and whether they belong together and ask for nothing that is not given.

Parts of different models load without a word, and then generate noise or fail in the loop.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairaug.diffusion.folder import encoders_of
from pairaug.diffusion.schedule import check_scheduler, scheduler_config
from pairaug.errors import ModelError
from pairaug.hub.folders import read_config
from pairaug.hub.loading import Part, check_part, open_config
from pairaug.hub.tokenizers import check_vocabulary, open_tokenizer

# Original size, crop and target size: height and width, or top and left, of each.
_NUM_TIME_IDS = 6

_OLD_SIZE = 64

# What a denoiser may want to be told besides text and timestep, which is not given to it.
_NOT_GIVEN = (
    "class_embed_type",
    "num_class_embeds",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
)

# Channels that a denoiser takes beside those of its latents, and what makes of images fill them.
_FILLED_BY = {
    1: "it was trained to see a map of depth beside the latents",
    3: "it was trained to see a small image that it enlarges",
    4: "it was trained to see another image that it changes, as InstructPix2Pix is",
    5: "it was trained to fill in a masked image (inpainting)",
}


def parts_of(folder: Path, allow_pickle: bool = False) -> dict[str, Part]:
    """The parts of the generator in `folder` that hold weights, by name."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    kinds: dict[str, Any] = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    }
    named = ["unet", "vae", *(encoder for encoder, _ in encoders_of(folder))]
    return {name: Part(kinds[name], folder / name, allow_pickle) for name in named}


def check_generator(folder: Path, allow_pickle: bool = False) -> None:
    """Raises `ModelError` unless all parts of the generator are whole; no weight is read."""
    from transformers import CLIPTokenizer

    parts = parts_of(folder, allow_pickle)
    configs = {name: read_config(part.folder / "config.json") for name, part in parts.items()}
    # What a denoiser is for is said before what its weights lack.
    check_channels(configs["unet"], configs["vae"], folder)
    for part in parts.values():
        check_part(part)
    texts = [open_config(parts[name].kind, parts[name].folder) for name, _ in encoders_of(folder)]
    check_parts(
        _with_defaults(parts["unet"], configs["unet"]),
        _with_defaults(parts["vae"], configs["vae"]),
        sum(int(text.hidden_size) for text in texts),
        int(texts[-1].projection_dim) if len(texts) > 1 else None,
        folder,
    )
    for encoder, tokenizer in encoders_of(folder):
        words = open_tokenizer(CLIPTokenizer, folder / tokenizer)
        check_vocabulary(words, int(configs[encoder].get("vocab_size", 49408)), folder)
    check_scheduler(scheduler_config(folder), folder)


def enlarge_old(denoiser: Any, folder: Path) -> None:
    """Sets the size of latents to 64 where Stable Diffusion's pipelines do.

    Configurations of diffusers before 0.9 name a smaller one, which is not the size of training.
    """
    said = read_config(folder / "unet" / "config.json")
    release = re.match(r"(\d+)\.(\d+)", str(said.get("_diffusers_version", "")))
    is_old = release is not None and (int(release[1]), int(release[2])) < (0, 9)
    size = denoiser.config["sample_size"]
    if is_old and len(encoders_of(folder)) == 1 and isinstance(size, int) and size < _OLD_SIZE:
        denoiser.register_to_config(sample_size=_OLD_SIZE)


def check_parts(
    denoiser: Mapping[str, Any],
    vae: Mapping[str, Any],
    text_width: int,
    pooled_width: int | None,
    folder: Path,
) -> None:
    """Raises `ModelError` unless the configurations of denoiser and VAE go with the texts' widths.

    `pooled_width` is the length of the vector for a whole text; None where there is none.
    """
    wanted = denoiser["cross_attention_dim"]
    if text_width != wanted:
        raise ModelError(
            f"{folder}: the text encoder's width is {text_width}, the denoiser wants {wanted}"
        )
    check_channels(denoiser, vae, folder)
    if vae.get("latents_mean") is not None:
        raise ModelError(
            f"{folder}: the VAE's latents have a mean and deviation for each channel; PairAug "
            "knows one scaling_factor for all of them"
        )
    _check_conditions(denoiser, pooled_width, folder)
    _check_numbers(denoiser, vae, folder)


def check_channels(denoiser: Mapping[str, Any], vae: Mapping[str, Any], folder: Path) -> None:
    """Raises `ModelError` for a denoiser that takes more than the latents of the VAE."""
    channels, taken, made = (
        config.get(key, 4)
        for config, key in (
            (vae, "latent_channels"),
            (denoiser, "in_channels"),
            (denoiser, "out_channels"),
        )
    )
    if channels == taken == made:
        return
    both = all(isinstance(number, int) for number in (taken, channels))
    why = _FILLED_BY.get(taken - channels, "") if both else ""
    raise ModelError(
        f"{folder}: the VAE has {channels} latent channels, the denoiser takes {taken} and "
        f"makes {made}; {why or 'they are of different models'}. PairAug gives a denoiser its "
        "latents and a text alone; use the base model"
    )


def _with_defaults(part: Part, config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with what its class takes where the file says nothing."""
    taken = inspect.signature(part.kind.__init__).parameters.values()
    return {each.name: each.default for each in taken if each.default is not each.empty} | {
        **config
    }


def _check_numbers(denoiser: Mapping[str, Any], vae: Mapping[str, Any], folder: Path) -> None:
    """The numbers that are calculated with, and no weight's shape depends on."""
    size = denoiser["sample_size"]
    sides = size if isinstance(size, list | tuple) else [size]
    if not all(type(side) is int and side > 0 and side == sides[0] for side in sides):
        raise ModelError(
            f"{folder}: the denoiser's sample_size is {size}; PairAug needs one whole number, the "
            "side of square latents"
        )
    scale, shift = vae["scaling_factor"], vae.get("shift_factor") or 0.0
    if not (_is_finite(scale) and scale > 0 and _is_finite(shift)):
        raise ModelError(
            f"{folder}: the VAE's scaling_factor is {scale}, its shift_factor {shift}; PairAug "
            "needs a number above 0, and any number or null"
        )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_conditions(denoiser: Mapping[str, Any], pooled_width: int | None, folder: Path) -> None:
    """Raises `ModelError` where the denoiser expects a condition that PairAug does not give it."""
    for key in _NOT_GIVEN:
        if denoiser.get(key) is not None:
            raise ModelError(
                f"{folder}: the denoiser's {key} is {denoiser[key]}; PairAug tells a denoiser "
                "its text alone"
            )
    if denoiser.get("attention_type", "default") != "default":
        raise ModelError(
            f"{folder}: the denoiser's attention_type is {denoiser['attention_type']}; PairAug "
            "tells a denoiser its text alone"
        )
    kind = denoiser.get("addition_embed_type")
    if kind != (None if pooled_width is None else "text_time"):
        raise ModelError(
            f"{folder}: the denoiser's addition_embed_type is {kind}; PairAug knows none with one "
            "text encoder, and text_time with SDXL's two"
        )
    if pooled_width is None:
        return
    told = pooled_width + _NUM_TIME_IDS * int(denoiser["addition_time_embed_dim"])
    wanted = int(denoiser["projection_class_embeddings_input_dim"])
    if told != wanted:
        raise ModelError(
            f"{folder}: the second text encoder and {_NUM_TIME_IDS} time ids make {told} features, "
            f"the denoiser wants {wanted}; refiners cannot be used"
        )
