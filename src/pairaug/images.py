"""Films as arrays: reading, fitting to a square, checking and encoding them.

An image is float32 in [0, 1], `height width`, one channel. No tensor library is needed.
"""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from pairaug.dicom import is_dicom, quiet, read_dicom, strips
from pairaug.errors import DataError
from pairaug.pair import ImageRef

Fit = Literal["crop", "pad"]

_MOST_BYTES = 1 << 30
"""A file of more is no film, and is not taken into memory to see that."""

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

_PHOTOMETRIC = 262
"""The TIFF tag that says whether 0 is black."""

_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True, slots=True)
class Film:
    """A film that has been decoded, and what its file says of it besides."""

    image: np.ndarray
    """float32 in [0, 1], `height width`."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values for the trace; see `pairaug.dicom.read_dicom`."""


def load_image(ref: ImageRef) -> np.ndarray:
    """The film that `ref` points to, upright, as float32 in [0, 1], `height width`.

    DICOM becomes grey as `pairaug.dicom.read_dicom` says. Of all else, eight-bit values are divided
    by 255 and sixteen-bit ones by 65535; colour becomes luminance, transparency is dropped, the
    EXIF orientation is applied, and of several pages the first is taken, since the others are
    thumbnails or notes. Raises `DataError` for a file that is missing, damaged, not an image, or of
    more than 89 megapixels, which its header tells; its message leaves out the path, which may name
    a patient.
    """
    return load_film(ref).image


def load_film(ref: ImageRef) -> Film:
    """The film that `ref` points to, as `load_image` gives it, with what its file says besides.

    Where `ref` has both, the bytes are those of the file at the path.
    """
    suffix = Path(ref.path).suffix if ref.path else ""
    try:
        content = ref.png if ref.png is not None else _content(ref.path)
        if is_dicom(content, suffix):
            return Film(*read_dicom(content))
        # Held by all threads together: the filters of warnings are the process's.
        with quiet(), Image.open(io.BytesIO(content)) as opened:
            opened.load()
            image = _grey(ImageOps.exif_transpose(opened))
            if _counts_from_white(opened):
                np.subtract(1.0, image, out=image)
            return Film(image)
    except FileNotFoundError as error:
        raise DataError("the image file is missing") from error
    except _TOO_LARGE as error:
        raise DataError("the image is too large to be a film") from error
    except _UNREADABLE as error:
        raise DataError(f"the image cannot be read ({type(error).__name__})") from error


def read_film(path: Path) -> bytes:
    """The content of a film's file; `DataError` for one of more than a gigabyte."""
    if path.stat().st_size > _MOST_BYTES:
        raise DataError("the image file is too large to be a film")
    return path.read_bytes()


def _content(path: str | None) -> bytes:
    if path is None:
        raise DataError("the image has neither a path nor bytes")
    return read_film(Path(path))


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
    low, high, num_pure = math.inf, -math.inf, 0
    for strip in strips(image):
        lowest, highest = float(strip.min()), float(strip.max())  # NaN where any pixel is
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            return "image_not_finite"
        low, high = min(low, lowest), max(high, highest)
        if lowest <= 0.0 or highest >= 1.0:
            num_pure += np.count_nonzero(strip <= 0.0) + np.count_nonzero(strip >= 1.0)
    if high - low < 2 / 255:
        return "image_constant"
    return "image_saturated" if num_pure >= 0.98 * image.size else None


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
    return _carried(encode_png(image), image)


def copied_ref(content: bytes, image: np.ndarray) -> ImageRef:
    """An `ImageRef` that carries a film which has no file, given encoded and decoded.

    The same bytes where they are an eight-bit grey PNG that is upright; else a new one.
    """
    is_grey_png = content.startswith(b"\x89PNG\r\n\x1a\n") and content[24:26] == b"\x08\x00"
    return _carried(content, image) if is_grey_png and b"eXIf" not in content else png_ref(image)


def _carried(png: bytes, image: np.ndarray) -> ImageRef:
    height, width = image.shape
    return ImageRef(png=png, sha256=sha256(png), height=height, width=width)


def sha256(content: bytes) -> str:
    """The SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _grey(film: Image.Image) -> np.ndarray:
    if film.mode in _SIXTEEN_BIT_MODES:
        levels = np.asarray(film)
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError("the image has values outside 0 to 65535")
        return np.divide(levels, np.float32(65535.0), dtype=np.float32)
    if film.mode == "F":
        raise DataError("the image has floating point pixels; save it with 8 or 16 bits")
    grey = film if film.mode == "L" else film.convert("RGB").convert("L")
    return np.divide(np.asarray(grey), np.float32(255.0), dtype=np.float32)


def _counts_from_white(film: Image.Image) -> bool:
    """True for a TIFF of sixteen bits whose 0 is white, which Pillow leaves as it is."""
    is_deep = film.mode in _SIXTEEN_BIT_MODES
    return is_deep and getattr(film, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _centred(length: int, size: int) -> tuple[slice, slice]:
    """Where in `size` pixels, and from where in `length` pixels, a centred copy goes."""
    if length >= size:
        start = (length - size) // 2
        return slice(0, size), slice(start, start + size)
    start = (size - length) // 2
    return slice(start, start + length), slice(0, length)
