"""Each family of generators that PairAug loads: random weights, tiny, in the upstream's layout.

They are put together and saved by diffusers' own pipelines. Then what today's libraries write in
another way than those that wrote the upstream folders is put back: names of weights, tokenizers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from support.tiny_generator import SPECIAL, WINDOW, sharpen_attention, vocabulary

FAMILIES = ("sd1", "sd2", "sdxl")
NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def write_pipeline(
    folder: Path, family: str, *, is_upstream: bool = True, zeroes_empty: bool = True
) -> Path:
    """`folder`, filled with a model of 16-pixel images, 8 x 8 latents and 32 tokens."""
    torch.manual_seed(0)
    scratch = folder.with_name(f"{folder.name}-tokenizers")
    if family == "sdxl":
        pipeline = _sdxl(scratch, zeroes_empty)
    else:
        pipeline = _sd(scratch, is_second=family == "sd2")
    pipeline.save_pretrained(folder)
    if is_upstream:
        _as_upstream(folder, scratch)
    return folder


def _sd(scratch: Path, is_second: bool) -> StableDiffusionPipeline:
    """1.x: CLIP ViT-L, epsilon. 2.x: OpenCLIP without its last layer, velocity, padding is "!"."""
    return StableDiffusionPipeline(
        vae=_vae(0.18215),
        text_encoder=CLIPTextModel(_text_config(16, "gelu" if is_second else "quick_gelu")),
        tokenizer=_tokenizer(scratch / "tokenizer", "!" if is_second else SPECIAL[1]),
        unet=_denoiser(
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=(2, 4) if is_second else 2,
            use_linear_projection=is_second,
        ),
        scheduler=(
            DDIMScheduler(
                **NOISE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False
            )
            if is_second
            else PNDMScheduler(**NOISE, skip_prk_steps=True)
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(scratch: Path, zeroes_empty: bool) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline(
        vae=_vae(0.13025),
        text_encoder=CLIPTextModel(_text_config(16, "quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(24, "gelu")),
        tokenizer=_tokenizer(scratch / "tokenizer", SPECIAL[1]),
        tokenizer_2=_tokenizer(scratch / "tokenizer_2", "!"),
        unet=_denoiser(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=40,
            attention_head_dim=(2, 4),
            transformer_layers_per_block=[1, 2],
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=12 + 6 * 8,
        ),
        scheduler=EulerDiscreteScheduler(**NOISE, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=zeroes_empty,
        add_watermarker=False,
    )


def _vae(scaling_factor: float) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=scaling_factor,
    )


def _denoiser(**kind: Any) -> UNet2DConditionModel:
    denoiser = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4, **kind
    )
    sharpen_attention(denoiser)
    return denoiser


def _text_config(width: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(_pieces()),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        hidden_act=activation,
        max_position_embeddings=WINDOW,
        # Wrong, and so upstream: transformers then takes the largest id for the end token.
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )


def _pieces() -> list[str]:
    """As in CLIP: "!" is the first piece, the begin and end token are the last."""
    inner = [piece for piece in vocabulary()[0] if piece not in SPECIAL]
    return ["!", "!</w>", *inner, *SPECIAL]


def _tokenizer(folder: Path, pad_token: str) -> CLIPTokenizer:
    """Written as upstream, and read from there."""
    folder.mkdir(parents=True)
    pieces = {piece: index for index, piece in enumerate(_pieces())}
    (folder / "vocab.json").write_text(json.dumps(pieces))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *vocabulary()[1]]) + "\n")
    start, end = SPECIAL
    specials = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": pad_token}
    (folder / "special_tokens_map.json").write_text(json.dumps(specials))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                **specials,
                "add_prefix_space": False,
                "do_lower_case": True,
                "errors": "replace",
                "model_max_length": WINDOW,
                "tokenizer_class": "CLIPTokenizer",
            }
        )
    )
    return CLIPTokenizer.from_pretrained(folder)


def _as_upstream(folder: Path, tokenizers: Path) -> None:
    for tokenizer in tokenizers.iterdir():
        shutil.rmtree(folder / tokenizer.name)
        shutil.copytree(tokenizer, folder / tokenizer.name)
    for weights in folder.glob("text_encoder*/model.safetensors"):
        tensors = load_file(weights)
        named = {
            name
            if name.startswith(("text_model.", "text_projection."))
            else f"text_model.{name}": (tensor)
            for name, tensor in tensors.items()
        }
        save_file(named, weights, metadata={"format": "pt"})
