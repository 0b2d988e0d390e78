"""The models that `train clip` trains, new or loaded, and their features of pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    MobileNetV1ForImageClassification,
    ResNetConfig,
    ResNetModel,
    SiglipModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from pairaug.clip.chexzero import model_of_openai_weights
from pairaug.clip.folder import model_type
from pairaug.clip.towers import with_flat_features
from pairaug.clip.transform import PAD_TO_SQUARE
from pairaug.errors import ModelError, SettingsError
from pairaug.hub.folders import start_folder
from pairaug.hub.loading import Part, load_part, open_config
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.tokenizer import MAX_TOKENS, special_ids

# A `CLIPModel`, a `SiglipModel` or transformers' model of any two towers. Their parts are typed as
# perhaps None or a dictionary, so that a type checker is of no use on them.
TwoTowerModel = Any

# Parts of a batch; the reports of a part are cut to one length.
_LENGTH_GROUPS = 4
# Image towers that accept images of any side.
_ANY_SIZE = ("mobilenet_v1", "resnet")
_CLASSES: dict[str, Any] = {
    "clip": CLIPModel,
    "siglip": SiglipModel,
    "vision-text-dual-encoder": VisionTextDualEncoderModel,
}


def load_given_model(settings: ClipSettings) -> TwoTowerModel | None:
    """The model of `init`, or a new one of `config`; None if the settings name neither."""
    if settings.init is not None:
        return _start_from(start_folder(settings.init, "scorer"), settings.allow_pickle)
    if settings.config is None:
        return None
    folder = start_folder(settings.config, "scorer")
    model_class = _class_of(folder, "config")
    return with_flat_features(model_class(open_config(model_class, folder)))


def _start_from(init: Path, allow_pickle: bool) -> TwoTowerModel:
    if init.is_file() or model_type(init) == "chexzero":
        return model_of_openai_weights(init, torch.float32, allow_pickle)
    model = load_part(Part(_class_of(init, "init"), init, allow_pickle), torch.float32)
    return with_flat_features(model)


def _class_of(folder: Path, setting: str) -> Any:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{setting}: {folder} is not a folder with a config.json")
    kind = model_type(folder)
    if kind not in _CLASSES:
        raise ModelError(
            f"{setting}: {folder} holds a model of type {kind!r}; `train clip` takes: "
            f"{', '.join(_CLASSES)}"
        )
    return _CLASSES[kind]


def make_clip(settings: ClipSettings, size: int, tokenizer: Any) -> TwoTowerModel:
    """A new model for images of `size` pixels a side.

    A `CLIPModel`, whose three channels repeat the image, or transformers' dual encoder around
    another image tower; both are used alike.
    """
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_hidden_size,
        intermediate_size=4 * settings.text_hidden_size,
        num_hidden_layers=settings.text_num_layers,
        num_attention_heads=settings.text_num_heads,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=settings.projection_size,
        **special_ids(tokenizer),
    )
    if settings.image_encoder is not None:
        tower = _trained_tower(start_folder(settings.image_encoder, "classifier"))
        return _around_image_tower(tower, text_config, settings.projection_size)
    if settings.architecture == "resnet":
        tower = ResNetModel(
            ResNetConfig(
                num_channels=1,
                embedding_size=settings.hidden_sizes[0],
                hidden_sizes=list(settings.hidden_sizes),
                depths=[settings.depth] * len(settings.hidden_sizes),
                layer_type="basic",
            )
        )
        model = _around_image_tower(tower, text_config, settings.projection_size)
        return with_flat_features(model)
    config = CLIPConfig(
        text_config=text_config.to_dict(),
        vision_config={
            "image_size": size,
            "patch_size": settings.patch_size,
            "hidden_size": settings.vision_hidden_size,
            "intermediate_size": 4 * settings.vision_hidden_size,
            "num_hidden_layers": settings.vision_num_layers,
            "num_attention_heads": settings.vision_num_heads,
            "projection_dim": settings.projection_size,
        },
        projection_dim=settings.projection_size,
    )
    return CLIPModel(config)


def _trained_tower(folder: Path) -> Any:
    """A trained classifier's tower, frozen (Zhai et al. 2022, LiT)."""
    kind = model_type(folder)
    if kind != "mobilenet_v1":
        raise SettingsError(
            f"image_encoder: {folder} holds a {kind}; `train clip` accepts the tower of "
            "a mobilenet classifier only"
        )
    classifier = load_part(Part(MobileNetV1ForImageClassification, folder), torch.float32)
    return classifier.mobilenet_v1.requires_grad_(False)


def _around_image_tower(
    tower: Any, text_config: CLIPTextConfig, projection_size: int
) -> VisionTextDualEncoderModel:
    # transformers' dual encoder reads the width of the pooled features under this name.
    if tower.config.model_type == "resnet":
        tower.config.hidden_size = tower.config.hidden_sizes[-1]
    else:
        tower.config.hidden_size = int(tower.layer[-1].convolution.out_channels)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        tower.config, text_config, projection_dim=projection_size
    )
    return VisionTextDualEncoderModel(
        config, vision_model=tower, text_model=CLIPTextModel(text_config)
    )


def image_size_of(model: TwoTowerModel) -> int | None:
    """Side of the images that the position embeddings cover; None if the tower takes any."""
    kind = model.config.vision_config.model_type
    return None if kind in _ANY_SIZE else int(model.config.vision_config.image_size)


def window_of(model: TwoTowerModel) -> int:
    """Positions of the text tower, in tokens."""
    return int(model.config.text_config.max_position_embeddings)


def end_of_text(config: Any) -> int:
    """The id of the token where a CLIP reads the text feature.

    OpenAI's published configurations name 2, which is another token; transformers takes that as the
    largest id, and so does this function.
    """
    return int(config.vocab_size) - 1 if config.eos_token_id == 2 else int(config.eos_token_id)


def is_siglip(model: TwoTowerModel) -> bool:
    """True for SigLIP, which attends to padding and reads the text feature at its last position."""
    return model.config.model_type == "siglip"


class PairEncoder:
    """A model with its image normalization: images and token ids to unit vectors."""

    def __init__(self, model: TwoTowerModel, mean: float, std: float) -> None:
        self.model: TwoTowerModel = model
        self._mean, self._std = mean, std
        self.num_channels = int(model.config.vision_config.num_channels)

    def image_states(self, images: Tensor) -> Tensor:
        """Image tower output for images in [0, 1] of one channel, `image feature`."""
        pixels = ((images - self._mean) / self._std).expand(-1, self.num_channels, -1, -1)
        if self.num_channels == 1:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self.model.vision_model(pixel_values=pixels).pooler_output

    def project_images(self, states: Tensor) -> Tensor:
        """Unit vectors of image tower outputs, `image feature`, float32."""
        if not is_siglip(self.model):
            states = self.model.visual_projection(states)
        return functional.normalize(states.float(), dim=-1)

    def images(self, images: Tensor) -> Tensor:
        """Unit vectors of images in [0, 1] of one channel, `image feature`, float32."""
        return self.project_images(self.image_states(images))

    def reports(self, reports: Tensor) -> Tensor:
        """Unit vectors of token ids, `report feature`, float32."""
        if is_siglip(self.model):
            states = self.model.text_model(input_ids=reports.long()).pooler_output
            return functional.normalize(states.float(), dim=-1)
        # Reports attend backwards only, so tokens after the longest one's end change nothing.
        lengths = (reports == end_of_text(self.model.config.text_config)).int().argmax(dim=1) + 1
        # Grouped by length on the CPU only: on an accelerator that costs more than it saves.
        order = torch.argsort(lengths, stable=True)
        groups = order.chunk(_LENGTH_GROUPS if reports.device.type == "cpu" else 1)
        states = []
        for group in groups:
            ids = reports[group, : int(lengths[group].max())].long()
            states.append(self.model.text_model(input_ids=ids).pooler_output)
        in_order = torch.cat(states)[torch.argsort(order)]
        return functional.normalize(self.model.text_projection(in_order).float(), dim=-1)

    def pairs(self, images: Tensor, reports: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of images and of token ids, `pair feature` each."""
        return self.images(images), self.reports(reports)

    @torch.inference_mode()
    def all_image_states(self, images: np.ndarray, device: torch.device) -> Tensor:
        """Image tower outputs of uint8 images, computed once: a frozen tower never changes them."""
        self.model.eval()
        groups = np.array_split(images, max(1, len(images) // 100))
        states = [self.image_states(as_images(group, device)) for group in groups]
        self.model.train()
        return torch.cat(states).clone()


def as_images(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 images as float32 in [0, 1], `image 1 height width`."""
    return torch.from_numpy(np.array(images)).to(device).float().div_(255.0)[:, None]


def write_preprocessor(
    folder: Path, settings: ClipSettings, size: int, model: TwoTowerModel
) -> None:
    """Writes the image transform that matches training."""
    num_channels = int(model.config.vision_config.num_channels)
    square = {"height": size, "width": size}
    config: dict[str, Any] = {
        "image_processor_type": f"{'Siglip' if is_siglip(model) else 'CLIP'}ImageProcessor",
        "do_convert_rgb": num_channels == 3,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [settings.image_mean] * num_channels,
        "image_std": [settings.image_std] * num_channels,
        "resample": 3,
        "rescale_factor": 1 / 255,
    }
    if is_siglip(model):
        config["size"] = square
    else:
        config |= {"size": {"shortest_edge": size}, "crop_size": square, "do_center_crop": True}
    if settings.fit == "pad":
        config[PAD_TO_SQUARE] = True
    text = json.dumps(config, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
