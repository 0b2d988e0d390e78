"""Memory-mapped arrays on disk, with their full size allocated beforehand."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pairaug.system.atomic import new_file


def open_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """Writable array in a `.npy` file; zeros if there is no such array yet.

    Raises `RunError` if the disk has no room for it. Later is too late: a page of memory that finds
    the disk full ends the process without a message.
    """
    if not _is_there(path, np.dtype(dtype), shape):
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": shape,
        }
        with new_file(path) as file:
            np.lib.format.write_array_header_1_0(file, header)
            _extend(file, np.dtype(dtype).itemsize * int(np.prod(shape)))
    return np.load(path, mmap_mode="r+")


def _is_there(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # missing, cut short, or another file
        return False
    return isinstance(found, np.memmap) and found.shape == shape and found.dtype == dtype


def _extend(file: BinaryIO, num_bytes: int) -> None:
    """Allocates disk space after the written part; it reads as zeros."""
    size = file.tell() + num_bytes
    file.flush()
    if hasattr(os, "posix_fallocate"):  # macOS has none
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            # Some file systems cannot allocate space without writing to it.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
    file.truncate(size)
