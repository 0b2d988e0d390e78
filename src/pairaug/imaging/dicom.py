"""DICOM images as arrays of grey levels, as a viewer shows them.

pydicom and its decoders are the extra `pairaug[dicom]`, imported when the first DICOM image is
opened. Only the header elements that determine the pixels are read, and messages quote none of
them: headers contain patients' names.
"""

from __future__ import annotations

import logging
import math
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from pairaug.errors import MissingExtraError
from pairaug.imaging.dicom_grey import grey
from pairaug.imaging.dicom_numbers import first_number, numbers
from pairaug.imaging.dicom_pixels import stored_values
from pairaug.imaging.files import MAX_PIXELS, BoundedFile, ImageError, quiet

SUFFIXES = (".dcm", ".dicom")
"""Suffixes that identify files without a preamble."""

_MAX_INFLATED = 4 * MAX_PIXELS
"""Bytes: the largest image in 16 bits, twice."""
_PER_READ = 1024
"""Bytes added to the count for each read call: headers need thousands of calls, not millions."""
_MAX_STRETCHED = 10.0
_SAME_SPACING = 0.005
"""Relative difference of the sides below which pixels count as square."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_DEPTHS = (1, 8, 16, 32)
_FLOATS = ("FloatPixelData", "DoubleFloatPixelData")


def is_dicom(content: bytes, suffix: str = "") -> bool:
    """True for the DICM mark, or without one for the suffixes .dcm and .dicom.

    The first bytes of a file are enough as `content`.
    """
    if content[128:132] == b"DICM":
        return True
    known = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
    return suffix.lower() in SUFFIXES and not content.startswith(known)


def read_dicom(content: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """The image as float32 in [0, 1], `height width`, and notes about it.

    1. The stored values are the bits from the high bit down, signed or not; other bits are removed.
       For grey images they pass through the modality LUT, or are multiplied by the rescale slope
       and shifted by its intercept.
    2. They become grey levels by the first usable VOI LUT, divided by the largest value of its
       entries' bits; else by the first usable window (LINEAR, LINEAR_EXACT or SIGMOID; DICOM PS3.3
       C.11.2.1.2), clipped to [0, 1]. Without either, the smallest value of the image becomes 0 and
       the largest 1, since many devices use only a part of the stored bits. A LUT or window with
       invalid numbers, without width, or outside the values is ignored.
    3. MONOCHROME1 is inverted, so that bone is bright; padding is black.
    4. Pixels that are not square by the pixel aspect ratio or the pixel spacing are resampled
       (bicubic) to the finer of the two spacings.

    Colour (RGB, YBR, palette) becomes luminance over the largest value of its bits, without steps 2
    and 3. The notes are `voi` (`lut`, `window`, `range` or `colour`), `ignored` (unusable LUTs and
    windows), `stored_range`, and `burnt_in_annotation` if the file states YES or NO. Raises
    `ImageError` for a file that is damaged, cut short, of several frames, without pixel data, or of
    more than 89 megapixels (by the header, before decoding), and `MissingExtraError` if a decoder
    is not installed.
    """
    pydicom = _pydicom()
    with quiet():
        try:
            dataset = pydicom.dcmread(BoundedFile(_inflate(content), _PER_READ), force=True)
            _check(dataset)
            return _image(dataset)
        except (MissingExtraError, ImageError, MemoryError):
            raise
        except NotImplementedError as error:
            raise ImageError("the DICOM image is stored in an unknown way") from error
        # Decoders raise anything on damaged images, and quote values.
        except Exception as error:  # noqa: BLE001
            kind = type(error).__name__
            raise ImageError(f"the DICOM image cannot be read ({kind})") from None


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise MissingExtraError("reading DICOM", "pydicom", "dicom") from error
    # Its log quotes odd values, which may name a patient.
    for name in ("pydicom", "pylibjpeg", "libjpeg", "openjpeg"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return pydicom


def _inflate(content: bytes) -> bytes:
    """`content`, inflated if its data set is deflated, up to the size limit of an image."""
    if _DEFLATED not in content[132:1024] or content[128:132] != b"DICM":
        return content
    # The first element, 12 bytes, has the length of the rest of its group, which is not deflated.
    start = 144 + struct.unpack_from("<L", content, 140)[0]
    unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], _MAX_INFLATED)
    if len(unpacked) >= _MAX_INFLATED:
        raise ImageError("the image is too large to be a radiograph")
    return unpacked


def _check(dataset: Any) -> None:
    """Raises `ImageError` if the header already rules out a usable image."""
    if any(name in dataset for name in _FLOATS):
        raise ImageError("the DICOM image has floating point pixels")
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise ImageError("the DICOM file has no pixel data, or is cut short before it")
    if (first_number(dataset, "NumberOfFrames") or 1) > 1:
        raise ImageError("the DICOM file has several frames; only single frames are read")
    # Not needed further, and not always a number.
    dataset.pop("NumberOfFrames", None)
    if dataset.Rows * dataset.Columns > MAX_PIXELS:
        raise ImageError("the image is too large to be a radiograph")
    kind = dataset.PhotometricInterpretation
    num_samples = 3 if kind in _COLOUR and kind != "PALETTE COLOR" else 1
    is_known = kind in _GREY or kind in _COLOUR
    if not is_known or (dataset.SamplesPerPixel, dataset.BitsAllocated) not in [
        (num_samples, depth) for depth in _DEPTHS
    ]:
        raise ImageError("the DICOM image is stored in an unknown way")
    if not dataset.PixelData:
        raise ImageError("the DICOM image is cut short")


def _image(dataset: Any) -> tuple[np.ndarray, dict[str, Any]]:
    stored = stored_values(dataset)
    notes: dict[str, Any] = {"stored_range": [int(stored.min()), int(stored.max())]}
    if dataset.PhotometricInterpretation in _COLOUR:
        image = _luminance(stored, dataset)
        notes["voi"] = "colour"
    else:
        image, made_by = grey(stored, dataset)
        notes |= made_by
    flag = str(dataset.get("BurnedInAnnotation") or "").upper()
    if flag in ("YES", "NO"):
        notes["burnt_in_annotation"] = flag
    return _square_pixels(image, dataset), notes


def _luminance(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Luminance of a colour image, with Pillow's weights (ITU-R 601)."""
    from pydicom.pixels import apply_color_lut

    bits = int(dataset.BitsStored)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
        # From the entries, as with other tables: descriptors state the storage width.
        bits = max(8, int(stored.max()).bit_length())
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / np.float32(2**bits - 1)
    return np.clip(stored[..., :3].astype(np.float32) @ weights, 0.0, 1.0)


def _square_pixels(image: np.ndarray, dataset: Any) -> np.ndarray:
    """The image resampled to square pixels."""
    height, width = image.shape
    stretch = _stretch(dataset)
    if abs(stretch - 1.0) <= _SAME_SPACING:
        return image
    if not 1 / _MAX_STRETCHED <= stretch <= _MAX_STRETCHED:
        raise ImageError(f"the DICOM pixel aspect ratio {stretch:.4g} is outside 0.1 to 10")
    size = (round(width / min(stretch, 1.0)), round(height * max(stretch, 1.0)))
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError("the image is too large to be a radiograph")
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(0.0, 1.0)


def _stretch(dataset: Any) -> float:
    """Height of a pixel over its width; 1 if not stated."""
    for name in ("PixelAspectRatio", *_SPACINGS):
        sides = numbers(dataset, name)
        if len(sides) == 2 and all(math.isfinite(side) and side > 0 for side in sides):
            return sides[0] / sides[1]
    return 1.0
