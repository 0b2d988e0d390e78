"""`pairaug experiment`: comparisons that train many models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from pairaug.cli.shared import (
    Config,
    OutFolder,
    Sets,
    load_settings_of,
    one_line_errors,
    show_progress,
)

if TYPE_CHECKING:
    from pairaug.run.progress import ProgressReport

SettingsT = TypeVar("SettingsT")

app = typer.Typer(no_args_is_help=True, help="Run experiments that train many models.")


@app.callback()
def _experiments() -> None:
    """Run experiments that train many models."""


@app.command("utility")
@one_line_errors
def experiment_utility(config: Config, out: OutFolder = None, sets: Sets = None) -> None:
    """Measure at equal compute whether synthetic pairs help. Repeat the command to resume."""
    from pairaug.experiment.settings import UtilitySettings
    from pairaug.experiment.utility import run_utility

    _run(run_utility, load_settings_of(UtilitySettings, config, sets), out, config)


@app.command("pruning")
@one_line_errors
def experiment_pruning(config: Config, out: OutFolder = None, sets: Sets = None) -> None:
    """Measure what pruning is worth at several noise rates. Repeat the command to resume."""
    from pairaug.experiment.pruning import run_pruning
    from pairaug.experiment.settings import PruningSettings

    _run(run_pruning, load_settings_of(PruningSettings, config, sets), out, config)


def _run(
    experiment: Callable[[SettingsT, Path, ProgressReport], Path],
    settings: SettingsT,
    out: Path | None,
    config: Path,
) -> None:
    """Runs an experiment and prints its table and the path of its JSON file."""
    logging.getLogger("pairaug.train").setLevel(logging.WARNING)
    with show_progress() as progress:
        path = experiment(settings, out or Path("runs") / config.stem, progress)
    typer.echo(path.with_suffix(".txt").read_text(encoding="utf-8"))
    typer.echo(path)
