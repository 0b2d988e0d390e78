"""The two towers of each kind of model: pixels and token ids in, features of one space out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pairaug.errors import ModelError
from pairaug.hub.loading import Part, load_part

MAX_SCALE_LOG = 4.6052
"""Training clips the logarithm of the scale here, at 100 times the cosine."""


@runtime_checkable
class Towers(Protocol):
    """What an encoder needs of a model."""

    dimension: int
    num_channels: int
    max_tokens: int
    """The text tower's positions."""
    num_words: int
    """Ids that the text tower has vectors for."""
    lengths: tuple[int, ...]
    """A text is padded to the least of these lengths that holds it."""
    logit_scale: float | None
    """What training multiplied cosines by; not part of any score."""
    model: Any

    def image_features(self, pixels: Tensor) -> Tensor: ...

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor: ...


class ClipTowers:
    """transformers' CLIP, or its model of any two towers."""

    def __init__(self, model: Any) -> None:
        self.model: Any = with_flat_features(model)
        self.dimension = int(model.config.projection_dim)
        self.num_channels = int(model.config.vision_config.num_channels)
        self.max_tokens = int(model.config.text_config.max_position_embeddings)
        self.num_words = int(model.config.text_config.vocab_size)
        # One length for all: no row's value hangs on its neighbours'.
        self.lengths: tuple[int, ...] = (self.max_tokens,)
        self.logit_scale: float | None = scale_of(model.logit_scale)

    def image_features(self, pixels: Tensor) -> Tensor:
        """`image dimension`, not yet unit."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`text dimension`, not yet unit."""
        return self.model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output


class SiglipTowers:
    """transformers' SigLIP.

    A text's feature is read off the last position, and padding is attended to, as in its training:
    so all texts are padded to the window, and there is no mask.
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
                f"the image tower's vectors have {model.config.vision_config.hidden_size} numbers, "
                f"the text tower's {self.dimension}: not of one space"
            )

    def image_features(self, pixels: Tensor) -> Tensor:
        """`image dimension`, not yet unit."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`text dimension`, not yet unit."""
        del mask
        return self.model.get_text_features(input_ids=ids).pooler_output


class ImageTower:
    """A model of images alone, such as RAD-DINO: its class token after the last norm."""

    def __init__(self, model: Any) -> None:
        self.model: Any = model
        self.dimension = int(model.config.hidden_size)
        self.num_channels = int(model.config.num_channels)
        self.max_tokens = self.num_words = 0
        self.lengths: tuple[int, ...] = ()
        self.logit_scale: float | None = None

    def image_features(self, pixels: Tensor) -> Tensor:
        """`image dimension`, not yet unit."""
        return self.model(pixel_values=pixels).last_hidden_state[:, 0]

    def text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """There are none, and nobody should have asked: `ModelError`."""
        raise ModelError("a model of images alone has no vectors of reports")


def open_towers(
    kind: str, folder: Path, dtype: torch.dtype, allow_pickle: bool
) -> ClipTowers | SiglipTowers | ImageTower:
    """The towers of a folder whose model is one of transformers' own."""
    towers: dict[str, Any] = {
        "clip": ClipTowers,
        "vision-text-dual-encoder": ClipTowers,
        "siglip": SiglipTowers,
    }
    model = load_part(part_of(kind, folder, allow_pickle), dtype)
    return towers.get(kind, ImageTower)(model)


def part_of(kind: str, folder: Path, allow_pickle: bool = False) -> Part:
    """A folder whose model is one of transformers' own, with the class that opens it."""
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
    """`model`, whose image tower's pooled features are `image feature`.

    transformers' ResNet leaves two axes of length 1 behind them, which its own model of two towers
    does not expect.
    """
    tower = model.vision_model
    if tower.config.model_type == "resnet" and not isinstance(tower.pooler, nn.Sequential):
        tower.pooler = nn.Sequential(tower.pooler, nn.Flatten())
    return model


def scale_of(logarithm: Tensor) -> float:
    """What cosines are multiplied by, from the parameter that training learnt."""
    return math.exp(min(max(float(logarithm.detach()), 0.0), MAX_SCALE_LOG))
