"""Films as arrays: reading, fitting to a square, checking and encoding them.

An image is float32 in [0, 1], `height width`, one channel. No tensor library is needed.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from pairaug.errors import DataError
from pairaug.pair import ImageRef

Fit = Literal["crop", "pad"]

# What Pillow raises on files that are missing, cut short or not images.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
)
# Raised from the header alone, before a pixel is read. The largest films have 20 megapixels.
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def load_image(ref: ImageRef) -> np.ndarray:
    """The film that `ref` points to, upright, as float32 in [0, 1], `height width`.

    Eight-bit values are divided by 255 and sixteen-bit ones by 65535; colour becomes luminance,
    transparency is dropped and the EXIF orientation is applied. Raises `DataError` for a file
    that is missing, damaged, not an image, or beyond Pillow's limit of 89 megapixels; its message
    leaves out the path, which may name a patient.
    """
    if ref.png is not None:
        source: io.BytesIO | str = io.BytesIO(ref.png)
    elif ref.path is not None:
        source = ref.path
    else:
        raise DataError("the image has neither a path nor bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as opened:
                opened.load()
                return _grey(ImageOps.exif_transpose(opened))
    except FileNotFoundError as error:
        raise DataError("the image file is missing") from error
    except _TOO_LARGE as error:
        raise DataError("the image is too large to be a film") from error
    except _UNREADABLE as error:
        raise DataError(f"the image cannot be read ({type(error).__name__})") from error


def fit_square(image: np.ndarray, size: int, fit: Fit = "crop") -> np.ndarray:
    """`image` as `size size`, resized without aliasing (bicubic over the whole footprint).

    `crop` scales the shorter side to `size` and keeps the centre, as latent diffusion models are
    trained; `pad` scales the longer side and centres the film on black, which loses nothing.
    An image that already is `size size` is returned as it is.
    """
    height, width = image.shape
    if height == width == size:
        return image
    shorter_or_longer = min(height, width) if fit == "crop" else max(height, width)
    scale = size / shorter_or_longer
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    film = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    resized = np.asarray(film.resize((new_width, new_height), Image.Resampling.BICUBIC))
    square = np.zeros((size, size), dtype=np.float32)
    (to_rows, from_rows), (to_columns, from_columns) = (
        _centred(new_height, size),
        _centred(new_width, size),
    )
    square[to_rows, to_columns] = resized[from_rows, from_columns]
    return square.clip(0.0, 1.0)


def fault(image: np.ndarray) -> str | None:
    """Why `image` cannot be a film, as a drop reason, or None.

    `image_not_finite`: NaN or infinity. `image_constant`: less than 2 of 255 grey levels apart.
    `image_saturated`: at least 98 % of the pixels are pure black or pure white.
    """
    if not np.isfinite(image).all():
        return "image_not_finite"
    if float(image.max()) - float(image.min()) < 2 / 255:
        return "image_constant"
    if float(np.mean((image <= 0.0) | (image >= 1.0))) >= 0.98:
        return "image_saturated"
    return None


def encode_png(image: np.ndarray) -> bytes:
    """`image` as an eight-bit grey PNG: the same array gives the same bytes.

    Values outside [0, 1] are clipped. A value that is not finite is our own mistake: see `fault`.
    """
    if not np.isfinite(image).all():
        raise ValueError("cannot encode an image that is not finite")
    levels = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    buffer = io.BytesIO()
    # No time stamp, no text chunk, fixed filter and level: nothing but the pixels decides.
    Image.fromarray(levels).save(
        buffer, format="PNG", compress_level=6, optimize=False, pnginfo=PngImagePlugin.PngInfo()
    )
    return buffer.getvalue()


def png_ref(image: np.ndarray) -> ImageRef:
    """An `ImageRef` that carries `image` as PNG bytes, with its size and hash."""
    png = encode_png(image)
    height, width = image.shape
    return ImageRef(png=png, sha256=sha256(png), height=height, width=width)


def sha256(content: bytes) -> str:
    """The SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _grey(film: Image.Image) -> np.ndarray:
    if film.mode in _SIXTEEN_BIT_MODES:
        levels = np.asarray(film).astype(np.float32)
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError("the image has values outside 0 to 65535")
        return levels / np.float32(65535.0)
    if film.mode == "F":
        raise DataError("the image has floating point pixels; save it with 8 or 16 bits")
    levels = film if film.mode == "L" else film.convert("RGB").convert("L")
    return np.asarray(levels, dtype=np.float32) / np.float32(255.0)


def _centred(length: int, size: int) -> tuple[slice, slice]:
    """Where in `size` pixels, and from where in `length` pixels, a centred copy goes."""
    if length >= size:
        start = (length - size) // 2
        return slice(0, size), slice(start, start + size)
    start = (size - length) // 2
    return slice(start, start + length), slice(0, length)
