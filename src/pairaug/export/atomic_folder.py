"""Puts a finished export in place in one step: a folder holds all of it or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pairaug.errors import RunError
from pairaug.export.settings import ExportFormat
from pairaug.system.atomic import new_folder, settle
from pairaug.system.json_text import read_json_object

REPORT_NAME = "export.json"
"""Present in every export; a folder without it is never replaced."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder to fill; it replaces `folder` when the context ends without an error.

    Until then an earlier export stays as it is. Raises `RunError` if `folder` is not an export.
    """
    settle(folder)
    _check_replaceable(folder)
    with new_folder(folder) as partial:
        yield partial


class EarlierExport(BaseModel):
    """What a new export needs of the earlier one that it replaces."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    formats: tuple[ExportFormat, ...] = Field(strict=False)
    edition: str


def read_report(folder: Path) -> EarlierExport | None:
    """The record of the export in `folder`; None without an export."""
    path = folder / REPORT_NAME
    remedy = f"delete {folder} and export again"
    try:
        return EarlierExport.model_validate(read_json_object(path, RunError, remedy))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        name = error.errors(include_input=False)[0]["loc"][0]
        raise RunError(
            f"{path} is damaged at {name}, or from another version of PairAug; {remedy}"
        ) from error


def take_over(name: str, earlier: Path, partial: Path) -> None:
    """Links a layout of the earlier export into the new one, without a second copy on disk."""
    shutil.copytree(earlier / name, partial / name, copy_function=_link)


def files_in(folder: Path) -> tuple[str, ...]:
    """All files, relative to `folder`, sorted."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(path.relative_to(folder).as_posix() for path in paths))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Some file systems have no hard links; a copy is the same export.
        shutil.copyfile(source, target)


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder to export to")
    if any(folder.iterdir()) and not (folder / REPORT_NAME).is_file():
        raise RunError(f"{folder} contains files that are not an export; give another folder")
