"""MedCLIP's weights under their original names: a Swin image tower and a BERT text tower.

Wang et al. 2022, version 0.0.3 of the package. Widths are read from the weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, SwinConfig, SwinModel

from pairaug.clip.loading import check_shape, need, read_folder_weights
from pairaug.clip.towers import scale_of
from pairaug.errors import ModelError
from pairaug.hub.loading import Differences, check_finite, load_from, refuse_differences

IMAGE_SIZE = 224
_HEAD_WIDTH = 64  # of Bio_ClinicalBERT and of every BERT of the usual widths
_LENGTHS = (32, 64, 128, 256)
_VISION, _TEXT = "vision_model.model.", "text_model.model."
_PROJECTION = "{}projection_head.weight"
_KNOWN = (
    _VISION,
    _TEXT,
    *(_PROJECTION.format(tower) for tower in ("vision_model.", "text_model.")),
    "logit_scale",
)
# Names of a Swin tower in transformers 5 → when MedCLIP was published.
_RENAMED = {
    "attention.q_proj.": "attention.self.query.",
    "attention.k_proj.": "attention.self.key.",
    "attention.v_proj.": "attention.self.value.",
    "attention.o_proj.": "attention.output.dense.",
    "attention.relative_position_bias.": "attention.self.",
    "mlp.fc1.": "intermediate.dense.",
    "mlp.fc2.": "output.dense.",
}
# Derived from the shapes; stored by older versions of transformers.
_BUFFERS = re.compile(r"position_ids$|relative_position_index$|attn_mask$")


class MedClip(nn.Module):
    """Both towers with their projections."""

    def __init__(self, vision: nn.Module, text: nn.Module, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.vision, self.text = vision, text
        self.project_image = _linear(weights["vision_model.projection_head.weight"])
        self.project_text = _linear(weights["text_model.projection_head.weight"])


class MedClipTowers:
    """MedCLIP's two towers for an encoder."""

    def __init__(self, model: MedClip, logit_scale: float) -> None:
        self.model: Any = model
        vision: Any = model.vision.config
        text: Any = model.text.config
        self.dimension = int(model.project_image.out_features)
        self.num_channels = int(vision.num_channels)
        self.max_tokens = int(text.max_position_embeddings)
        self.num_words = int(text.vocab_size)
        # A text's vector does not depend on padding, and few reports need all positions.
        self.lengths: tuple[int, ...] = (
            *(each for each in _LENGTHS if each < self.max_tokens),
            self.max_tokens,
        )
        self.logit_scale: float | None = logit_scale

    def image_features(self, pixels: Tensor) -> Tensor:
        """`image dimension`, not normalized: the last stage averaged over positions, projected."""
        return self.model.project_image(self.model.vision(pixel_values=pixels).pooler_output)

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`text dimension`, not normalized.

            projection of the mean, over tokens, of the mean of the hidden layers 1, 2 and last

        The original averages over padding too, so its vectors depend on the batch. Here padding
        is ignored, which equals the original for a single text.
        """
        states = self.model.text(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states
        layers = (states[1] + states[2] + states[-1]) / 3
        weights = mask.to(layers.dtype)[..., None]
        return self.model.project_text((layers * weights).sum(1) / weights.sum(1))


def open_medclip(folder: Path, dtype: torch.dtype, allow_pickle: bool) -> MedClipTowers:
    """Towers of a folder with MedCLIP's weights under their original names."""
    weights = {
        _published_name(name): weight
        for name, weight in read_folder_weights(folder, allow_pickle).items()
    }
    others = [name for name in weights if not name.startswith(_KNOWN)]
    refuse_differences(str(folder), Differences(left_over=others))
    vision = _under(_VISION, weights)
    text = _under(_TEXT, weights)
    widths = {}
    for tower, inner, norm in (
        ("vision_model.", vision, "layernorm.weight"),
        ("text_model.", text, "embeddings.LayerNorm.weight"),
    ):
        projection = need(weights, _PROJECTION.format(tower), folder)
        widths[tower] = len(projection)
        width = len(need(inner, norm, folder))
        check_shape(projection, (len(projection), width), _PROJECTION.format(tower), folder)
    if len(set(widths.values())) > 1:
        raise ModelError(f"{folder}: both projections need the same width; the widths are {widths}")
    model = MedClip(
        load_from(SwinModel, swin_config(vision, folder), vision, folder, dtype),
        load_from(BertModel, bert_config(text, folder), text, folder, dtype),
        weights,
    )
    scale = need(weights, "logit_scale", folder)
    check_shape(scale.reshape(-1), (1,), "logit_scale", folder)
    check_finite(model, folder)
    return MedClipTowers(model.to(dtype), scale_of(scale))


def swin_config(weights: Mapping[str, Tensor], folder: Path) -> SwinConfig:
    """Configuration of a Swin tower, with widths and depths read from the weights."""
    patches = need(weights, "embeddings.patch_embeddings.projection.weight", folder)
    depths, heads, table = [], [], None
    while True:
        stage = f"encoder.layers.{len(depths)}.blocks."
        depth = _count(weights, stage)
        if not depth:
            break
        name = f"{stage}0.attention.self.relative_position_bias_table"
        table = need(weights, name, folder)
        depths.append(depth)
        heads.append(int(table.shape[1]))
    if table is None:
        raise ModelError(f"{folder} lacks the blocks of MedCLIP's image tower")
    hidden = need(weights, "encoder.layers.0.blocks.0.intermediate.dense.weight", folder)
    return SwinConfig(
        image_size=IMAGE_SIZE,
        patch_size=int(patches.shape[-1]),
        num_channels=int(patches.shape[1]),
        embed_dim=int(patches.shape[0]),
        depths=depths,
        num_heads=heads,
        window_size=(round(len(table) ** 0.5) + 1) // 2,
        mlp_ratio=hidden.shape[0] / hidden.shape[1],
    )


def bert_config(weights: Mapping[str, Tensor], folder: Path) -> BertConfig:
    """Configuration of a BERT tower, with widths and depth read from the weights."""
    words = need(weights, "embeddings.word_embeddings.weight", folder)
    hidden = need(weights, "encoder.layer.0.intermediate.dense.weight", folder)
    depth = _count(weights, "encoder.layer.")
    if depth < 2:
        raise ModelError(
            f"{folder}: MedCLIP's text tower needs at least two layers and has {depth}"
        )
    return BertConfig(
        vocab_size=int(words.shape[0]),
        hidden_size=int(words.shape[1]),
        num_hidden_layers=depth,
        num_attention_heads=max(1, int(words.shape[1]) // _HEAD_WIDTH),
        intermediate_size=int(hidden.shape[0]),
        max_position_embeddings=len(need(weights, "embeddings.position_embeddings.weight", folder)),
        type_vocab_size=len(need(weights, "embeddings.token_type_embeddings.weight", folder)),
    )


def _published_name(name: str) -> str:
    if name.startswith(_VISION):
        for new, old in _RENAMED.items():
            name = name.replace(f".{new}", f".{old}")
    return name


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): weight
        for name, weight in weights.items()
        if name.startswith(prefix) and not _BUFFERS.search(name)
    }


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    indices = {
        name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)
    }
    return len(indices)


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
    return layer
