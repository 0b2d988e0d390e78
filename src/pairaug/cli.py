"""The command line: one thin command for each program and stage.

Everything heavy is imported inside the commands, so that `pairaug --help` answers at once.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairaug import __version__
from pairaug.errors import PairAugError

if TYPE_CHECKING:
    from rich.console import Console

    from pairaug.run.folder import RunFolder, RunRecord
    from pairaug.run.progress import BarProgress, LineProgress

app = typer.Typer(
    name="pairaug",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # Tracebacks with local variables would print reports.
    pretty_exceptions_enable=False,
    help="More image-report pairs for training medical vision-language models.",
)
train_app = typer.Typer(no_args_is_help=True, help="Train a model on pairs.")
evaluate_app = typer.Typer(no_args_is_help=True, help="Measure models; a table with intervals.")
app.add_typer(train_app, name="train", rich_help_panel=None)
app.add_typer(evaluate_app, name="evaluate")

Config = Annotated[Path, typer.Argument(help="A YAML file of settings.", show_default=False)]
Run = Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting; may be given more than once."),
]
TrainConfig = Annotated[
    Path | None, typer.Argument(help="A YAML file of settings.", show_default=False)
]
TrainOut = Annotated[
    Path | None,
    typer.Option(help="The folder to write; without it, runs/NAME.", show_default=False),
]
ShowIds = Annotated[
    bool,
    typer.Option(
        "--show-ids", help="Name unusable studies by their ids, where else a hash stands for each."
    ),
]
EvaluateOut = Annotated[Path, typer.Option(help="The folder of the table and the JSON.")]


def main() -> None:
    """The entry point of the `pairaug` command."""
    app()


def _one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, with problems that the user can fix printed as one line: exit code 1, or 130."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except PairAugError as error:
            typer.echo(f"pairaug: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo("pairaug: stopped; the same command resumes", err=True)
            raise typer.Exit(130) from error

    return wrapped


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pairaug {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del version


@app.command()
@_one_line_errors
def demo(
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/demo"),
    sets: Sets = None,
) -> None:
    """Run the whole chain on simulated films with the bundled models; minutes on a CPU."""
    from pairaug.config import load_settings

    _run_chain(load_settings(overrides=sets or (), preset="demo"), out)


@app.command()
@_one_line_errors
def run(
    config: Config,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the run; without it, runs/NAME for NAME.yaml.",
            show_default=False,
        ),
    ] = None,
    sets: Sets = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Read at most so many pairs.", show_default=False)
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Where parts are worked on: local.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
    ] = False,
    show_ids: ShowIds = False,
) -> None:
    """Run the whole chain on your data and models; the same command resumes it."""
    if dry_run:
        # A look must fetch nothing; read by the hub library when it is first imported.
        os.environ["HF_HUB_OFFLINE"] = "1"
    from pairaug.config import load_settings

    overrides = [*(sets or ())]
    overrides += [] if limit is None else [f"limit={limit}"]
    overrides += [] if engine is None else [f"engine={engine}"]
    settings = load_settings(config, overrides)
    folder = out or _folder_for(config)
    if not dry_run:
        _run_chain(settings, folder, show_ids)
        return
    from pairaug.run import RunFolder, make_plan
    from pairaug.run.tables import print_plan

    plan = make_plan(settings, RunFolder(folder))
    print_plan(_console(), plan)
    if plan.problems:
        raise typer.Exit(1)


@app.command()
@_one_line_errors
def phantom(
    out: Annotated[Path, typer.Option(help="The folder to write; must be new or empty.")],
    num_patients: Annotated[int, typer.Option(help="How many simulated patients.")] = 100,
    seed: Annotated[int, typer.Option(help="Which patients.")] = 0,
    size: Annotated[int, typer.Option(help="Pixels a side of each film.")] = 128,
    masks: Annotated[bool, typer.Option("--masks", help="Write masks of all structures.")] = False,
) -> None:
    """Write a dataset of simulated radiographs and reports whose truth is known."""
    from pairaug.phantom.dataset import DatasetSize, write_dataset

    dataset = DatasetSize(num_patients=num_patients, seed=seed, size=size)
    with _progress() as progress:
        progress.start("phantom", num_patients)
        table = write_dataset(out, dataset, masks=masks, report_progress=progress.advance)
        progress.finish()
    typer.echo(table)


@app.command()
@_one_line_errors
def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(help="A YAML file of settings; without it, the demo.", show_default=False),
    ] = None,
    sets: Sets = None,
    convert: Annotated[
        Path | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Instead of checking: write a scorer's published weights (.bin, .pt, or a folder "
            "with one) as safetensors, MedCLIP's and CheXzero's with a configuration.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="With --convert, the folder to write; without it, beside the weights.",
            show_default=False,
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="With --convert, the folder of the tokenizer, if it is not beside the weights.",
            show_default=False,
        ),
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="With --convert, read a pickle, whose source you trust.",
        ),
    ] = False,
) -> None:
    """Check settings, data, models, token window, disk and device before a long run."""
    if convert is not None:
        from pairaug.run.doctor import convert_weights

        typer.echo(convert_weights(convert, out, tokenizer, allow_pickle))
        return
    from pairaug.run.doctor import diagnose
    from pairaug.run.tables import print_check

    console, checks = _console(), []
    for check in diagnose(config, sets or ()):
        print_check(console, check)
        checks.append(check)
    if not all(check.is_fine for check in checks):
        raise typer.Exit(1)


@train_app.command("generator")
@_one_line_errors
def train_generator(config: TrainConfig = None, out: TrainOut = None, sets: Sets = None) -> None:
    """Train a latent diffusion model: autoencoder, denoiser and text encoder."""
    from pairaug.train import generator

    _train(generator.train_generator, generator.GeneratorSettings, "generator", config, out, sets)


@train_app.command("clip")
@_one_line_errors
def train_clip(config: TrainConfig = None, out: TrainOut = None, sets: Sets = None) -> None:
    """Train a CLIP model on pairs of films and reports."""
    from pairaug.train import clip

    _train(clip.train_clip, clip.ClipSettings, "clip", config, out, sets)


@train_app.command("classifier")
@_one_line_errors
def train_classifier(config: TrainConfig = None, out: TrainOut = None, sets: Sets = None) -> None:
    """Train a classifier of findings, for checks."""
    from pairaug.train import classifier

    _train(
        classifier.train_classifier, classifier.ClassifierSettings, "classifier", config, out, sets
    )


@evaluate_app.command("counterfactual")
@_one_line_errors
def evaluate_counterfactual(
    config: TrainConfig = None, out: EvaluateOut = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Edits of phantoms against the right answers, which only phantoms have."""
    from pairaug.evaluate import counterfactual as program

    settings = _settings(program.CounterfactualSettings, config, sets)
    total = settings.num_edits * len({*settings.methods, "free"})
    _evaluate(program.run_counterfactual, settings, out, total)


@evaluate_app.command("fidelity")
@_one_line_errors
def evaluate_fidelity(
    config: TrainConfig = None, out: EvaluateOut = Path("runs/evaluate"), sets: Sets = None
) -> None:
    """Whether generated films show what their reports state, on new phantom patients."""
    from pairaug.evaluate import fidelity as program

    settings = _settings(program.FidelitySettings, config, sets)
    _evaluate(program.run_fidelity, settings, out, settings.num_patients)


def _do_stage(stage: str, run: Path, sets: list[str] | None, show_ids: bool = False) -> None:
    from pairaug.run import RunFolder, run_stage
    from pairaug.run.tables import print_result

    folder = RunFolder(run)
    with _progress() as progress:
        on_read = _quality_printer(progress, folder, show_ids)
        record = run_stage(stage, folder, sets or (), progress, on_read)
    print_result(_console(), folder, record, only=stage)


def _stage_command(stage: str, name: str, description: str) -> None:
    """Adds the command that does one stage of an existing run."""

    @_one_line_errors
    def command(run: Run, sets: Sets = None) -> None:
        _do_stage(stage, run, sets)

    command.__doc__ = description
    app.command(name)(command)


@app.command("read")
@_one_line_errors
def read(run: Run, sets: Sets = None, show_ids: ShowIds = False) -> None:
    """Read the real pairs of a run, and tell what they are like."""
    _do_stage("read", run, sets, show_ids)


for _stage, _description in (
    ("rewrite", "Rewrite reports: new patients, and changes of the same one."),
    ("generate", "Draw the films of new patients from their reports."),
    ("edit", "Change films as their rewritten reports say."),
    ("score", "Encode films and reports and note how well they agree."),
):
    _stage_command(_stage, _stage, _description)


@app.command("prune")
@_one_line_errors
def prune(
    run: Run,
    sets: Sets = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Decide nothing: show what each threshold would keep, and write sweep.html.",
        ),
    ] = False,
) -> None:
    """Decide, or decide again, which synthetic pairs are kept; no models needed."""
    if sweep:
        from pairaug.run.sweep import print_sweep, sweep_run

        print_sweep(_console(), sweep_run(run))
        return
    _do_stage("prune", run, sets)
    typer.echo(f"To bring export and summary.html up to date: pairaug run {run / 'run.yaml'}")


_stage_command("export", "export", "Write the kept pairs for training, again if need be.")
_stage_command("summary", "summarize", "Write summary.html, again if need be.")


def _run_chain(settings: Any, out: Path, show_ids: bool = False) -> None:
    from pairaug.run import RunFolder
    from pairaug.run import run as run_all
    from pairaug.run.tables import print_result

    folder = RunFolder(out)
    with _progress() as progress:
        on_read = _quality_printer(progress, folder, show_ids)
        record = run_all(settings, folder, progress, on_read)
    print_result(_console(), folder, record)


def _quality_printer(
    progress: BarProgress | LineProgress, folder: RunFolder, show_ids: bool
) -> Callable[[RunRecord], None]:
    """Prints what the real pairs are like: above the bars where there are some."""
    from pairaug.run.tables import print_quality

    # On a terminal both consoles are the same screen, and only this one knows of the bars.
    console = getattr(progress, "console", None) or _console()

    def printed(record: RunRecord) -> None:
        print_quality(console, folder, record, show_ids=show_ids)

    return printed


def _settings(model: type[Any], config: Path | None, sets: list[str] | None) -> Any:
    from pairaug.config import load_model

    return load_model(model, config, sets or ())


def _train(
    train: Callable[[Any, Path], object],
    model: type[Any],
    kind: str,
    config: Path | None,
    out: Path | None,
    sets: list[str] | None,
) -> None:
    settings = _settings(model, config, sets)
    folder = out or Path("runs") / (config.stem if config else f"train-{kind}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    _quieten_libraries()
    train(settings, folder)
    typer.echo(folder)


def _evaluate(
    evaluate: Callable[[Any, Path, Callable[[int], None]], Path],
    settings: Any,
    out: Path,
    num_films: int,
) -> None:
    with _progress() as progress:
        progress.start("films", num_films)
        path = evaluate(settings, out, progress.advance)
        progress.finish()
    typer.echo(path.with_suffix(".txt").read_text(encoding="utf-8"))
    typer.echo(path)


def _folder_for(config: Path) -> Path:
    """A run's own folder for its run.yaml, so that it resumes; else a folder named for the file."""
    if config.name == "run.yaml":
        return config.parent
    return Path("runs") / config.stem


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


@contextmanager
def _progress() -> Iterator[BarProgress | LineProgress]:
    """Bars on a terminal, else lines; warnings go above them."""
    from rich.logging import RichHandler

    from pairaug.run.progress import BarProgress, LineProgress

    console = _console(stderr=True)
    _quieten_libraries()
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


def _quieten_libraries() -> None:
    """The model libraries' own advice is about their insides; errors still come through."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
