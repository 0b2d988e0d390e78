"""Image files as bytes, and the one place that hands such bytes to an image library.

Everything that is opened comes from strangers: only regular files are read, only the formats that
are documented are decoded, and what a small file may unpack to has limits.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from PIL import Image

from pairaug.errors import DataError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
"""All that Pillow may try. Of others, some start programs (EPS) and few hold radiographs."""

MOST_BYTES = 256 << 20
"""A file of more is no radiograph, and is not taken into memory to see that."""
MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
"""The largest radiographs have 20 million."""

_MOST_READ = 64 << 20
"""Bytes that Pillow may read besides four times the file: a TIFF can name one place often."""
_MOST_EXIF = 128 << 10
"""Bytes. Each of its thousands of entries may name all of them."""
_MOST_SCANNED = 2_000_000_000
"""Pixels times scans: each scan of a progressive JPEG is decoded over the whole image."""
_MOST_TILE = 4 * MOST_PIXELS
_TILE_WIDTH, _TILE_LENGTH = 322, 323


class ImageError(DataError):
    """An image cannot be used; `reason` is that of its drop. The path is never in the message."""

    reason = "unreadable_image"


class MissingImageError(ImageError):
    """The image's file is not there."""

    reason = "missing_image"


class ChangedImageError(ImageError):
    """The image's file is not what it was when its pair was read."""

    reason = "changed_image"


def read_image_file(path: Path) -> bytes:
    """The content of an image's file. Raises `ImageError` for all that is no regular file."""
    try:
        return read_regular(path, MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingImageError("the image file is missing") from error
    # A path with a NUL in it, or one that the file system's encoding has no letters for.
    except (OSError, ValueError) as error:
        raise ImageError(f"the image cannot be read ({type(error).__name__})") from error


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file; a pipe, a device or a socket is not even opened.

    Raises `ImageError` for one of another kind or of more than `most_bytes`, else as `open` does.
    """
    if stat.S_ISDIR(mode := os.stat(path).st_mode):  # noqa: PTH116
        raise ImageError("there is a folder in the place of the image file")
    if not stat.S_ISREG(mode):
        raise ImageError("the image is not a regular file")
    # Not to wait, should the file have been exchanged for a pipe.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("the image is not a regular file")
        content = b"" if status.st_size > most_bytes else file.read(most_bytes + 1)
    if max(status.st_size, len(content)) > most_bytes:
        raise ImageError("the image file is too large to be a radiograph")
    return content


def sha256(content: bytes) -> str:
    """The SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
