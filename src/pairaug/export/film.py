"""A pair's film as the bytes of a file that every reader opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pairaug.errors import DataError
from pairaug.images import encode_png, load_image, sha256
from pairaug.pair import ImageRef

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}


@dataclass(frozen=True, slots=True)
class Film:
    """An encoded film; `suffix` is `png` or `jpg`."""

    content: bytes
    suffix: str


def film_of(image: ImageRef | None) -> Film | str:
    """The film, or why there is none, as a drop reason.

    PNG and JPEG are copied byte for byte; other formats become an eight-bit grey PNG. A file that
    is not what it was when the run read it is refused: its scores are another film's.
    """
    if image is None:
        return "no_image"
    try:
        content = image.png if image.png is not None else Path(str(image.path)).read_bytes()
    except OSError:
        return "missing_image"
    if image.sha256 is not None and sha256(content) != image.sha256:
        return "changed_image"
    for signature, suffix in _SIGNATURES.items():
        if content.startswith(signature):
            return Film(content, suffix)
    try:
        return Film(encode_png(load_image(ImageRef(path=image.path, png=content))), "png")
    except DataError:
        return "unreadable_image"
