"""CheXzero's geometry: images as the squares that its models were trained on.

Separate from `transform`, so that writing such squares needs no tensor library.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

CHEXZERO_SIDE = 320
"""Side of CheXzero's squares in pixels."""


def chexzero_square(image: Float32[np.ndarray, "_ _"]) -> UInt8[np.ndarray, "320 320"]:
    """`image` in [0, 1] as grey levels, longer side 320, centred on black.

    Converted to eight bits before Pillow resizes it; sides are rounded down, as in CheXzero.
    """
    scale = CHEXZERO_SIDE / max(image.shape)
    height, width = (max(1, int(side * scale)) for side in image.shape)
    resized = Image.fromarray(eight_bits(image)).resize((width, height), Image.Resampling.LANCZOS)
    square = Image.new("L", (CHEXZERO_SIDE, CHEXZERO_SIDE))
    square.paste(resized, ((CHEXZERO_SIDE - width) // 2, (CHEXZERO_SIDE - height) // 2))
    return np.asarray(square)


def eight_bits(image: Float32[np.ndarray, "_ _"]) -> UInt8[np.ndarray, "_ _"]:
    """`image` in [0, 1] as grey levels; values outside are clipped."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
