"""The encoders' forward passes written out from stored tensors, without their libraries' classes.

One image, or one text without padding, at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, gelu, interpolate, layer_norm, softmax

Weights = dict[str, Tensor]


def unit(vector: Tensor) -> np.ndarray:
    return (vector / vector.norm()).numpy()


def medclip_pixels(image: np.ndarray) -> Tensor:
    """Eight-bit image: black to a square, 224 pixels, one mean and deviation."""
    height, width = image.shape
    side = max(224, height, width)
    square = np.zeros((side, side), dtype=np.uint8)
    top, left = int((side - height) / 2), int((side - width) / 2)
    square[top : top + height, left : left + width] = image
    small = Image.fromarray(square).resize((224, 224), Image.Resampling.BICUBIC)
    grey = (np.asarray(small) / 255.0 - 0.5862785803043838) / 0.27950088968644304
    return torch.tensor(grey).float().expand(3, -1, -1)


def medclip_image(weights: Weights, image: np.ndarray) -> np.ndarray:
    swin = {
        name.removeprefix("vision_model.model."): weight
        for name, weight in weights.items()
        if name.startswith("vision_model.model.")
    }
    kernel = swin["embeddings.patch_embeddings.projection.weight"]
    bias = swin["embeddings.patch_embeddings.projection.bias"]
    grid = conv2d(medclip_pixels(image)[None], kernel, bias, stride=4)[0].permute(1, 2, 0)
    grid = _norm(swin, "embeddings.norm", grid)
    stage = 0
    while f"encoder.layers.{stage}.blocks.0.layernorm_before.weight" in swin:
        block = 0
        while f"encoder.layers.{stage}.blocks.{block}.layernorm_before.weight" in swin:
            shift = 3 if block % 2 and len(grid) > 7 else 0
            grid = _swin_block(swin, f"encoder.layers.{stage}.blocks.{block}", grid, shift)
            block += 1
        down = f"encoder.layers.{stage}.downsample"
        if f"{down}.reduction.weight" in swin:
            corners = [grid[0::2, 0::2], grid[1::2, 0::2], grid[0::2, 1::2], grid[1::2, 1::2]]
            grid = _norm(swin, f"{down}.norm", torch.cat(corners, dim=-1))
            grid = grid @ swin[f"{down}.reduction.weight"].T
        stage += 1
    pooled = _norm(swin, "layernorm", grid).mean((0, 1))
    return unit(weights["vision_model.projection_head.weight"] @ pooled)


def _swin_block(swin: Weights, name: str, grid: Tensor, shift: int) -> Tensor:
    side, width = len(grid), grid.shape[-1]
    table = swin[f"{name}.attention.self.relative_position_bias_table"]
    heads = table.shape[1]
    normed = torch.roll(_norm(swin, f"{name}.layernorm_before", grid), (-shift, -shift), (0, 1))
    attended = torch.zeros_like(normed)
    places = [(row, column) for row in range(7) for column in range(7)]
    offsets = torch.tensor([[(a - c + 6) * 13 + (b - d + 6) for c, d in places] for a, b in places])
    for top in range(0, side, 7):
        for left in range(0, side, 7):
            window = normed[top : top + 7, left : left + 7].reshape(49, width)
            bias = table[offsets].permute(2, 0, 1)
            if shift:
                regions = torch.tensor(
                    [
                        [_region(top + r, side, shift), _region(left + c, side, shift)]
                        for r, c in places
                    ]
                )
                is_apart = (regions[:, None] != regions[None]).any(-1)
                bias = bias.masked_fill(is_apart[None], -math.inf)
            out = _attention(swin, f"{name}.attention", window, heads, bias)
            attended[top : top + 7, left : left + 7] = out.reshape(7, 7, width)
    grid = grid + torch.roll(attended, (shift, shift), (0, 1))
    hidden = gelu(
        _linear(swin, f"{name}.intermediate.dense", _norm(swin, f"{name}.layernorm_after", grid))
    )
    return grid + _linear(swin, f"{name}.output.dense", hidden)


def _region(place: int, side: int, shift: int) -> int:
    """Places that were neighbours before the roll share a number, within a window."""
    return 0 if place < side - shift else 1


def medclip_text(weights: Weights, ids: list[int]) -> np.ndarray:
    bert = {
        name.removeprefix("text_model.model."): weight
        for name, weight in weights.items()
        if name.startswith("text_model.model.")
    }
    states = bert["embeddings.word_embeddings.weight"][ids]
    states = states + bert["embeddings.position_embeddings.weight"][: len(ids)]
    states = states + bert["embeddings.token_type_embeddings.weight"][0]
    states = _norm(bert, "embeddings.LayerNorm", states, 1e-12)
    layers, layer = [], 0
    while f"encoder.layer.{layer}.output.dense.weight" in bert:
        here = f"encoder.layer.{layer}"
        out = _attention(bert, f"{here}.attention", states, 12, torch.zeros(()))
        states = _norm(bert, f"{here}.attention.output.LayerNorm", states + out, 1e-12)
        hidden = gelu(_linear(bert, f"{here}.intermediate.dense", states))
        out = _linear(bert, f"{here}.output.dense", hidden)
        states = _norm(bert, f"{here}.output.LayerNorm", states + out, 1e-12)
        layers.append(states)
        layer += 1
    chosen = torch.stack([layers[0], layers[1], layers[-1]])
    return unit(weights["text_model.projection_head.weight"] @ chosen.mean((0, 1)))


def chexzero_pixels(image: np.ndarray, size: int = 224) -> Tensor:
    """Eight-bit image: longer side 320, black around it, normalised on levels, then resized."""
    height, width = image.shape
    ratio = 320 / max(height, width)
    new = (int(width * ratio), int(height * ratio))
    small = np.asarray(Image.fromarray(image).resize(new, Image.Resampling.LANCZOS))
    square = np.zeros((320, 320))
    top, left = (320 - new[1]) // 2, (320 - new[0]) // 2
    square[top : top + new[1], left : left + new[0]] = small
    levels = torch.tensor((square - 101.48761) / 83.43944).float()
    return interpolate(levels[None, None], size=(size, size), mode="bicubic")[0].expand(3, -1, -1)


def chexzero_image(weights: Weights, image: np.ndarray) -> np.ndarray:
    patches = conv2d(chexzero_pixels(image)[None], weights["visual.conv1.weight"], stride=32)
    states = torch.cat([weights["visual.class_embedding"][None], patches[0].flatten(1).T])
    states = states + weights["visual.positional_embedding"]
    states = _norm(weights, "visual.ln_pre", states)
    states = _resblocks(weights, "visual.transformer", states, torch.zeros(()))
    return unit(_norm(weights, "visual.ln_post", states[0]) @ weights["visual.proj"])


def chexzero_text(weights: Weights, ids: list[int]) -> np.ndarray:
    states = weights["token_embedding.weight"][ids]
    states = states + weights["positional_embedding"][: len(ids)]
    future = torch.full((len(ids), len(ids)), -math.inf).triu(1)
    states = _resblocks(weights, "transformer", states, future)
    return unit(_norm(weights, "ln_final", states)[-1] @ weights["text_projection"])


def open_clip_pixels(image: np.ndarray) -> Tensor:
    """Eight-bit image: shorter side 224, the middle, OpenAI's mean and deviation by channel."""
    height, width = image.shape
    ratio = 224 / min(height, width)
    new = (int(width * ratio), int(height * ratio))
    small = np.asarray(Image.fromarray(image).resize(new, Image.Resampling.BICUBIC))
    top, left = (new[1] - 224) // 2, (new[0] - 224) // 2
    grey = torch.tensor(small[top : top + 224, left : left + 224] / 255.0)[None]
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    return ((grey - mean) / deviation).float()


def open_clip_image(weights: Weights, image: np.ndarray) -> np.ndarray:
    patches = conv2d(open_clip_pixels(image)[None], weights["visual.conv1.weight"], stride=32)
    states = torch.cat([weights["visual.class_embedding"][None], patches[0].flatten(1).T])
    states = _norm(weights, "visual.ln_pre", states + weights["visual.positional_embedding"])
    states = _resblocks(weights, "visual.transformer", states, torch.zeros(()), gelu)
    return unit(_norm(weights, "visual.ln_post", states[0]) @ weights["visual.proj"])


def open_clip_text(weights: Weights, ids: list[int]) -> np.ndarray:
    states = weights["token_embedding.weight"][ids] + weights["positional_embedding"][: len(ids)]
    future = torch.full((len(ids), len(ids)), -math.inf).triu(1)
    states = _resblocks(weights, "transformer", states, future, gelu)
    return unit(_norm(weights, "ln_final", states)[-1] @ weights["text_projection"])


def quick_gelu(hidden: Tensor) -> Tensor:
    return hidden * torch.sigmoid(1.702 * hidden)


def _resblocks(
    weights: Weights,
    tower: str,
    states: Tensor,
    mask: Tensor,
    activation: Callable[[Tensor], Tensor] = quick_gelu,
) -> Tensor:
    layer = 0
    while f"{tower}.resblocks.{layer}.ln_1.weight" in weights:
        here = f"{tower}.resblocks.{layer}"
        joined = _norm(weights, f"{here}.ln_1", states) @ weights[f"{here}.attn.in_proj_weight"].T
        query, key, value = (joined + weights[f"{here}.attn.in_proj_bias"]).chunk(3, dim=-1)
        heads = states.shape[-1] // 64
        out = _heads(query, key, value, heads, mask)
        states = states + _linear(weights, f"{here}.attn.out_proj", out)
        hidden = _linear(weights, f"{here}.mlp.c_fc", _norm(weights, f"{here}.ln_2", states))
        states = states + _linear(weights, f"{here}.mlp.c_proj", activation(hidden))
        layer += 1
    return states


def rad_dino_image(weights: Weights, image: np.ndarray) -> np.ndarray:
    """Eight-bit square image of 518 pixels, so that nothing is resized or cropped."""
    pixels = torch.tensor((image / 255.0 - 0.5307) / 0.2583).float().expand(1, 3, -1, -1)
    kernel = weights["embeddings.patch_embeddings.projection.weight"]
    bias = weights["embeddings.patch_embeddings.projection.bias"]
    patches = conv2d(pixels, kernel, bias, stride=14)[0].flatten(1).T
    states = torch.cat([weights["embeddings.cls_token"][0], patches])
    states = states + weights["embeddings.position_embeddings"][0]
    layer = 0
    while f"encoder.layer.{layer}.norm1.weight" in weights:
        here = f"encoder.layer.{layer}"
        normed = _norm(weights, f"{here}.norm1", states, 1e-6)
        query, key, value = (
            _linear(weights, f"{here}.attention.attention.{part}", normed)
            for part in ("query", "key", "value")
        )
        out = _heads(query, key, value, 12, torch.zeros(()))
        out = _linear(weights, f"{here}.attention.output.dense", out)
        states = states + out * weights[f"{here}.layer_scale1.lambda1"]
        hidden = gelu(
            _linear(weights, f"{here}.mlp.fc1", _norm(weights, f"{here}.norm2", states, 1e-6))
        )
        out = _linear(weights, f"{here}.mlp.fc2", hidden)
        states = states + out * weights[f"{here}.layer_scale2.lambda1"]
        layer += 1
    return unit(_norm(weights, "layernorm", states, 1e-6)[0])


def siglip_image(weights: Weights, pixels: Tensor, num_heads: int) -> np.ndarray:
    """Normalised pixels; attention pooling by one learnt probe."""
    tower = "vision_model."
    kernel = weights[f"{tower}embeddings.patch_embedding.weight"]
    bias = weights[f"{tower}embeddings.patch_embedding.bias"]
    states = conv2d(pixels[None], kernel, bias, stride=kernel.shape[-1])[0].flatten(1).T
    states = states + weights[f"{tower}embeddings.position_embedding.weight"]
    states = _siglip_layers(weights, f"{tower}encoder.layers", states, num_heads)
    states = _norm(weights, f"{tower}post_layernorm", states, 1e-6)
    joined_weight = weights[f"{tower}head.attention.in_proj_weight"].chunk(3)
    joined_bias = weights[f"{tower}head.attention.in_proj_bias"].chunk(3)
    probe = weights[f"{tower}head.probe"][0]
    query, key, value = (
        side @ weight.T + bias
        for side, weight, bias in zip(
            (probe, states, states), joined_weight, joined_bias, strict=True
        )
    )
    pooled = _heads(query, key, value, num_heads, torch.zeros(()))
    pooled = _linear(weights, f"{tower}head.attention.out_proj", pooled)
    normed = _norm(weights, f"{tower}head.layernorm", pooled, 1e-6)
    return unit((pooled + _siglip_mlp(weights, f"{tower}head.mlp", normed))[0])


def siglip_text(weights: Weights, ids: list[int], num_heads: int) -> np.ndarray:
    """Ids padded to the window, which is attended to as a whole."""
    tower = "text_model."
    states = weights[f"{tower}embeddings.token_embedding.weight"][ids]
    states = states + weights[f"{tower}embeddings.position_embedding.weight"]
    states = _siglip_layers(weights, f"{tower}encoder.layers", states, num_heads)
    states = _norm(weights, f"{tower}final_layer_norm", states, 1e-6)
    return unit(_linear(weights, f"{tower}head", states[-1]))


def _siglip_layers(weights: Weights, tower: str, states: Tensor, num_heads: int) -> Tensor:
    layer = 0
    while f"{tower}.{layer}.layer_norm1.weight" in weights:
        here = f"{tower}.{layer}"
        normed = _norm(weights, f"{here}.layer_norm1", states, 1e-6)
        parts = (_linear(weights, f"{here}.self_attn.{part}_proj", normed) for part in "qkv")
        out = _heads(*parts, num_heads, torch.zeros(()))
        states = states + _linear(weights, f"{here}.self_attn.out_proj", out)
        normed = _norm(weights, f"{here}.layer_norm2", states, 1e-6)
        states = states + _siglip_mlp(weights, f"{here}.mlp", normed)
        layer += 1
    return states


def _siglip_mlp(weights: Weights, name: str, states: Tensor) -> Tensor:
    hidden = gelu(_linear(weights, f"{name}.fc1", states), approximate="tanh")
    return _linear(weights, f"{name}.fc2", hidden)


def _attention(weights: Weights, name: str, states: Tensor, heads: int, bias: Tensor) -> Tensor:
    parts = (_linear(weights, f"{name}.self.{part}", states) for part in ("query", "key", "value"))
    return _linear(weights, f"{name}.output.dense", _heads(*parts, heads, bias))


def _heads(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor) -> Tensor:
    width = query.shape[-1] // heads
    outs = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part] @ key[:, part].T / math.sqrt(width)
        scores = scores + (bias[head] if bias.dim() == 3 else bias)
        outs.append(softmax(scores, dim=-1) @ value[:, part])
    return torch.cat(outs, dim=-1)


def _linear(weights: Weights, name: str, states: Tensor) -> Tensor:
    return states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights: Weights, name: str, states: Tensor, eps: float = 1e-5) -> Tensor:
    return layer_norm(
        states, states.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps
    )
