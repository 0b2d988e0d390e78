"""Arguments, one-line errors and progress that all commands share."""

from __future__ import annotations

import errno
import functools
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairaug.errors import PairAugError

if TYPE_CHECKING:
    from rich.console import Console

    from pairaug.run.progress import BarProgress, LineProgress

Config = Annotated[Path, typer.Argument(help="YAML file of settings.", show_default=False)]
RunFolderArgument = Annotated[Path, typer.Argument(help="Run folder.", show_default=False)]
OutFolder = Annotated[
    Path | None,
    typer.Option(help="Folder to write. Default: runs/NAME for NAME.yaml.", show_default=False),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change one setting. Repeat the option for more."
    ),
]
OptionalConfig = Annotated[
    Path | None, typer.Argument(help="YAML file of settings.", show_default=False)
]


_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""Errors of the disk or its permissions, which the user has to solve."""


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, which schedulers send to stop a process."""


def stop_when_terminated() -> None:
    """Makes SIGTERM stop this process and the processes it started, as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:
        del number, frame
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with errors that the user can fix printed as one line.

    Exit code 1 for an error, 130 after Ctrl-C, 143 after SIGTERM.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except PairAugError as error:
            typer.echo(f"pairaug: {error}", err=True)
            raise typer.Exit(1) from error
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            where = f"{error.filename}: " if error.filename else ""
            typer.echo(f"pairaug: {where}{error.strerror}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo("pairaug: stopped; repeat the command to resume", err=True)
            code = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
            raise typer.Exit(128 + code) from error

    return wrapped


def load_settings_of(model: type[Any], config: Path | None, sets: list[str] | None) -> Any:
    """Settings of a YAML file with `--set` on top."""
    from pairaug.config import load_model

    return load_model(model, config, sets or ())


def open_console(stderr: bool = False) -> Console:
    """A console that prints tables to the terminal or a pipe."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


@contextmanager
def show_progress() -> Iterator[BarProgress | LineProgress]:
    """Progress bars on a terminal, lines elsewhere; warnings are printed above them."""
    from rich.logging import RichHandler

    from pairaug.run.progress import BarProgress, LineProgress

    console = open_console(stderr=True)
    quieten_libraries()
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_time=False, show_path=False)
        progress: BarProgress | LineProgress = BarProgress(console)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        progress = LineProgress(functools.partial(typer.echo, err=True))
    logger = logging.getLogger("pairaug")
    logger.addHandler(handler)
    try:
        with progress:
            yield progress
    finally:
        logger.removeHandler(handler)


def quieten_libraries() -> None:
    """Limits the log of the model libraries to errors."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
