"""Image transforms: images to the pixels an encoder was trained on, by Pillow and NumPy."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from pairaug.clip.geometry import CHEXZERO_SIDE, chexzero_square, eight_bits
from pairaug.errors import ModelError
from pairaug.hub.folders import read_config
from pairaug.hub.inference import one_line

GreyImage = Float32[np.ndarray, "_ _"]
Pixels = Float32[Tensor, "image channel height width"]

PAD_TO_SQUARE = "pad_to_square"
"""PairAug's own key in preprocessor_config.json: pads images to a black square first."""

_PROCESSORS: dict[str, Any] = {
    "CLIP": CLIPImageProcessorPil,
    "Siglip": SiglipImageProcessorPil,
    "ViT": ViTImageProcessorPil,
    "Bit": BitImageProcessorPil,
}
_PROCESSOR_NAME = re.compile(
    rf"({'|'.join(_PROCESSORS)})(?:ImageProcessor(?:Pil|Fast)?|FeatureExtractor)?"
)


@runtime_checkable
class Transform(Protocol):
    """Images to normalized pixels."""

    def __call__(self, images: Sequence[GreyImage]) -> Pixels: ...

    def to_json(self) -> str:
        """All settings of the transform as canonical text."""
        ...


def image_settings(folder: Path) -> dict[str, Any]:
    """Settings of a folder's image transform."""
    path = folder / "preprocessor_config.json"
    if path.is_file():
        settings = read_config(path)
    else:
        # Written by newer versions of transformers, for image and text together.
        path = folder / "processor_config.json"
        settings = read_config(path).get("image_processor") if path.is_file() else None
    if not isinstance(settings, dict):
        raise ModelError(
            f"{folder} has no preprocessor_config.json: its image transform is unknown"
        )
    kind = _kind_of(settings)
    if not _PROCESSOR_NAME.fullmatch(kind):
        known = ", ".join(_PROCESSORS)
        raise ModelError(f"{path} is for {kind}; supported image transforms: {known}")
    return settings


class ImageTransform:
    """The image transform of a folder in transformers layout: resize, crop and normalize."""

    def __init__(self, settings: dict[str, Any], num_channels: int = 3) -> None:
        named = _PROCESSOR_NAME.fullmatch(_kind_of(settings))
        assert named is not None
        self._num_channels = num_channels
        self._pads = bool(settings.get(PAD_TO_SQUARE, False))
        try:
            self._processor: Any = _PROCESSORS[named[1]].from_dict(
                {**_for_channels(settings, num_channels), "do_convert_rgb": False}
            )
            self([np.zeros((8, 8), np.float32)])
        # Wrong values fail anywhere in the library, some at the first use only.
        except Exception as error:
            raise ModelError(
                "the image transform in the scorer's preprocessor_config.json cannot be used "
                f"({one_line(error)}); copy or download it again"
            ) from error

    def __call__(self, images: Sequence[GreyImage]) -> Pixels:
        """Normalized pixels of images in [0, 1], converted to eight-bit grey first.

        Pillow resizes eight-bit images and the models were trained on them: an image gives the
        same pixels as its PNG through transformers.
        """
        levels = [eight_bits(image) for image in images]
        if self._pads:
            levels = [_pad_to_square(level) for level in levels]
        channels = [np.repeat(level[None], self._num_channels, axis=0) for level in levels]
        prepared = self._processor(
            images=channels, input_data_format="channels_first", return_tensors="np"
        )
        # A copy: memory from NumPy is not aligned (see `hub.inference.for_inference`).
        return torch.tensor(np.asarray(prepared["pixel_values"], dtype=np.float32))

    def to_json(self) -> str:
        """All settings of the transform as canonical text."""
        settings = json.loads(self._processor.to_json_string())
        settings.pop(PAD_TO_SQUARE, None)
        pads = [PAD_TO_SQUARE] if self._pads else []
        return json.dumps([settings, self._num_channels, *pads], sort_keys=True)


class MedClipTransform:
    """MedCLIP's transform: padded to a black square, resized (bicubic), normalized.

    The square is at least as large as the model's input, so small images are padded, not enlarged.
    """

    MEAN, DEVIATION = 0.5862785803043838, 0.27950088968644304

    def __init__(self, size: int, num_channels: int = 3) -> None:
        self._size, self._num_channels = size, num_channels

    def __call__(self, images: Sequence[GreyImage]) -> Pixels:
        """Normalized pixels, repeated for each channel."""
        return _stack([self._levels(image) for image in images], self._num_channels)

    def to_json(self) -> str:
        """All settings of the transform as canonical text."""
        return json.dumps(["medclip", self._size, self._num_channels, self.MEAN, self.DEVIATION])

    def _levels(self, image: GreyImage) -> np.ndarray:
        height, width = image.shape
        side = max(self._size, height, width)
        square = Image.new("L", (side, side))
        square.paste(
            Image.fromarray(eight_bits(image)), ((side - width) // 2, (side - height) // 2)
        )
        resized = square.resize((self._size, self._size), Image.Resampling.BICUBIC)
        levels = np.asarray(resized, dtype=np.float32) / np.float32(255.0)
        return (levels - np.float32(self.MEAN)) / np.float32(self.DEVIATION)


class CheXzeroTransform:
    """CheXzero's transform: longer side 320, padded with black, normalized, resized.

    The last resize is bicubic without antialiasing, PyTorch's default when these models were
    trained; it is skipped if the model takes 320 pixels.
    """

    PADDED = CHEXZERO_SIDE
    MEAN, DEVIATION = 101.48761, 83.43944

    def __init__(self, size: int, num_channels: int = 3) -> None:
        self._size, self._num_channels = size, num_channels

    def __call__(self, images: Sequence[GreyImage]) -> Pixels:
        """Normalized pixels, repeated for each channel."""
        pixels = _stack([self._levels(image) for image in images], 1)
        if self._size != self.PADDED:
            pixels = torch.nn.functional.interpolate(
                pixels, size=(self._size, self._size), mode="bicubic", align_corners=False
            )
        return pixels.repeat(1, self._num_channels, 1, 1)

    def to_json(self) -> str:
        """All settings of the transform as canonical text."""
        numbers = [self.PADDED, self._size, self._num_channels, self.MEAN, self.DEVIATION]
        return json.dumps(["chexzero", *numbers])

    def _levels(self, image: GreyImage) -> np.ndarray:
        levels = chexzero_square(image).astype(np.float32)
        return (levels - np.float32(self.MEAN)) / np.float32(self.DEVIATION)


def _pad_to_square(image: np.ndarray) -> np.ndarray:
    """An eight-bit image centred on a black square."""
    height, width = image.shape
    side = max(height, width)
    square = np.zeros((side, side), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _stack(images: Sequence[np.ndarray], num_channels: int) -> Pixels:
    pixels = torch.tensor(np.stack(images))[:, None]
    return pixels.repeat(1, num_channels, 1, 1)


def _kind_of(settings: dict[str, Any]) -> str:
    kind = settings.get("image_processor_type", settings.get("feature_extractor_type", "CLIP"))
    return str(kind)


def _for_channels(settings: dict[str, Any], num_channels: int) -> dict[str, Any]:
    """`settings` with a mean and deviation per channel, repeated if all given are equal."""
    fitted = dict(settings)
    for name in ("image_mean", "image_std"):
        values = settings.get(name)
        if not isinstance(values, (list, tuple)) or len(values) == num_channels:
            continue
        if len(set(values)) != 1:
            raise ModelError(
                f"the image transform has {len(values)} values of {name}, "
                f"but the model has {num_channels} channels"
            )
        fitted[name] = [values[0]] * num_channels
    return fitted
