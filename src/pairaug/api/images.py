"""Images as the API takes and gives them: files, PIL images, arrays and tensors in, PIL out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps

from pairaug.errors import DataError
from pairaug.imaging.dicom import is_dicom
from pairaug.imaging.files import MissingImageError, open_image, read_image_file
from pairaug.imaging.io import load_image
from pairaug.pair import ImageRef

if TYPE_CHECKING:
    from torch import Tensor

ImageInput: TypeAlias = "str | Path | Image.Image | np.ndarray | Tensor"
"""One image: a path (PNG, JPEG, TIFF, DICOM), a PIL image, a NumPy array or a tensor."""

_DEPTHS = (8, 10, 12, 14, 16)
"""The bits in use of 16-bit pixels: the fewest that hold the largest value."""

_GREY_LEVELS_APART = 16
_MAX_COLOURED = 0.01
"""Compression parts the channels of a grey image a little, and a mark on it may be coloured."""

_ROUNDING = 1e-6


def read_image(image: ImageInput) -> np.ndarray:
    """The image as float32 in [0, 1], `row column`.

    Eight-bit pixels are divided by 255, sixteen-bit ones by the largest value of the bits in use
    (8, 10, 12, 14 or 16), as image files are read. Floats must be in [0, 1].

    Raises:
        DataError: The file is missing or damaged, or the pixels are in colour, three-dimensional,
            not finite or out of range. No message names the path, which may name a patient.
    """
    if isinstance(image, str | Path):
        return _from_file(Path(image))
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if _is_tensor(image):
        return _from_array(_from_tensor(image))
    given = "None" if image is None else type(image).__name__
    if isinstance(getattr(image, "image", None), Image.Image):
        raise DataError(f"an image is {given}; pass its .image")
    raise DataError(
        f"an image is {given}; pass a path, a PIL image, a NumPy array or a torch tensor"
    )


def read_images(images: ImageInput | Iterable[ImageInput]) -> list[np.ndarray]:
    """Each image as `read_image` gives it; a single image counts as a list of one."""
    given: Any = images
    if not is_several(given):
        return [read_image(given)]
    several = list(given)
    read = []
    for number, image in enumerate(several, start=1):
        try:
            read.append(read_image(image))
        except DataError as error:
            which = f"image {number} of {len(several)}: " if len(several) > 1 else ""
            raise DataError(f"{which}{error}") from error
    return read


def is_several(images: Any) -> bool:
    """True for a list of images, False for one image, of whatever kind."""
    one = str | bytes | Path | Image.Image | np.ndarray | Mapping
    return isinstance(images, Iterable) and not isinstance(images, one) and not _is_tensor(images)


def as_pil(image: np.ndarray) -> Image.Image:
    """An image in [0, 1] as PIL, mode "L" (8 bits); values outside are clipped."""
    return Image.fromarray(np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8))


def _from_file(path: Path) -> np.ndarray:
    try:
        content = read_image_file(path.expanduser())
    except MissingImageError as error:
        raise MissingImageError(
            "there is no image file at the given path; a relative path starts at the current folder"
        ) from error
    if not is_dicom(content, path.suffix):
        with open_image(content) as opened:
            _check_grey(opened)
    return load_image(ImageRef(path=str(path), png=content))


def _from_pil(image: Image.Image) -> np.ndarray:
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        return _from_array(np.asarray(upright))
    if not upright.width * upright.height:
        raise DataError(_NO_PIXELS)
    if upright.mode.startswith("I"):
        levels = np.asarray(upright)
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError("the image has values outside 0 to 65535; save it with 8 or 16 bits")
        return _from_array(levels.astype(np.uint16))
    _check_grey(upright)
    grey = upright if upright.mode == "L" else upright.convert("RGB").convert("L")
    return _from_array(np.asarray(grey))


def _is_tensor(image: Any) -> bool:
    """True for a torch tensor; asked without importing PyTorch."""
    return hasattr(image, "detach") and hasattr(image, "cpu")


def _from_tensor(tensor: Any) -> np.ndarray:
    try:
        tensor = tensor.detach().cpu()
        # NumPy has no bfloat16.
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise DataError("the tensor is sparse, or has no values; pass a dense one") from error


def _from_array(array: np.ndarray) -> np.ndarray:
    pixels = _one_channel(array)
    if not pixels.size:
        raise DataError(_NO_PIXELS)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype == np.uint8:
        return np.divide(pixels, np.float32(255.0), dtype=np.float32)
    if pixels.dtype == np.uint16:
        bits = next(bits for bits in _DEPTHS if int(pixels.max()) < 2**bits)
        return np.divide(pixels, np.float32(2**bits - 1), dtype=np.float32)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(
            f"the image has pixels of type {pixels.dtype}; pass uint8, uint16 or floats in [0, 1]"
        )
    if not np.isfinite(pixels).all():
        raise DataError("the image has pixels that are NaN or infinite; replace them first")
    low, high = float(pixels.min()), float(pixels.max())
    if low < -_ROUNDING or high > 1.0 + _ROUNDING:
        raise DataError(
            f"the image has values from {low:.4g} to {high:.4g}, and floats must be in [0, 1]; "
            "scale them, or pass uint8 or uint16"
        )
    return np.ascontiguousarray(pixels, dtype=np.float32).clip(0.0, 1.0)


def _one_channel(array: np.ndarray) -> np.ndarray:
    """The pixels as `row column`, from an array whose channels, if it has any, are equal."""
    if array.ndim == 2:
        return array
    shape = " × ".join(map(str, array.shape)) or "()"
    if array.ndim == 3 and array.shape[-1] in (1, 3, 4):
        channels = np.moveaxis(array, -1, 0)[:3]
    elif array.ndim == 3 and array.shape[0] in (1, 3):
        channels = array
    else:
        raise DataError(
            f"an array of shape {shape} is not one image; pass row × column, and several images as "
            "a list"
        )
    if not all(np.array_equal(channels[0], other) for other in channels[1:]):
        raise DataError(_IN_COLOUR)
    return channels[0]


_NO_PIXELS = "the image has no pixels"

_IN_COLOUR = (
    "the image is in colour, and a radiograph has one channel; if it is a radiograph all the same, "
    'convert it with PIL: image.convert("L")'
)


def _check_grey(image: Image.Image) -> None:
    """Raises `DataError` for a photograph; an image with equal channels is grey."""
    if image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I"):
        return
    channels = np.asarray(image.convert("RGB")).astype(np.int16)
    is_coloured = channels.max(axis=-1) - channels.min(axis=-1) > _GREY_LEVELS_APART
    if is_coloured.mean() > _MAX_COLOURED:
        raise DataError(_IN_COLOUR)
