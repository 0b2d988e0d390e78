"""CLIP's two towers written out from the stored tensors, without transformers.

Radford et al. 2021: pre-norm transformers, quick GELU, the class token of the image and the end
token of the text projected without bias.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import layer_norm, softmax

Weights = dict[str, Tensor]


def image_vector(
    weights: Weights, image: np.ndarray, mean: list[float], std: list[float]
) -> Tensor:
    """The unit vector of an 8-bit grey image, prepared by Pillow alone."""
    size = 32
    height, width = image.shape
    scale = size / min(height, width)
    picture = Image.fromarray(image).resize(
        (max(size, int(width * scale)), max(size, int(height * scale))), Image.Resampling.BICUBIC
    )
    top, left = (picture.height - size) // 2, (picture.width - size) // 2
    grey = np.asarray(picture, dtype=np.float64)[top : top + size, left : left + size] / 255
    pixels = torch.tensor(
        np.stack([(grey - m) / s for m, s in zip(mean, std, strict=True)])
    ).float()
    kernel = weights["vision_model.embeddings.patch_embedding.weight"]
    patches = pixels.unfold(1, 8, 8).unfold(2, 8, 8).permute(1, 2, 0, 3, 4).reshape(16, -1)
    states = torch.cat(
        [
            weights["vision_model.embeddings.class_embedding"][None],
            patches @ kernel.reshape(len(kernel), -1).T,
        ]
    )
    states = states + weights["vision_model.embeddings.position_embedding.weight"]
    states = _norm(weights, "vision_model.pre_layrnorm", states)
    states = _layers(weights, "vision_model", states, torch.zeros(17, 17))
    pooled = _norm(weights, "vision_model.post_layernorm", states[0])
    return _unit(weights["visual_projection.weight"] @ pooled)


def text_vector(weights: Weights, ids: list[int]) -> Tensor:
    """The unit vector of token ids that end with the end token, unpadded."""
    states = weights["text_model.embeddings.token_embedding.weight"][ids]
    states = states + weights["text_model.embeddings.position_embedding.weight"][: len(ids)]
    future = torch.full((len(ids), len(ids)), -math.inf).triu(1)
    states = _layers(weights, "text_model", states, future)
    pooled = _norm(weights, "text_model.final_layer_norm", states)[-1]
    return _unit(weights["text_projection.weight"] @ pooled)


def _layers(weights: Weights, tower: str, states: Tensor, mask: Tensor) -> Tensor:
    for index in range(2):
        layer = f"{tower}.encoder.layers.{index}"
        normed = _norm(weights, f"{layer}.layer_norm1", states)
        states = states + _attention(weights, f"{layer}.self_attn", normed, mask)
        hidden = _linear(
            weights, f"{layer}.mlp.fc1", _norm(weights, f"{layer}.layer_norm2", states)
        )
        states = states + _linear(
            weights, f"{layer}.mlp.fc2", hidden * torch.sigmoid(1.702 * hidden)
        )
    return states


def _attention(weights: Weights, name: str, states: Tensor, mask: Tensor) -> Tensor:
    heads = []
    query, key, value = (_linear(weights, f"{name}.{part}_proj", states) for part in "qkv")
    width = states.shape[1] // 2
    for start in (0, width):
        part = slice(start, start + width)
        scores = query[:, part] @ key[:, part].T / math.sqrt(width) + mask
        heads.append(softmax(scores, dim=-1) @ value[:, part])
    return _linear(weights, f"{name}.out_proj", torch.cat(heads, dim=1))


def _linear(weights: Weights, name: str, states: Tensor) -> Tensor:
    return states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights: Weights, name: str, states: Tensor) -> Tensor:
    return layer_norm(
        states, states.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5
    )


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()
