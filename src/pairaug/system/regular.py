"""Reading of regular files only: reading a pipe would never end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class IrregularFileError(OSError):
    """The path is not a regular file of a reasonable size; the message states what it is."""


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Content of a regular file; a pipe, a device or a socket is not opened.

    Raises `IrregularFileError` for another kind of file or for more than `max_bytes`, else as
    `open` does.
    """
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > max_bytes else file.read(max_bytes + 1)
    if max(size, len(content)) > max_bytes:
        raise IrregularFileError(f"a file of more than {max_bytes >> 20} MB")
    return content


def read_head(path: Path, num_bytes: int) -> bytes:
    """First bytes of a regular file; raises as `read_regular` does."""
    with _open(path) as file:
        return file.read(num_bytes)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    _check(os.stat(path))  # noqa: PTH116
    # Does not block if the file has been replaced by a pipe meanwhile.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
        _check(os.fstat(file.fileno()))
        yield file


def _check(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IrregularFileError("a folder")
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError("no regular file")
