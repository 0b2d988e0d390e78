"""Image files as bytes, and the one place that hands such bytes to an image library.

Everything that is opened comes from strangers: only regular files are read, only the formats that
are documented are decoded, and what a small file may unpack to has limits.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from pairaug.errors import DataError, PairAugError
from pairaug.system.regular import IrregularFileError, read_regular

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
"""All that Pillow may try. Of the others some start programs (EPS), and few hold radiographs."""

MAX_BYTES = 256 << 20
"""A file of more is no radiograph, and is not taken into memory to see that."""
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
"""The largest radiographs have 20 million."""

_MAX_READ = 64 << 20
"""Bytes that a library may read besides four times the file: a TIFF can name one place often."""
_PER_READ = 256
"""Bytes that each reading counts for besides its own, so that they end too where they are many."""
_MAX_EXIF = 128 << 10
"""Bytes. Each of its thousands of entries may name all of them."""
MAX_SCANNED = 2_000_000_000
"""Pixels times scans: every scan of a progressive JPEG goes over the whole image."""
_TILE = (322, 323)
"""The TIFF tags of a tile's width and height."""


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
        return read_regular(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingImageError("the image file is missing") from error
    except IrregularFileError as error:
        raise ImageError(f"there is {error} in the place of the image") from error
    # A path with a NUL in it, or one that the file system's encoding has no letters for.
    except (OSError, ValueError) as error:
        raise ImageError(f"the image cannot be read ({type(error).__name__})") from error


def sha256(content: bytes) -> str:
    """The SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def open_image(content: bytes) -> Iterator[Image.Image]:
    """The image that `content` encodes, its header read and its pixels not yet.

    Raises `ImageError`, also for what Pillow raises while the context is open: for another format
    than `FORMATS`, for a damaged file, and for one that asks for far more memory or time than a
    radiograph does.
    """
    if len(content) > MAX_BYTES:
        raise ImageError("the image file is too large to be a radiograph")
    _check_exif(_jpeg_exif(content))
    # Held by all threads together: the filters of warnings are the process's.
    with quiet():
        try:
            with Image.open(BoundedFile(content), formats=FORMATS) as opened:
                _check_effort(opened, content)
                yield opened
        except (PairAugError, MemoryError):
            raise
        # Raised from the header alone, before a pixel is read.
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageError("the image is too large to be a radiograph") from error
        # Pillow's plugins raise whatever they like on damaged files.
        except Exception as error:
            raise ImageError(f"the image cannot be read ({type(error).__name__})") from error


def check_exif_of(opened: Image.Image) -> None:
    """Raises `ImageError` where the EXIF data is too much to be looked at for an orientation."""
    for name in ("exif", "Raw profile type exif"):
        _check_exif(len(opened.info.get(name, "")))


class BoundedFile(io.BytesIO):
    """A file that ends with an error once far more has been read than it holds."""

    def __init__(self, content: bytes, per_read: int = _PER_READ) -> None:
        super().__init__(content)
        self._per_read = per_read
        self._left = 4 * len(content) + _MAX_READ

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._left -= len(found) + self._per_read
        if self._left < 0:
            raise ImageError("the image asks for more work than a radiograph does")
        return found


def _jpeg_exif(content: bytes) -> int:
    """The bytes of EXIF data in a JPEG, which Pillow looks into as soon as it opens one."""
    place, found = 2, 0
    if not content.startswith(b"\xff\xd8"):
        return found
    while content[place : place + 1] == b"\xff" and place + 4 <= len(content):
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == 0xDA:
            break
        if marker == 0xE1 and content.startswith(b"Exif", place + 4):
            found += length
        place += 1 if marker == 0xFF else 2 + length
    return found


def _check_exif(num_bytes: int) -> None:
    if num_bytes > _MAX_EXIF:
        raise ImageError("the image has more EXIF data than a radiograph has")


def _check_effort(opened: Image.Image, content: bytes) -> None:
    width, height = opened.size
    is_jpeg = opened.format in ("JPEG", "MPO")
    num_scans = content.count(b"\xff\xda") if is_jpeg else 1
    tile_width, tile_height = (getattr(opened, "tag_v2", {}).get(tag, 1) for tag in _TILE)
    if num_scans * width * height > MAX_SCANNED or tile_width * tile_height > MAX_PIXELS:
        raise ImageError("the image asks for more work than a radiograph does")


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: warnings.catch_warnings[Any] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps image libraries from warning while any thread is inside, and bombs from passing.

    Python's own way to set warnings aside is not made for several threads: the one that leaves
    first would undo it for the others.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"(pydicom|pylibjpeg|PIL|pairaug\.dicom)")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_filters is not None:
                _quiet_filters.__exit__(None, None, None)
                _quiet_filters = None
