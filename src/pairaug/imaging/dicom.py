"""DICOM images as arrays: what is stored, made grey as a viewer shows it.

pydicom and its decoders are the extra `pairaug[dicom]`, imported when the first such image is
opened. Nothing of the header but what decides the picture is looked at, and nothing of it is said
in a message: a header is full of names.
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
"""What files without a preamble are recognised by."""

_MAX_INFLATED = 4 * MAX_PIXELS
"""Bytes: the largest image in 16 bits, twice."""
_PER_READ = 1024
"""Bytes that each reading counts for besides its own: headers have thousands, not millions."""
_MAX_STRETCHED = 10.0
_SAME_SPACING = 0.005
"""Pixels whose sides differ by less, as a fraction, count as square."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_DEPTHS = (1, 8, 16, 32)
_FLOATS = ("FloatPixelData", "DoubleFloatPixelData")


def is_dicom(content: bytes, suffix: str = "") -> bool:
    """True for the DICM mark, and without one for a name that ends in .dcm or .dicom.

    `content` may be the beginning of a file.
    """
    if content[128:132] == b"DICM":
        return True
    known = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
    return suffix.lower() in SUFFIXES and not content.startswith(known)


def read_dicom(content: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """The image as float32 in [0, 1], `height width`, and what is to be noted of it.

    1. The stored values are the bits from the high bit down, signed or not; what other bits hold
       is no part of them. Those of grey images are taken through the modality LUT, or multiplied by
       the rescale slope and shifted by its intercept.
    2. They become grey by the first VOI LUT that can be used, over the largest value of its
       entries' bits; else by the first window that can (LINEAR, LINEAR_EXACT or SIGMOID; DICOM
       PS3.3 C.11.2.1.2), clipped to [0, 1]. Where there is none, the smallest value of the image is
       0 and the largest 1: the bits that are stored say little, since many devices use a part of
       them only. A LUT or a window that is no number, has no width, or lies beside the values is
       passed over.
    3. MONOCHROME1 is inverted, so that bone is bright; padding is black.
    4. Pixels that are not square by the pixel aspect ratio or the pixel spacing are resampled
       (bicubic) to the finer of the two spacings.

    Colour (RGB, YBR, palette) becomes luminance over the largest value of its bits, with steps 2
    and 3 left out. Noted are `voi` (`lut`, `window`, `range` or `colour`), `ignored` (what was
    passed over), `stored_range`, and `burnt_in_annotation` where the file says YES or NO. Raises
    `ImageError` for what is damaged, cut short, of several frames, without a picture, or of more
    than 89 megapixels (by the header, before anything is unpacked), and `MissingExtraError` where a
    decoder is not installed.
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
            raise ImageError("the DICOM image is stored in a way that is not known") from error
        # Decoders raise whatever they like on damaged images, and quote what they found.
        except Exception as error:  # noqa: BLE001
            kind = type(error).__name__
            raise ImageError(f"the DICOM image cannot be read ({kind})") from None


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise MissingExtraError("reading DICOM", "pydicom", "dicom") from error
    # They quote the values that they find odd, and those may name a patient.
    for name in ("pydicom", "pylibjpeg", "libjpeg", "openjpeg"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return pydicom


def _inflate(content: bytes) -> bytes:
    """`content`, its data set alone and unpacked where that is deflated; no more than an image."""
    if _DEFLATED not in content[132:1024] or content[128:132] != b"DICM":
        return content
    # The first element, 12 bytes, says how long the rest of the group is that is not deflated.
    start = 144 + struct.unpack_from("<L", content, 140)[0]
    unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], _MAX_INFLATED)
    if len(unpacked) >= _MAX_INFLATED:
        raise ImageError("the image is too large to be a radiograph")
    return unpacked


def _check(dataset: Any) -> None:
    """Raises `ImageError` for what the header already tells to be no image."""
    if any(name in dataset for name in _FLOATS):
        raise ImageError("the DICOM image has floating point pixels")
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise ImageError("the DICOM file holds no picture, or is cut short before it")
    if (first_number(dataset, "NumberOfFrames") or 1) > 1:
        raise ImageError("the DICOM file holds several frames, and an image is one")
    # It says nothing more, and need not be a number.
    dataset.pop("NumberOfFrames", None)
    if dataset.Rows * dataset.Columns > MAX_PIXELS:
        raise ImageError("the image is too large to be a radiograph")
    kind = dataset.PhotometricInterpretation
    num_samples = 3 if kind in _COLOUR and kind != "PALETTE COLOR" else 1
    is_known = kind in _GREY or kind in _COLOUR
    if not is_known or (dataset.SamplesPerPixel, dataset.BitsAllocated) not in [
        (num_samples, depth) for depth in _DEPTHS
    ]:
        raise ImageError("the DICOM image is stored in a way that is not known")
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
    """Colour as grey, by the weights that Pillow takes (ITU-R 601)."""
    from pydicom.pixels import apply_color_lut

    bits = int(dataset.BitsStored)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
        # Of the entries, as with other tables: descriptors say how wide they are stored.
        bits = max(8, int(stored.max()).bit_length())
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / np.float32(2**bits - 1)
    return np.clip(stored[..., :3].astype(np.float32) @ weights, 0.0, 1.0)


def _square_pixels(image: np.ndarray, dataset: Any) -> np.ndarray:
    """The image with pixels as high as they are wide."""
    height, width = image.shape
    stretch = _stretch(dataset)
    if abs(stretch - 1.0) <= _SAME_SPACING:
        return image
    if not 1 / _MAX_STRETCHED <= stretch <= _MAX_STRETCHED:
        raise ImageError("the DICOM image has pixels that are no pixels of an image")
    size = (round(width / min(stretch, 1.0)), round(height * max(stretch, 1.0)))
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError("the image is too large to be a radiograph")
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(0.0, 1.0)


def _stretch(dataset: Any) -> float:
    """How high a pixel is for its width; 1 where the file does not say."""
    for name in ("PixelAspectRatio", *_SPACINGS):
        sides = numbers(dataset, name)
        if len(sides) == 2 and all(math.isfinite(side) and side > 0 for side in sides):
            return sides[0] / sides[1]
    return 1.0
