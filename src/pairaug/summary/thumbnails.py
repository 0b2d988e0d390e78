"""Images for the page: small PNGs, signed differences, and a phantom's true counterfactual."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from pairaug.imaging.io import encode_png
from pairaug.phantom.study import sample_study
from pairaug.phantom.truth import counterfactual

# Blue for darker, red for brighter than the source; safe for colour-blind readers.
_DIVERGING = np.array(
    [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]], dtype=np.float64
)
DIFFERENCE_LIMIT = 0.5
"""Differences of images in [0, 1] from this size on have the full colour."""


def image_uri(image: np.ndarray, longest: int) -> str:
    """A data URI of `image` (float32 in [0, 1], `height width`), no side longer than `longest`."""
    return _png_uri(encode_png(shrunk(image, longest)))


def difference_uri(difference: np.ndarray, longest: int) -> str:
    """A data URI of a signed difference (in [-1, 1], `height width`) in diverging colours."""
    position = np.clip(shrunk(difference, longest) / DIFFERENCE_LIMIT, -1, 1) * 2 + 2
    channels = [np.interp(position, np.arange(5), _DIVERGING[:, band]) for band in range(3)]
    levels = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG", compress_level=6)
    return _png_uri(buffer.getvalue())


def true_image(entry: Mapping[str, Any], before: str, after: str, size: int) -> np.ndarray | None:
    """The image of a phantom with the changed report's findings; None for any other patient.

    `entry` is the source pair's trace of the read stage.
    """
    if entry.get("layout") != "phantom":
        return None
    study = sample_study(entry["seed"], entry["index"], entry.get("visit", 0))
    return counterfactual(study, before, after, size).image


def shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    """`image` with its longer side at most `longest`; never enlarged."""
    height, width = image.shape
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    return np.asarray(grey.resize(size, Image.Resampling.BICUBIC))


def _png_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
