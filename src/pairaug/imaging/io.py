"""Images as arrays: reading, fitting to a square, checking and encoding.

An image is float32 in [0, 1], `height width`, one channel. Needs no tensor library.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from pairaug.imaging.dicom import is_dicom, read_dicom
from pairaug.imaging.dicom_grey import strips
from pairaug.imaging.files import (
    ChangedImageError,
    ImageError,
    check_exif_of,
    open_image,
    read_image_file,
    sha256,
)
from pairaug.pair import ImageRef

Fit = Literal["crop", "pad"]

_PHOTOMETRIC = 262
"""TIFF tag for the meaning of 0: black or white."""

_BITS_PER_SAMPLE = 258
_MAX_SAMPLE_VALUE = 281

_DEPTHS = (8, 10, 12, 14)
"""Bit depths of detectors, stored in sixteen bits."""
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded image, with notes from its file."""

    image: np.ndarray
    """float32 in [0, 1], `height width`."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values for the trace; see `pairaug.imaging.dicom.read_dicom`."""


def load_image(ref: ImageRef) -> np.ndarray:
    """The image at `ref`, upright, as float32 in [0, 1], `height width`.

    DICOM is converted by `pairaug.imaging.dicom.read_dicom`. In other formats eight-bit values are
    divided by 255 and sixteen-bit ones by the largest value of the bits in use (see `_bit_depth`);
    colour becomes luminance, transparency is dropped, the EXIF orientation is applied, and of
    several pages the first is used, since the others are thumbnails or notes. Raises `ImageError`
    for a file that is missing, damaged, not an image, too large, or of another SHA-256 than in
    `ref`; its message omits the path, which may name a patient.
    """
    return read_image(ref).image


def read_image(ref: ImageRef) -> DecodedImage:
    """The image at `ref`, as from `load_image`, with notes from its file."""
    content = content_of(ref)
    if is_dicom(content, Path(ref.path).suffix if ref.path else ""):
        return DecodedImage(*read_dicom(content))
    with open_image(content) as opened:
        opened.load()
        check_exif_of(opened)
        return _decode(opened, content)


def content_of(ref: ImageRef) -> bytes:
    """The encoded image, verified against the SHA-256 if `ref` has one.

    If `ref` has both a path and bytes, the bytes are the content of the file.
    """
    if ref.png is None and ref.path is None:
        raise ImageError("the image has neither a path nor bytes")
    content = ref.png if ref.png is not None else read_image_file(Path(str(ref.path)))
    if ref.sha256 is not None and sha256(content) != ref.sha256:
        raise ChangedImageError("the image file has changed since it was read")
    return content


def fit_square(image: np.ndarray, size: int, fit: Fit = "crop") -> np.ndarray:
    """`image` as `size size`, resized without aliasing (bicubic over the whole footprint).

    `crop` scales the shorter side to `size` and keeps the centre, as in the training of latent
    diffusion models; `pad` scales the longer side and centres the image on black, so that nothing
    is cut off. An image of `size size` is returned unchanged.
    """
    height, width = image.shape
    if height == width == size:
        return image
    shorter_or_longer = min(height, width) if fit == "crop" else max(height, width)
    scale = size / shorter_or_longer
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    grey = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    resized = np.asarray(grey.resize((new_width, new_height), Image.Resampling.BICUBIC))
    square = np.zeros((size, size), dtype=np.float32)
    (to_rows, from_rows), (to_columns, from_columns) = (
        _centre(new_height, size),
        _centre(new_width, size),
    )
    square[to_rows, to_columns] = resized[from_rows, from_columns]
    return square.clip(0.0, 1.0)


def image_defect(image: np.ndarray) -> str | None:
    """Drop reason of an unusable image, or None.

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
    """`image` as an eight-bit grey PNG; the same array gives the same bytes.

    Values outside [0, 1] are clipped. Raises `ValueError` for values that are not finite, which
    `image_defect` finds before.
    """
    if not np.isfinite(image).all():
        raise ValueError("cannot encode an image that is not finite")
    levels = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    buffer = io.BytesIO()
    # No time stamp, no text chunk, fixed filter and level: the bytes depend on the pixels alone.
    Image.fromarray(levels).save(
        buffer, format="PNG", compress_level=6, optimize=False, pnginfo=PngImagePlugin.PngInfo()
    )
    return buffer.getvalue()


def png_ref(image: np.ndarray) -> ImageRef:
    """An `ImageRef` with `image` as PNG bytes, its size and its hash."""
    return _ref_with_bytes(encode_png(image), image)


def copied_ref(content: bytes, image: np.ndarray) -> ImageRef:
    """An `ImageRef` for an image without a file, given encoded and decoded.

    Keeps the bytes of an upright eight-bit grey PNG; else encodes a new one.
    """
    is_grey_png = content.startswith(b"\x89PNG\r\n\x1a\n") and content[24:26] == b"\x08\x00"
    return (
        _ref_with_bytes(content, image)
        if is_grey_png and b"eXIf" not in content
        else png_ref(image)
    )


def _ref_with_bytes(png: bytes, image: np.ndarray) -> ImageRef:
    height, width = image.shape
    return ImageRef(png=png, sha256=sha256(png), height=height, width=width)


def _decode(opened: Image.Image, content: bytes) -> DecodedImage:
    upright = ImageOps.exif_transpose(opened)
    if upright.mode == "F":
        raise ImageError("the image has floating point pixels; save it with 8 or 16 bits")
    if upright.mode not in _SIXTEEN_BIT_MODES:
        grey = upright if upright.mode == "L" else upright.convert("RGB").convert("L")
        return DecodedImage(np.divide(np.asarray(grey), np.float32(255.0), dtype=np.float32))
    levels = np.asarray(upright)
    lowest, highest = int(levels.min()), int(levels.max())
    if lowest < 0 or highest > 65535:
        raise ImageError("the image has values outside 0 to 65535")
    bits, known_by = _bit_depth(opened, content, highest)
    image = np.divide(levels, np.float32(2**bits - 1), dtype=np.float32)
    # Pillow does not invert a TIFF whose 0 is white.
    if _tags(opened).get(_PHOTOMETRIC) == 0:
        np.subtract(1.0, image, out=image)
    return DecodedImage(image, {} if bits == 16 else {"bit_depth": bits, "bit_depth_by": known_by})


def _bit_depth(opened: Image.Image, content: bytes, highest: int) -> tuple[int, str]:
    """The number of bits in use, of sixteen, and its origin: `file` or `range`.

    The file's statement counts if its values fit. Otherwise it is the smallest of 8, 10, 12, 14
    and 16 bits for the largest value: many programs store a detector's values unscaled, which
    divided by 65535 would be nearly black.
    """
    stated = _stated_depth(opened, content)
    if stated is not None and highest < 2**stated:
        return stated, "file"
    if stated is not None:
        return 16, "file"
    return next((bits for bits in _DEPTHS if highest < 2**bits), 16), "range"


def _stated_depth(opened: Image.Image, content: bytes) -> int | None:
    """Bits from a PNG's `sBIT`, or from a TIFF's bits or largest value of a sample."""
    if opened.format == "PNG":
        offset = content.find(b"\0\0\0\1sBIT", 8, content.find(b"IDAT"))
        stated = content[offset + 8] if offset > 0 else 0
    else:
        tags = _tags(opened)
        (bits, *_), largest = _as_tuple(tags.get(_BITS_PER_SAMPLE)), tags.get(_MAX_SAMPLE_VALUE)
        stated = bits if 8 < bits < 16 else max(_as_tuple(largest)).bit_length() % 16
    return stated if 8 <= stated <= 16 else None


def _as_tuple(value: Any) -> tuple[int, ...]:
    """Numbers of a TIFF tag, which may be one, several or none."""
    values = value if isinstance(value, tuple) else (value,)
    return tuple(each for each in values if isinstance(each, int)) or (0,)


def _tags(opened: Image.Image) -> Mapping[int, Any]:
    return getattr(opened, "tag_v2", {})


def _centre(length: int, size: int) -> tuple[slice, slice]:
    """Slices of a centred copy: in the target of `size` pixels, and in the source of `length`."""
    if length >= size:
        start = (length - size) // 2
        return slice(0, size), slice(start, start + size)
    start = (size - length) // 2
    return slice(start, start + length), slice(0, length)
