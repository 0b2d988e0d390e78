"""Worker processes that end with this one."""

from __future__ import annotations

import os
import time
from threading import Thread

from loky import ProcessPoolExecutor

from pairaug.system.memory import keep_freed_memory

_SECONDS_BETWEEN_LOOKS = 1.0


def open_workers(number: int) -> ProcessPoolExecutor:
    """A pool of `number` processes, which end within seconds after this one, even if it is killed.

    Python's own pool would run the caller's script again if it has no main guard. Plain loky
    workers would finish their tasks after their parent was killed, beside a restarted run.
    """
    return ProcessPoolExecutor(number, initializer=_begin, initargs=(os.getpid(),))


def _begin(parent: int) -> None:
    keep_freed_memory()
    Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    # There is no parent left to report an error to.
    os._exit(1)
