"""`pairaug evaluate`: one command for each kind of measurement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pairaug.cli.shared import (
    OptionalConfig,
    Sets,
    load_settings_of,
    one_line_errors,
    show_progress,
)

Out = Annotated[Path, typer.Option(help="The folder of the table and the JSON.")]

app = typer.Typer(no_args_is_help=True, help="Measure models; a table with intervals.")


@app.command("counterfactual")
@one_line_errors
def evaluate_counterfactual(
    config: OptionalConfig = None, out: Out = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Edits of phantoms against the right answers, which only phantoms have."""
    from pairaug.evaluate import counterfactual as program

    settings = load_settings_of(program.CounterfactualSettings, config, sets)
    total = settings.num_edits * len({*settings.methods, "free"})
    _evaluate(program.run_counterfactual, settings, out, total)


@app.command("fidelity")
@one_line_errors
def evaluate_fidelity(
    config: OptionalConfig = None, out: Out = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Whether generated images show what their reports state, on new phantom patients."""
    from pairaug.evaluate import fidelity as program

    settings = load_settings_of(program.FidelitySettings, config, sets)
    _evaluate(program.run_fidelity, settings, out, settings.num_patients)


@app.command("zero-shot")
@one_line_errors
def evaluate_zero_shot(
    config: OptionalConfig = None, out: Out = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Findings by captions alone: a model, or several, on labelled images."""
    from pairaug.evaluate import zero_shot as program

    settings = load_settings_of(program.ZeroShotSettings, config, sets)
    _evaluate(program.run_zero_shot, settings, out, None)


@app.command("linear-probe")
@one_line_errors
def evaluate_linear_probe(
    config: OptionalConfig = None, out: Out = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Findings by a linear layer on a frozen image tower, trained on few labels and on all."""
    from pairaug.evaluate import linear_probe as program

    settings = load_settings_of(program.LinearProbeSettings, config, sets)
    _evaluate(program.run_linear_probe, settings, out, None)


@app.command("retrieval")
@one_line_errors
def evaluate_retrieval(
    config: OptionalConfig = None, out: Out = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """An image's own report among those of all, and a report's image."""
    from pairaug.evaluate import retrieval as program

    settings = load_settings_of(program.RetrievalSettings, config, sets)
    _evaluate(program.run_retrieval, settings, out, None)


def _evaluate(
    evaluate: Callable[[Any, Path, Callable[[int], None]], Path],
    settings: Any,
    out: Path,
    num_images: int | None,
) -> None:
    with show_progress() as progress:
        progress.start("images", num_images, unit="image")
        path = evaluate(settings, out, progress.advance)
        progress.finish()
    typer.echo(path.with_suffix(".txt").read_text(encoding="utf-8"))
    typer.echo(path)
