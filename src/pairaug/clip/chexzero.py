"""CheXzero's weights, OpenAI's CLIP under OpenAI's names, loaded into transformers' CLIP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from pairaug.clip.folder import is_open_clip
from pairaug.clip.loading import check_shape, need, read_folder_weights, unwrap
from pairaug.clip.towers import ClipTowers
from pairaug.errors import ModelError
from pairaug.hub.files import read_checkpoint
from pairaug.hub.loading import load_from

_HEAD_WIDTH = 64
_BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)")
_LAYER = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)")
_OUTSIDE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}
_INSIDE = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
# Sizes stored among the weights in OpenAI's archives.
_SIZES = ("input_resolution", "context_length", "vocab_size")


def open_chexzero(folder: Path, dtype: torch.dtype, allow_pickle: bool) -> tuple[ClipTowers, int]:
    """(towers, side of their images in pixels) of a folder with CheXzero's weights."""
    model = model_of_openai_weights(folder, dtype, allow_pickle)
    config: Any = model.config
    return ClipTowers(model), int(config.vision_config.image_size)


def model_of_openai_weights(path: Path, dtype: torch.dtype, allow_pickle: bool) -> CLIPModel:
    """transformers' CLIP with the weights of a file or folder that uses OpenAI's names."""
    found = (
        read_folder_weights(path, allow_pickle)
        if path.is_dir()
        else _weights_of_file(path, allow_pickle)
    )
    weights = {name: weight for name, weight in found.items() if name not in _SIZES}
    config = clip_config(weights, path)
    return load_from(CLIPModel, config, dict(in_transformers_names(weights, path)), path, dtype)


def _weights_of_file(path: Path, allow_pickle: bool) -> dict[str, Tensor]:
    content = read_checkpoint(path, allow_pickle)
    if is_open_clip(path, content):
        raise ModelError(
            f"{path} is an open_clip checkpoint, whose activation and transform differ from "
            f"OpenAI's; convert it first: pairaug convert {path}"
        )
    return unwrap(content, path)


def image_size(weights: Mapping[str, Tensor], folder: Path) -> int:
    """Side in pixels of the images that the position embeddings cover."""
    positions = need(weights, "visual.positional_embedding", folder)
    patches = need(weights, "visual.conv1.weight", folder)
    return round((len(positions) - 1) ** 0.5) * int(patches.shape[-1])


def clip_config(weights: Mapping[str, Tensor], folder: Path) -> CLIPConfig:
    """Configuration of both towers, with widths and depths read from the weights."""
    patches = need(weights, "visual.conv1.weight", folder)
    tokens = need(weights, "token_embedding.weight", folder)
    positions = need(weights, "visual.positional_embedding", folder)
    text_positions = need(weights, "positional_embedding", folder)
    projection = need(weights, "text_projection", folder)
    width, text_width = int(patches.shape[0]), int(tokens.shape[1])
    dimension = int(projection.shape[1])
    side = round((len(positions) - 1) ** 0.5)
    check_shape(positions, (side * side + 1, width), "visual.positional_embedding", folder)
    check_shape(projection, (text_width, dimension), "text_projection", folder)
    check_shape(need(weights, "visual.proj", folder), (width, dimension), "visual.proj", folder)
    end = int(tokens.shape[0]) - 1
    return CLIPConfig(
        projection_dim=dimension,
        vision_config={
            "hidden_size": width,
            "intermediate_size": _mlp_width(weights, "visual.transformer", folder),
            "num_hidden_layers": _depth(weights, "visual."),
            "num_attention_heads": max(1, width // _HEAD_WIDTH),
            "num_channels": int(patches.shape[1]),
            "patch_size": int(patches.shape[-1]),
            "image_size": image_size(weights, folder),
            "hidden_act": "quick_gelu",
        },
        text_config={
            "vocab_size": int(tokens.shape[0]),
            "hidden_size": text_width,
            "intermediate_size": _mlp_width(weights, "transformer", folder),
            "num_hidden_layers": _depth(weights, None),
            "num_attention_heads": max(1, text_width // _HEAD_WIDTH),
            "max_position_embeddings": int(text_positions.shape[0]),
            "hidden_act": "quick_gelu",
            # The last two tokens of the vocabulary start and end a text.
            "bos_token_id": end - 1,
            "eos_token_id": end,
            "pad_token_id": end,
        },
    )


def in_transformers_names(
    weights: Mapping[str, Tensor], folder: Path
) -> Iterator[tuple[str, Tensor]]:
    """Weights under transformers' names, transposed where transformers stores them so."""
    for name, weight in weights.items():
        block = _BLOCK.fullmatch(name)
        if block:
            tower = "vision_model" if block[1] else "text_model"
            yield from _in_block(f"{tower}.encoder.layers.{block[2]}", block[3], weight)
        elif name in _OUTSIDE:
            yield _OUTSIDE[name], weight
        elif name in ("visual.proj", "text_projection"):
            side = "visual" if name.startswith("visual") else "text"
            yield f"{side}_projection.weight", weight.T.contiguous()
        else:
            raise ModelError(f"{folder} has a weight unknown to OpenAI's CLIP: {name}")


def fits_openai(config: Any) -> bool:
    """True if OpenAI's names can hold the model; they leave out the number of heads."""
    if config.model_type != "clip":
        return False
    text = config.text_config
    towers = (config.vision_config, text)
    # OpenAI's code takes the largest id as the end of a text; so does transformers if the end is 2.
    return text.eos_token_id in (2, text.vocab_size - 1) and all(
        tower.hidden_act == "quick_gelu"
        and tower.num_attention_heads == max(1, tower.hidden_size // _HEAD_WIDTH)
        for tower in towers
    )


def in_openai_names(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Weights of transformers' CLIP under OpenAI's names; inverts `in_transformers_names`."""
    outside = {ours: theirs for theirs, ours in _OUTSIDE.items()}
    inside = {ours: theirs for theirs, ours in _INSIDE.items()}
    for name, weight in weights.items():
        block = _LAYER.fullmatch(name)
        if block is None:
            if name in outside:
                yield outside[name], weight
            elif name in ("visual_projection.weight", "text_projection.weight"):
                theirs = "visual.proj" if name.startswith("visual") else "text_projection"
                yield theirs, weight.T.contiguous()
            elif not name.endswith("position_ids"):
                raise ModelError(f"OpenAI's CLIP has no weight for {name}")
            continue
        here = f"{'visual.' if block[1] == 'vision' else ''}transformer.resblocks.{block[2]}"
        stem, _, kind = block[3].rpartition(".")
        if stem == "self_attn.q_proj":
            parts = [weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            yield f"{here}.attn.in_proj_{kind}", torch.cat(parts)
        elif stem not in ("self_attn.k_proj", "self_attn.v_proj"):
            yield f"{here}.{inside.get(stem, stem)}.{kind}", weight


def _in_block(layer: str, name: str, weight: Tensor) -> Iterator[tuple[str, Tensor]]:
    if name in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = name.rpartition("_")[2]
        for part, piece in zip("qkv", weight.chunk(3), strict=True):
            yield f"{layer}.self_attn.{part}_proj.{kind}", piece.contiguous()
        return
    stem, _, kind = name.rpartition(".")
    yield f"{layer}.{_INSIDE.get(stem, stem)}.{kind}", weight


def _depth(weights: Mapping[str, Tensor], tower: str | None) -> int:
    blocks = (_BLOCK.fullmatch(name) for name in weights)
    return len({block[2] for block in blocks if block and block[1] == tower})


def _mlp_width(weights: Mapping[str, Tensor], tower: str, folder: Path) -> int:
    return int(need(weights, f"{tower}.resblocks.0.mlp.c_fc.weight", folder).shape[0])
