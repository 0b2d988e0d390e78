"""`pairaug evaluate`: one command per evaluation."""

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

ResultsFolder = Annotated[Path, typer.Option(help="Folder for the table and its JSON file.")]

app = typer.Typer(no_args_is_help=True, help="Evaluate models: tables with confidence intervals.")


@app.command("counterfactual")
@one_line_errors
def evaluate_counterfactual(
    config: OptionalConfig = None, out: ResultsFolder = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Compare edits of phantoms with the ground truth that phantoms have."""
    from pairaug.evaluate import counterfactual as program

    settings = load_settings_of(program.CounterfactualSettings, config, sets)
    total = settings.num_edits * len({*settings.methods, "free"})
    _evaluate(program.run_counterfactual, settings, out, total)


@app.command("fidelity")
@one_line_errors
def evaluate_fidelity(
    config: OptionalConfig = None, out: ResultsFolder = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Measure whether generated images show what their reports state, on new phantom patients."""
    from pairaug.evaluate import fidelity as program

    settings = load_settings_of(program.FidelitySettings, config, sets)
    _evaluate(program.run_fidelity, settings, out, settings.num_patients)


@app.command("zero-shot")
@one_line_errors
def evaluate_zero_shot(
    config: OptionalConfig = None, out: ResultsFolder = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Classify findings zero-shot, by captions alone, with one or more CLIP models."""
    from pairaug.evaluate import zero_shot as program

    settings = load_settings_of(program.ZeroShotSettings, config, sets)
    _evaluate(program.run_zero_shot, settings, out, None)


@app.command("linear-probe")
@one_line_errors
def evaluate_linear_probe(
    config: OptionalConfig = None, out: ResultsFolder = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Classify findings by a linear layer on a frozen image encoder, at several label fractions."""
    from pairaug.evaluate import linear_probe as program

    settings = load_settings_of(program.LinearProbeSettings, config, sets)
    _evaluate(program.run_linear_probe, settings, out, None)


@app.command("retrieval")
@one_line_errors
def evaluate_retrieval(
    config: OptionalConfig = None, out: ResultsFolder = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Retrieve each image's report among all reports, and each report's image."""
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
