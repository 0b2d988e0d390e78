"""A table's file as lines of text, for gzip and any encoding.

The first bytes override the file's name and the settings: downloads lose or gain a `.gz`,
spreadsheets write UTF-16.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pairaug.errors import DataError

MAX_CHARACTERS = 1 << 24
"""Per line and cell; a longer one comes from a quote that is not closed."""

_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"PAR1": "a Parquet file; rename it to .parquet",
    b"BZh": "packed with bzip2; unpack it",
    b"\xfd7zXZ": "packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save it as CSV",
}
# Longer marks first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 512
# Windows has letters where Latin-1 has control characters, which tables do not contain. Programs
# that write "latin-1" on Windows mean these.
_WINDOWS = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}


@contextmanager
def open_lines(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """The lines of the file at `path`, with their line ends.

    Raises `DataError`, also while lines are read, for a file that is missing, packed in a format
    other than gzip, cut short, damaged, or not text in `encoding`.
    """
    _check_known(path, encoding)
    try:
        with _binary(path) as file:
            head = file.peek(_HEAD)[:_HEAD]  # type: ignore[attr-defined]
            used = encoding_of(head, encoding)
            with io.TextIOWrapper(cast(BinaryIO, file), encoding=used, newline="") as lines:
                yield _limit(lines, path, is_latin=codecs.lookup(used).name == "iso8859-1")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut short; fetch it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or 'input/output error'}") from error
    except UnicodeError:
        # Not chained: the decoder's error carries the text.
        raise DataError(
            f"{path} is not {encoding} text; set read.encoding to the encoding it has, such as "
            "cp1252 (Windows), latin-1 or utf-16"
        ) from None


def _binary(path: Path) -> io.BufferedIOBase:
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a file")
    with path.open("rb") as file:
        head = file.read(8)
    for mark, what in _FOREIGN.items():
        if head.startswith(mark):
            raise DataError(f"{path} is {what}")
    return gzip.open(path, "rb") if head.startswith(_GZIP) else path.open("rb")


def encoding_of(head: bytes, stated: str) -> str:
    """Encoding of a file that begins with `head`: by its byte order mark, else `stated`."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    # Every second byte is zero: UTF-16 without its mark.
    if stated.lower().replace("_", "-") in ("utf-8", "utf8") and len(head) >= 4:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if odd > len(head) // 4 and not even:
            return "utf-16-le"
        if even > len(head) // 4 and not odd:
            return "utf-16-be"
    return stated


def _check_known(path: Path, encoding: str) -> None:
    try:
        "".encode(encoding)
        b"".decode(encoding)
    except (LookupError, ValueError) as error:
        raise DataError(
            f"{path}: unknown encoding {encoding!r}; try utf-8, cp1252 or latin-1"
        ) from error


def _limit(lines: io.TextIOWrapper, path: Path, is_latin: bool) -> Iterator[str]:
    number = 0
    while line := lines.readline(MAX_CHARACTERS):
        number += 1
        if len(line) == MAX_CHARACTERS:
            raise DataError(f"{path}: line {number} is longer than {MAX_CHARACTERS >> 20} MB")
        yield line.translate(_WINDOWS) if is_latin else line
