"""Whether the parts of a model belong together, and ask for nothing that is not given to them.

Parts of different models load without a word, and then draw noise or fail in the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairaug.errors import ModelError

# Original size, crop and target size: height and width, or top and left, of each.
_NUM_TIME_IDS = 6

# What a denoiser may want to be told besides text and timestep, which is not given to it.
_NEVER_TOLD = ("class_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")


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
    channels = int(vae["latent_channels"])
    taken, made = int(denoiser["in_channels"]), int(denoiser["out_channels"])
    if not channels == taken == made:
        raise ModelError(
            f"{folder}: the VAE has {channels} latent channels, the denoiser takes {taken} and "
            f"makes {made}; inpainting and upscaling models cannot be used"
        )
    if vae.get("latents_mean") is not None:
        raise ModelError(
            f"{folder}: the VAE's latents have a mean and deviation for each channel; PairAug "
            "knows one scaling_factor for all of them"
        )
    _check_told(denoiser, pooled_width, folder)


def _check_told(denoiser: Mapping[str, Any], pooled_width: int | None, folder: Path) -> None:
    """What the denoiser was trained to be told besides tokens and timestep must be given to it."""
    for key in _NEVER_TOLD:
        if denoiser.get(key) is not None:
            raise ModelError(
                f"{folder}: the denoiser's {key} is {denoiser[key]}; PairAug tells a denoiser "
                "its text alone"
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
