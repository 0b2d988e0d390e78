"""A latent diffusion model of random weights in exactly Stable Diffusion's folder layout, tiny.

Real classes of diffusers and transformers, saved to disk; only the widths are small.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

WORDS = (  # noqa: SIM905
    "normal enlarged heart size no pleural effusion small large left right the is lungs are clear "
    "pneumothorax there a mild severe edema and with of acute finding nodule upper lobe cardiac "
    "silhouette moderate"
).split()
SPECIAL = ("<|startoftext|>", "<|endoftext|>")
WINDOW = 32


def write_generator(
    folder: Path,
    *,
    prediction_type: str = "epsilon",
    vae_channels: int = 1,
    dtype: torch.dtype = torch.float32,
    scheduler: type = DDIMScheduler,
    seed: int = 0,
) -> Path:
    """`folder`, filled with a model of 16-pixel images, 8 x 8 latents and 32 tokens.

    Its UNet attends over 64 and 16 positions, and to its tokens sharply enough to matter.
    """
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        in_channels=vae_channels,
        out_channels=vae_channels,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.7,
    )
    denoiser = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    sharpen_attention(denoiser)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary()[0]),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=WINDOW,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    for name, model in (("vae", vae), ("unet", denoiser), ("text_encoder", text_encoder)):
        if dtype is not torch.float32:
            model.to(dtype)
        model.save_pretrained(folder / name)
    scheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")
    _write_tokenizer(folder / "tokenizer")
    _write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "safety_checker": [None, None],
            "scheduler": ["diffusers", scheduler.__name__],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    return folder


def sharpen_attention(denoiser: UNet2DConditionModel) -> None:
    """Random projections give nearly uniform maps, which hide a wrong swap: make them peaked.

    The output is scaled down in turn, or the loop would be chaotic and amplify float noise.
    """
    with torch.no_grad():
        for name, parameter in denoiser.named_parameters():
            if name.endswith(("to_q.weight", "to_k.weight")):
                parameter.mul_(4.0)
            elif name.startswith("conv_out"):
                parameter.mul_(0.1)


def vocabulary() -> tuple[dict[str, int], list[str]]:
    """CLIP's vocabulary and merges, cut down to `WORDS`, single letters and a few signs."""
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,:_-"]
    pieces = [*SPECIAL, *letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[str] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge = f"{parts[0]} {parts[1]}"
            parts = [parts[0] + parts[1], *parts[2:]]
            if merge not in merges:
                merges.append(merge)
                pieces.append(parts[0])
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}, merges


def _write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True)
    pieces, merges = vocabulary()
    _write_json(folder / "vocab.json", pieces)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    start, end = SPECIAL
    specials = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    _write_json(folder / "special_tokens_map.json", specials)
    _write_json(
        folder / "tokenizer_config.json",
        {**specials, "tokenizer_class": "CLIPTokenizer", "model_max_length": WINDOW},
    )


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2))
