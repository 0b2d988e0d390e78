"""One writer per folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairaug.errors import RunError


@contextmanager
def hold_lock(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Locks a folder for writing, and creates it if missing.

    `RunError` if another process has the lock, unless this one `waits` for it. The lock of a killed
    process is released.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RunError(
                f"{folder} is being written by another process (pid {holder}). "
                "Wait for it, or pass a new --out folder."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
