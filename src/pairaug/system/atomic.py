"""Files and folders that are there in full or not at all, whenever a process or a machine stops.

Every result that PairAug keeps is written here: under a temporary name, flushed to the disk, and
renamed last, with its folder flushed after it. A process that is killed leaves nothing but names
that `settle` and `remove_leftovers` clear away.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pairaug.errors import RunError

FILE_SUFFIX, FOLDER_SUFFIX, OLD_SUFFIX = ".writing-pairaug", ".partial-pairaug", ".old-pairaug"
"""What the names of unfinished files and folders end in, and of a folder that is being replaced.

They begin with a dot. Nobody else gives such names, so whatever has one may be removed: a user's
own `export.old` is none of them.
"""


def write_file(path: Path, content: bytes) -> None:
    """Writes a file so that it is either there in full or not there at all, come what may."""
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to fill, which takes the place of `path` when the block has ended well.

    Raises `RunError` where it cannot be written; what was at `path` then stays.
    """
    temporary = _beside(path, FILE_SUFFIX)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # an interruption too: no half-written file stays
            with suppress(OSError):  # the first error is the one to tell
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` when the block has ended well.

    Until then an earlier one stays as it is. A link to a folder stays one. Raises `RunError` where
    the folder cannot be written.
    """
    folder = _target(folder)
    partial, old = _beside(folder, FOLDER_SUFFIX), _beside(folder, OLD_SUFFIX)
    with disk_errors(folder):
        settle(folder)
        partial.mkdir(parents=True)
        try:
            yield partial
            _sync_tree(partial)
        except BaseException:  # an interruption too: no half-written folder stays
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        _sync_folder(folder.parent)
        settle(folder)


@contextmanager
def new_files(folder: Path, last: str) -> Iterator[Path]:
    """A folder to fill with files that are moved into `folder` when the block has ended well.

    What else is in `folder` stays. The file named `last` marks a folder that is whole: it is gone
    while others are replaced. Raises `RunError` where the files cannot be written.
    """
    folder = _target(folder)
    partial = _beside(folder, FOLDER_SUFFIX)
    with disk_errors(folder):
        settle(folder)
        partial.mkdir(parents=True)
        try:
            yield partial
            _sync_tree(partial)
        except BaseException:  # an interruption too: no half-written folder stays
            shutil.rmtree(partial, ignore_errors=True)
            raise
        folder.mkdir(exist_ok=True)
        (folder / last).unlink(missing_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: path.name == last):
            if path.name == last:
                _sync_folder(folder)
            path.replace(folder / path.name)
        _sync_folder(folder)
        partial.rmdir()


def settle(folder: Path) -> None:
    """Clears away what `new_folder` left beside `folder` when it was killed.

    A folder that was moved aside for a successor that never arrived is brought back.
    """
    folder = _target(folder)
    partial, old = _beside(folder, FOLDER_SUFFIX), _beside(folder, OLD_SUFFIX)
    if old.is_dir():
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)
    if partial.is_dir():
        shutil.rmtree(partial)


def remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files and folders that a killed process left in a folder.

    To be called by one that is alone in it, while it has not yet begun any itself.
    """
    if folder.is_dir():
        for path in folder.glob(f".*{FILE_SUFFIX}"):
            path.unlink(missing_ok=True)
        for path in folder.glob(f".*{FOLDER_SUFFIX}"):
            shutil.rmtree(path)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the disk's errors into a line about `path`, which is being written."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    """The message for a file or folder that the disk does not take."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"the disk is full: {path.name} does not fit in {path.parent}. "
            "Make room and run the same command again: it resumes."
        )
    return RunError(f"cannot write {path}: {error.strerror or error}")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")


def _target(folder: Path) -> Path:
    """The target of a link: the folder is replaced there, on its own disk."""
    return folder.resolve() if folder.is_symlink() else folder


def _sync_tree(folder: Path) -> None:
    """Flushes every file and folder, before the rename that declares them done."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            _sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flushes a folder, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems flush no folders, and have no use for it.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
