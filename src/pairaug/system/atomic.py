"""Atomic writes of files and folders, safe against killed processes and power loss.

All results are written here: under a temporary name, flushed to disk, and renamed last, with the
parent folder flushed after it. A killed process leaves only temporary names, which `settle` and
`remove_leftovers` remove.
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
"""Suffixes of unfinished files and folders, and of a folder that is being replaced.

The names also start with a dot, so a user's own `export.old` is not among them. Anything with such
a name may be removed.
"""


def write_file(path: Path, content: bytes) -> None:
    """Writes a file atomically: it is complete or does not exist."""
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to fill, which replaces `path` when the block ends without an error.

    Raises `RunError` if it cannot be written; `path` is then unchanged.
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
            with suppress(OSError):  # the first error is the one to raise
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which replaces `folder` when the block ends without an error.

    Until then an earlier folder is unchanged. A link to a folder stays a link. Raises `RunError` if
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
    """A folder to fill with files, moved into `folder` when the block ends without an error.

    Other files in `folder` are kept. The file `last` marks a complete folder: it is removed while
    others are replaced. Raises `RunError` if the files cannot be written.
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
    """Removes what a killed `new_folder` left beside `folder`.

    Restores a folder that was moved aside and not yet replaced.
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

    Call it only as the sole writer, before starting any writes.
    """
    if folder.is_dir():
        for path in folder.glob(f".*{FILE_SUFFIX}"):
            path.unlink(missing_ok=True)
        for path in folder.glob(f".*{FOLDER_SUFFIX}"):
            shutil.rmtree(path)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns disk errors while writing `path` into a `RunError`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    """The error for a file or folder that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"the disk is full: {path.name} does not fit in {path.parent}. "
            "Free some space and run the same command again: it resumes."
        )
    return RunError(f"cannot write {path}: {error.strerror or error}")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")


def _target(folder: Path) -> Path:
    """Target of a link, so that the folder is replaced on its own disk."""
    return folder.resolve() if folder.is_symlink() else folder


def _sync_tree(folder: Path) -> None:
    """Flushes all files and folders, before the rename that marks them as done."""
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
        # Some network file systems cannot flush folders, and need not.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
