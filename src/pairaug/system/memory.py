"""Settings of the C library for freed memory."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 64 << 20
_LARGEST = 32 << 20
"""Bytes; the highest threshold that glibc accepts."""


def keep_freed_memory() -> bool:
    """Makes this process keep up to 64 MB of freed memory; True if that was set.

    glibc returns large freed blocks, such as images and activations, to the system at once, and
    each new page costs a page fault: about half of the time of inspecting an image. Only for
    PairAug's own processes, not for programs that import the package. Without glibc, does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Once set, glibc no longer adjusts either of them.
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT) and mallopt(_MMAP_THRESHOLD, _LARGEST))
