"""Image files as bytes, and the only function that passes such bytes to Pillow.

Files are not trusted: only regular files are read, only documented formats are decoded, and the
size that a file may unpack to is limited.
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
"""Formats that Pillow may try. Some others start programs (EPS), and few contain radiographs."""

MAX_BYTES = 256 << 20
"""Larger files are not radiographs, and are not read into memory."""
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
"""The largest radiographs have 20 million."""

_MAX_READ = 64 << 20
"""Bytes that a library may read beyond four times the file: a TIFF can repeat an offset often."""
_PER_READ = 256
"""Bytes added to the count for each read call, so that many small reads end too."""
_MAX_EXIF = 128 << 10
"""Bytes. Each of its thousands of entries may refer to all of them."""
MAX_SCANNED = 2_000_000_000
"""Pixels times scans: every scan of a progressive JPEG covers the whole image."""
_TILE = (322, 323)
"""TIFF tags of a tile's width and height."""


class ImageError(DataError):
    """An image cannot be used; `reason` is its drop reason. The message omits the path."""

    reason = "unreadable_image"


class MissingImageError(ImageError):
    """The image's file is missing."""

    reason = "missing_image"


class ChangedImageError(ImageError):
    """The image's file has changed since its pair was read."""

    reason = "changed_image"


def read_image_file(path: Path) -> bytes:
    """Content of an image's file. Raises `ImageError` for anything but a regular file."""
    try:
        return read_regular(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingImageError("the image file is missing") from error
    except IrregularFileError as error:
        raise ImageError(f"there is {error} in the place of the image") from error
    # A path with a NUL, or one that the file system's encoding cannot represent.
    except (OSError, ValueError) as error:
        raise ImageError(f"the image cannot be read ({type(error).__name__})") from error


def sha256(content: bytes) -> str:
    """SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def open_image(content: bytes) -> Iterator[Image.Image]:
    """Opens the encoded image `content`, with only its header read.

    Raises `ImageError`, also for Pillow's errors while the context is open: for a format not in
    `FORMATS`, a damaged file, and one that needs far more memory or time than a radiograph.
    """
    if len(content) > MAX_BYTES:
        raise ImageError("the image file is too large to be a radiograph")
    _check_exif(_jpeg_exif(content))
    # Shared by all threads: warning filters are per process.
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
        # Pillow's plugins raise anything on damaged files.
        except Exception as error:
            raise ImageError(f"the image cannot be read ({type(error).__name__})") from error


def check_exif_of(opened: Image.Image) -> None:
    """Raises `ImageError` if the EXIF data is too large to read the orientation from."""
    for name in ("exif", "Raw profile type exif"):
        _check_exif(len(opened.info.get(name, "")))


class BoundedFile(io.BytesIO):
    """A file that raises once far more has been read than it contains."""

    def __init__(self, content: bytes, per_read: int = _PER_READ) -> None:
        super().__init__(content)
        self._per_read = per_read
        self._left = 4 * len(content) + _MAX_READ

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._left -= len(found) + self._per_read
        if self._left < 0:
            raise ImageError("the image takes more work to decode than a radiograph")
        return found


def _jpeg_exif(content: bytes) -> int:
    """Number of bytes of EXIF data in a JPEG, which Pillow parses on opening."""
    offset, found = 2, 0
    if not content.startswith(b"\xff\xd8"):
        return found
    while content[offset : offset + 1] == b"\xff" and offset + 4 <= len(content):
        marker = content[offset + 1]
        length = int.from_bytes(content[offset + 2 : offset + 4], "big")
        if marker == 0xDA:
            break
        if marker == 0xE1 and content.startswith(b"Exif", offset + 4):
            found += length
        offset += 1 if marker == 0xFF else 2 + length
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
        raise ImageError("the image takes more work to decode than a radiograph")


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: warnings.catch_warnings[Any] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Silences warnings of image libraries while any thread is inside; decompression bombs raise.

    Python's `catch_warnings` is not thread-safe: the thread that leaves first would restore the
    filters for the others.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"(pydicom|pylibjpeg|PIL|pairaug\.imaging)")
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
