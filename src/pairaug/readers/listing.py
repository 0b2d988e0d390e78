"""Files of a dataset's folder: finding, reading as text, and hashing the listing; read-only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from pairaug.errors import DataError
from pairaug.readers.image_paths import near
from pairaug.readers.opened import encoding_of
from pairaug.system.regular import IrregularFileError, read_head, read_regular

_MAX_BYTES = 1 << 20
"""Bytes; larger files are not reports."""

DROP_REASONS = {
    "missing_report": "the study's report file does not exist",
    "undecodable_report": "the report's file is not text in `read.encoding`",
}
"""Drop reasons of layouts with one report file per study."""

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".dcm", ".dicom", ".ima"),
)
"""Suffixes of all image formats that `pairaug.imaging.files` decodes."""

_DICOM_MARK = b"DICM"


_SYSTEM = re.compile(
    r"__MACOSX|@?PaxHeaders?(\.\w+)?|Thumbs\.db|desktop\.ini|DICOMDIR", re.IGNORECASE
)


def one_file(folder: Path, pattern: str, what: str, hint: str) -> Path:
    """The file in `folder` matching `pattern`; of several, the last in sorted order."""
    if not folder.is_dir():
        hint = near(folder, pattern) or "; set read.root to the dataset's folder"
        raise DataError(f"{folder} is not a folder{hint}")
    found = sorted(path for path in folder.glob(pattern) if path.suffix in (".csv", ".gz"))
    if not found:
        raise DataError(f"{folder} has no {what} ({pattern}){near(folder, pattern) or f'; {hint}'}")
    return found[-1]


def is_passed_over(name: str) -> bool:
    """True for files that an operating system or an archiver adds.

    These are hidden files and folders, macOS's `._1.png` and `__MACOSX`, and PaxHeader.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
    return any(part.startswith(".") or _SYSTEM.fullmatch(part) for part in parts)


def files_below(root: Path, suffixes: Iterable[str], *, or_dicom: bool = False) -> Iterator[Path]:
    """Files under `root` with one of `suffixes`, folder by folder, each sorted by name.

    `or_dicom`: also files of other names with the DICM mark, such as IM0001 or a UID.

    Links to folders are followed, except into a folder that is already being walked. Hidden files
    are skipped.
    """
    wanted = frozenset(suffixes)
    walked: set[tuple[int, int]] = set()
    for folder, names, files in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in walked:
            names.clear()
            continue
        walked.add((status.st_dev, status.st_ino))
        names[:] = sorted(name for name in names if not is_passed_over(name))
        for name in sorted(files):
            path = Path(folder) / name
            if is_passed_over(name):
                continue
            if path.suffix.lower() in wanted or (or_dicom and _is_dicom(path)):
                yield path


def _is_dicom(path: Path) -> bool:
    try:
        return read_head(path, 132).endswith(_DICOM_MARK)
    except OSError:  # Not an image; a report beside it is reported as missing its image.
        return False


def listing_sha256(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over names and sizes, for images and shards that are too large to hash whole."""
    digest = sha256()
    for path in paths:
        size = path.stat().st_size if path.exists() else -1
        digest.update(f"{os.path.relpath(path, root)}\0{size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def decode(content: bytes, encoding: str = "utf-8") -> str:
    """Text of a file's content; a byte order mark overrides `encoding`."""
    return content.decode(encoding_of(content[:512], encoding)).removeprefix("\ufeff")


class UnusableReportError(Exception):
    """A study's report cannot be read; `reason` is its drop reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(DROP_REASONS[reason])
        self.reason = reason


def read_text(path: Path, encoding: str) -> str:
    """Text of a study's report; raises `UnusableReportError` if it is missing or not text."""
    try:
        return decode(read_regular(path, _MAX_BYTES), encoding)
    except UnicodeDecodeError:
        raise UnusableReportError("undecodable_report") from None
    except LookupError as error:
        raise DataError(
            f"read.encoding is {encoding!r}, which is unknown; try utf-8 or latin-1"
        ) from error
    except IrregularFileError as error:
        raise UnusableReportError("undecodable_report") from error
    except OSError as error:
        raise UnusableReportError("missing_report") from error
