"""Image and text towers of each kind of model: pixels and token ids in, features out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pairaug.errors import ModelError
from pairaug.hub.loading import Part, load_part

MAX_SCALE_LOG = 4.6052
"""Upper limit of the logarithm of the scale in training: 100 times the cosine."""


@runtime_checkable
class Towers(Protocol):
    """The interface of a model that an encoder uses."""

    dimension: int
    num_channels: int
    max_tokens: int
    """Positions of the text tower."""
    num_words: int
    """Token ids with an embedding in the text tower."""
    lengths: tuple[int, ...]
    """Texts are padded to the smallest of these lengths that holds them."""
    logit_scale: float | None
    """Factor on cosines during training; not part of any score."""
    model: Any

    def image_features(self, pixels: Tensor) -> Tensor: ...

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor: ...


class ClipTowers:
    """transformers' CLIP or its vision-text dual encoder."""

    def __init__(self, model: Any) -> None:
        self.model: Any = with_flat_features(model)
        self.dimension = int(model.config.projection_dim)
        self.num_channels = int(model.config.vision_config.num_channels)
        self.max_tokens = int(model.config.text_config.max_position_embeddings)
        self.num_words = int(model.config.text_config.vocab_size)
        # One length for all, so that a row does not depend on the others in its batch.
        self.lengths: tuple[int, ...] = (self.max_tokens,)
        self.logit_scale: float | None = scale_of(model.logit_scale)

    def image_features(self, pixels: Tensor) -> Tensor:
        """`image dimension`, not normalized."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`text dimension`, not normalized."""
        return self.model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output


class SiglipTowers:
    """transformers' SigLIP.

    The text feature is that of the last position, and padding is attended to, as in training.
    All texts are therefore padded to the window, without a mask.
    """

    def __init__(self, model: Any) -> None:
        self.model: Any = model
        self.dimension = int(model.config.text_config.projection_size)
        self.num_channels = int(model.config.vision_config.num_channels)
        self.max_tokens = int(model.config.text_config.max_position_embeddings)
        self.num_words = int(model.config.text_config.vocab_size)
        self.lengths: tuple[int, ...] = (self.max_tokens,)
        self.logit_scale: float | None = math.exp(float(model.logit_scale.detach()))
        if int(model.config.vision_config.hidden_size) != self.dimension:
            raise ModelError(
                f"the image tower's vectors have {model.config.vision_config.hidden_size} "
                f"dimensions, the text tower's {self.dimension}; both must be equal"
            )

    def image_features(self, pixels: Tensor) -> Tensor:
        """`image dimension`, not normalized."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`text dimension`, not normalized."""
        del mask
        return self.model.get_text_features(input_ids=ids).pooler_output


class ImageTower:
    """An image-only model, such as RAD-DINO: its class token after the last norm."""

    def __init__(self, model: Any) -> None:
        self.model: Any = model
        self.dimension = int(model.config.hidden_size)
        self.num_channels = int(model.config.num_channels)
        self.max_tokens = self.num_words = 0
        self.lengths: tuple[int, ...] = ()
        self.logit_scale: float | None = None

    def image_features(self, pixels: Tensor) -> Tensor:
        """`image dimension`, not normalized."""
        return self.model(pixel_values=pixels).last_hidden_state[:, 0]

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Raises `ModelError`: there is no text tower."""
        raise ModelError("an image-only model cannot encode reports")


def open_towers(
    kind: str, folder: Path, dtype: torch.dtype, allow_pickle: bool
) -> ClipTowers | SiglipTowers | ImageTower:
    """Towers of a folder in transformers layout."""
    towers: dict[str, Any] = {
        "clip": ClipTowers,
        "vision-text-dual-encoder": ClipTowers,
        "siglip": SiglipTowers,
    }
    model = load_part(part_of(kind, folder, allow_pickle), dtype)
    return towers.get(kind, ImageTower)(model)


def part_of(kind: str, folder: Path, allow_pickle: bool = False) -> Part:
    """A folder in transformers layout, with the class that opens it."""
    from transformers import (
        CLIPModel,
        Dinov2Model,
        Dinov2WithRegistersModel,
        SiglipModel,
        VisionTextDualEncoderModel,
        ViTModel,
    )

    classes: dict[str, Any] = {
        "clip": CLIPModel,
        "vision-text-dual-encoder": VisionTextDualEncoderModel,
        "siglip": SiglipModel,
        "dinov2": Dinov2Model,
        "dinov2_with_registers": Dinov2WithRegistersModel,
        "vit": ViTModel,
    }
    return Part(classes[kind], folder, allow_pickle)


def with_flat_features(model: Any) -> Any:
    """`model` with pooled image features of shape `image feature`.

    transformers' ResNet returns two more axes of length 1, which its dual encoder does not accept.
    """
    tower = model.vision_model
    if tower.config.model_type == "resnet" and not isinstance(tower.pooler, nn.Sequential):
        tower.pooler = nn.Sequential(tower.pooler, nn.Flatten())
    return model


def scale_of(logarithm: Tensor) -> float:
    """Factor on cosines, from the learnt logarithm."""
    return math.exp(min(max(float(logarithm.detach()), 0.0), MAX_SCALE_LOG))
