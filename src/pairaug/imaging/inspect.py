"""One check per image: decoding, size, defects and notes from its file.

Light to import, since the decoding processes import nothing else of PairAug.
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
    """Result for an image that could be decoded."""

    ref: ImageRef
    """Its hash and size; with `keep` the image itself as PNG."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    image_defect: str | None = None
    """A drop reason of `pairaug.imaging.io.image_defect`."""
    detail: str = ""
    """Measurement of the defect, if any."""


def inspect_image(content: bytes, suffix: str = "", *, keep: bool = False) -> ImageCheck:
    """Check of the encoded image `content`; `suffix` is its file's.

    `keep` stores the image as PNG, for images without a file. Raises as `read_image` does.
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
    """For each image, a path or encoded bytes, its check or the exception from it.

    Images without a file are kept.
    """
    return [_outcome(image) for image in images]


def _outcome(image: Path | bytes) -> InspectionResult:
    try:
        if isinstance(image, bytes):
            return inspect_image(image, keep=True)
        return inspect_image(read_image_file(image), image.suffix)
    # The caller raises or drops.
    except Exception as error:  # noqa: BLE001
        return error


def _measure(notes: Mapping[str, Any]) -> str:
    if "stored_range" not in notes:
        return ""
    low, high = notes["stored_range"]
    if low == high:
        return f"all stored values are {low}"
    return f"stored values from {low} to {high}, made grey by {notes['voi']}"
