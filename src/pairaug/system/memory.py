"""How the C library deals with memory that has been freed."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 64 << 20
_LARGEST = 32 << 20
"""Bytes; glibc takes no higher threshold."""


def keep_freed_memory() -> bool:
    """Has this process keep up to 64 MB of freed memory; True where that could be set.

    glibc hands freed memory back to the system at once where blocks are large, as images and
    activations are, and each page that comes anew costs a fault: about half of the time of looking
    at an image. For a process that is ours, so not for whoever imports the package. It does nothing
    where the C library is another.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Set by hand, glibc no longer moves either of them by itself.
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT) and mallopt(_MMAP_THRESHOLD, _LARGEST))
