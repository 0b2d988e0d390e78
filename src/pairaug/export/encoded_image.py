"""A pair's image, encoded as a file that all image readers decode to the same pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import ExifTags

from pairaug.imaging.dicom import is_dicom
from pairaug.imaging.files import ImageError, open_image
from pairaug.imaging.io import content_of, encode_png, load_image
from pairaug.pair import ImageRef

REASONS = {
    "no_image": "the pair has no image",
    "missing_image": "the image is no longer on disk",
    "changed_image": "the image file, or that of its source pair, has changed since it was read",
    "unreadable_image": "the image cannot be read or decoded",
}

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An encoded image; `suffix` is `png` or `jpg`."""

    content: bytes = field(repr=False)
    suffix: str
    pixels: np.ndarray | None = field(default=None, repr=False)
    """Float32 in [0, 1], `height width`; None unless requested."""


def encoded_image(image: ImageRef | None, *, decode: bool = False) -> EncodedImage | str:
    """The image, or the drop reason for which it is missing.

    Upright 8-bit PNG and JPEG files are copied byte for byte. All others become an 8-bit grey PNG:
    image readers clip 16 bits to white, and not all of them apply the EXIF orientation. A file that
    has changed since the run read it is refused: its scores belong to another image.
    """
    if image is None:
        return "no_image"
    try:
        content = content_of(image)
        suffix = _suffix_as_it_is(content)
        # A file without a hash may never have been decoded.
        if suffix and image.sha256 is not None and not decode:
            return EncodedImage(content, suffix)
        pixels = load_image(ImageRef(path=image.path, png=content))
    except ImageError as error:
        return error.reason
    kept = pixels if decode else None
    return (
        EncodedImage(content, suffix, kept)
        if suffix
        else EncodedImage(encode_png(pixels), "png", kept)
    )


def _suffix_as_it_is(content: bytes) -> str:
    """The suffix of a file that all readers decode alike; empty for other files."""
    suffix = next((name for start, name in _SIGNATURES.items() if content.startswith(start)), "")
    # A file can be DICOM to PairAug and at the same time a PNG or JPEG to other readers.
    if not suffix or is_dicom(content):
        return ""
    # Only from the header: asking a PNG without EXIF for its orientation decodes the whole image.
    with open_image(content) as opened:
        has_exif = suffix == "jpg" or "exif" in opened.info
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) if has_exif else 1
        return suffix if opened.mode in _EIGHT_BIT_MODES and turned in (0, 1) else ""
