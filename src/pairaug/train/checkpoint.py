"""The state of a training on disk: written as a whole, and read only if intact."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError

from pairaug.errors import RunError
from pairaug.system.atomic import disk_errors, new_file


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Writes tensors and plain values to one file."""
    with new_file(path) as file:
        torch.save(dict(state), file)


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Turns disk errors of libraries that write a model into a one-line error about `folder`."""
    with disk_errors(folder):
        try:
            yield
        except SafetensorError as error:
            # The library's own error for a disk that is full or read-only.
            raise RunError(f"cannot write the weights in {folder}: {error}") from error


def load_state(
    path: Path, device: torch.device | str, names: Collection[str], remedy: str
) -> dict[str, Any]:
    """The state written by `save_state` to `path`, with at least the keys `names`.

    Raises `RunError`, one line that ends in `remedy`, for a file that is cut short, changed or of
    another kind. PyTorch itself does not compare checksums.
    """
    try:
        with ZipFile(path) as members:
            broken = members.testzip()
        if broken is not None:
            raise BadZipFile(broken)
        state = torch.load(path, map_location=device, weights_only=True)
        missing = [name for name in names if name not in state]
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; {remedy}") from error
    except (BadZipFile, OSError, EOFError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise RunError(f"{path} is damaged or cut short; {remedy}") from error
    except pickle.UnpicklingError as error:
        raise RunError(f"{path} does not hold tensors; {remedy}") from error
    if missing:
        raise RunError(
            f"{path} is not a checkpoint of this version: {missing[0]} is missing; {remedy}"
        )
    return state
