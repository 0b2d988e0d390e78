"""`pairaug experiment`: programs that run others to answer one question."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from pairaug.cli.shared import Config, Sets, load_settings_of, one_line_errors, show_progress

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
    """The paper's comparison at equal compute: do the made pairs help? Resumes by itself."""
    from pairaug.experiment.settings import UtilitySettings
    from pairaug.experiment.utility import run_utility

    settings = load_settings_of(UtilitySettings, config, sets)
    folder = out or Path("runs") / config.stem
    logging.getLogger("pairaug.train").setLevel(logging.WARNING)
    with show_progress() as progress:
        path = run_utility(settings, folder, progress)
    typer.echo(path.with_suffix(".txt").read_text(encoding="utf-8"))
    typer.echo(path)
