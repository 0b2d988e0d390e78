"""`pairaug experiment`: programs that run others to answer one question."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pairaug.cli.shared import Config, Sets, load_settings_of, one_line_errors, show_progress

if TYPE_CHECKING:
    from pairaug.run.progress import ProgressReport

SettingsT = TypeVar("SettingsT")

Out = Annotated[
    Path | None,
    typer.Option(
        help="The folder to write; without it, runs/NAME for NAME.yaml.", show_default=False
    ),
]

app = typer.Typer(no_args_is_help=True, help="Answer one question by many trainings.")


@app.callback()
def _experiments() -> None:
    """Answer one question by many trainings."""


@app.command("utility")
@one_line_errors
def experiment_utility(config: Config, out: Out = None, sets: Sets = None) -> None:
    """The paper's comparison at equal compute: do the synthetic pairs help? Resumes by itself."""
    from pairaug.experiment.settings import UtilitySettings
    from pairaug.experiment.utility import run_utility

    _run(run_utility, load_settings_of(UtilitySettings, config, sets), out, config)


@app.command("pruning")
@one_line_errors
def experiment_pruning(config: Config, out: Out = None, sets: Sets = None) -> None:
    """When does pruning pay? By how often the generator fails. Resumes by itself."""
    from pairaug.experiment.pruning import run_pruning
    from pairaug.experiment.settings import PruningSettings

    _run(run_pruning, load_settings_of(PruningSettings, config, sets), out, config)


def _run(
    experiment: Callable[[SettingsT, Path, ProgressReport], Path],
    settings: SettingsT,
    out: Path | None,
    config: Path,
) -> None:
    """Runs an experiment in its folder, and prints its table and where the numbers are."""
    logging.getLogger("pairaug.train").setLevel(logging.WARNING)
    with show_progress() as progress:
        path = experiment(settings, out or Path("runs") / config.stem, progress)
    typer.echo(path.with_suffix(".txt").read_text(encoding="utf-8"))
    typer.echo(path)
