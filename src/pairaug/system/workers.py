"""Processes that work for this one, and end with it."""

from __future__ import annotations

import os
import time
from threading import Thread

from loky import ProcessPoolExecutor

from pairaug.system.memory import keep_freed_memory

_SECONDS_BETWEEN_LOOKS = 1.0


def open_workers(number: int) -> ProcessPoolExecutor:
    """`number` processes, which end within seconds of this one, however it ends.

    Not Python's own pool: its processes would run the caller's script anew, unless that is guarded,
    and loky's alone finish what they were given when their parent is killed, beside whatever has
    been started in its place.
    """
    return ProcessPoolExecutor(number, initializer=_begin, initargs=(os.getpid(),))


def _begin(parent: int) -> None:
    keep_freed_memory()
    Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    # Nobody is left who would hear of an error.
    os._exit(1)
