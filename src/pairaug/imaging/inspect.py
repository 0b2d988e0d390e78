"""An image looked at once: whether it is one, how large, and what its file says besides.

Light to import, since the processes that decode images import nothing else of PairAug.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairaug.imaging.files import read_image_file, sha256
from pairaug.imaging.io import copied_ref, image_defect, read_image
from pairaug.pair import ImageRef


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """What there is to say of an image that could be decoded."""

    ref: ImageRef
    """Its hash and size; the image itself as PNG where it was to be kept."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    image_defect: str | None = None
    """A drop reason of `pairaug.imaging.io.fault`."""
    detail: str = ""
    """What was measured where there is a fault."""


def inspect_image(content: bytes, suffix: str = "", *, keep: bool = False) -> ImageCheck:
    """What the encoded image `content` is; `suffix` is that of its file's name.

    `keep` is for images that have no file, which go on as PNG. Raises as `read_image` does.
    """
    image = read_image(ImageRef(path=f"image{suffix}", png=content))
    wrong = image_defect(image.image)
    if wrong is not None:
        return ImageCheck(ImageRef(), image.notes, wrong, _measure(image.notes))
    if keep:
        return ImageCheck(copied_ref(content, image.image), image.notes)
    height, width = image.image.shape
    return ImageCheck(ImageRef(sha256=sha256(content), height=height, width=width), image.notes)


InspectionResult = ImageCheck | Exception


def inspect_all(images: Sequence[Path | bytes]) -> list[InspectionResult]:
    """For each image, in a file or encoded, what it is or what looking at it raised.

    Images that have no file are kept.
    """
    return [_outcome(image) for image in images]


def _outcome(image: Path | bytes) -> InspectionResult:
    try:
        if isinstance(image, bytes):
            return inspect_image(image, keep=True)
        return inspect_image(read_image_file(image), image.suffix)
    # Whose it is, is for the caller to say.
    except Exception as error:  # noqa: BLE001
        return error


def _measure(notes: Mapping[str, Any]) -> str:
    if "stored_range" not in notes:
        return ""
    low, high = notes["stored_range"]
    if low == high:
        return f"all stored values are {low}"
    return f"stored values from {low} to {high}, made grey by {notes['voi']}"
