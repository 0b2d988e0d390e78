"""A pair's image as the bytes of a file that every reader opens, and opens alike."""

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
    "changed_image": "the image, or that of the real pair it was made from, is no longer what was "
    "read",
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
    """Float32 in [0, 1], `height width`; only where it was asked for."""


def encoded_image(image: ImageRef | None, *, decode: bool = False) -> EncodedImage | str:
    """The image, or why there is none, as a drop reason.

    Eight-bit PNG and JPEG that stand upright are copied byte for byte. All else becomes an
    eight-bit grey PNG: readers clip sixteen bits to white, and not all of them turn an image as its
    EXIF orientation says. A file that is not what it was when the run read it is refused: its
    scores are another image's.
    """
    if image is None:
        return "no_image"
    try:
        content = content_of(image)
        suffix = _suffix_as_it_is(content)
        # What has no hash was perhaps never decoded.
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
    """The suffix of a file that every reader shows alike; empty for all others."""
    suffix = next((name for start, name in _SIGNATURES.items() if content.startswith(start)), "")
    # A file may be DICOM, which is what PairAug sees in it, and a picture to others.
    if not suffix or is_dicom(content):
        return ""
    # The header alone: asking a PNG without EXIF for it would decode the whole image.
    with open_image(content) as opened:
        has_exif = suffix == "jpg" or "exif" in opened.info
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) if has_exif else 1
        return suffix if opened.mode in _EIGHT_BIT_MODES and turned in (0, 1) else ""
