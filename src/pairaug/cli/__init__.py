"""The command line: one thin command per program and stage.

Heavy imports are inside the commands, so that `pairaug --help` is fast.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairaug import __version__
from pairaug.cli import evaluate, experiment, train
from pairaug.cli.shared import (
    Config,
    RunFolderArgument,
    Sets,
    one_line_errors,
    open_console,
    show_progress,
    stop_when_terminated,
)
from pairaug.system.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairaug.record import RunRecord
    from pairaug.run.folder import RunFolder
    from pairaug.run.progress import BarProgress, LineProgress

ShowIds = Annotated[
    bool,
    typer.Option(
        "--show-ids", help="Show study ids instead of hashes in the list of rejected studies."
    ),
]

app = typer.Typer(
    name="pairaug",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # Tracebacks with local variables would print reports.
    pretty_exceptions_enable=False,
    help="Generate image-report pairs for training medical vision-language models.",
)
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(experiment.app, name="experiment")


def main() -> None:
    """Runs the `pairaug` command."""
    keep_freed_memory()
    # torchrun ends the processes it starts; a process that waits for the others must not do it.
    if "RANK" not in os.environ:
        stop_when_terminated()
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pairaug {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    del version


@app.command()
@one_line_errors
def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
    sets: Sets = None,
) -> None:
    """Run all stages on phantoms with the bundled models. Takes minutes on a CPU."""
    from pairaug.config import load_settings

    _run_all(load_settings(overrides=sets or (), preset="demo"), out)


@app.command()
@one_line_errors
def run(
    config: Config,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder. Default: runs/NAME for NAME.yaml.",
            show_default=False,
        ),
    ] = None,
    sets: Sets = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Read at most N pairs.", show_default=False),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Where to run: local, which is this machine.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and write nothing.")
    ] = False,
    show_ids: ShowIds = False,
) -> None:
    """Run all stages on your data and models. Repeat the command to resume an interrupted run."""
    if dry_run:
        # A dry run downloads nothing. The hub library reads this when it is first imported.
        os.environ["HF_HUB_OFFLINE"] = "1"
    from pairaug.config import load_settings
    from pairaug.run.folder import folder_for, settings_file

    overrides = [*(sets or ())]
    overrides += [] if limit is None else [f"limit={limit}"]
    overrides += [] if engine is None else [f"engine={engine}"]
    config = settings_file(config)
    settings = load_settings(config, overrides)
    folder = out or folder_for(config)
    if not dry_run:
        _run_all(settings, folder, show_ids)
        return
    from pairaug.run import RunFolder, make_plan
    from pairaug.run.tables import print_plan

    plan = make_plan(settings, RunFolder(folder))
    print_plan(open_console(), plan)
    if plan.problems:
        raise typer.Exit(1)


@app.command()
@one_line_errors
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write. It must be new or empty.")],
    num_patients: Annotated[int, typer.Option(help="Number of simulated patients.")] = 100,
    seed: Annotated[int, typer.Option(help="Random seed of the patients.")] = 0,
    size: Annotated[int, typer.Option(help="Width and height of each image in pixels.")] = 128,
    masks: Annotated[
        bool, typer.Option("--masks", help="Also write a mask of each structure.")
    ] = False,
) -> None:
    """Write a dataset of phantoms: simulated radiographs with known ground truth."""
    from pairaug.phantom.dataset import DatasetSize, write_dataset

    dataset = DatasetSize(num_patients=num_patients, seed=seed, size=size)
    with show_progress() as progress:
        progress.start("phantom", num_patients, unit="patient")
        table = write_dataset(out, dataset, masks=masks, report_progress=progress.advance)
        progress.finish()
    typer.echo(table)


@app.command()
@one_line_errors
def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(help="YAML file of settings. Default: the demo preset.", show_default=False),
    ] = None,
    sets: Sets = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder whose free disk space is checked. Default: runs/NAME for NAME.yaml.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check settings, data and models before a long run. Also checks device and disk."""
    from pairaug.run.doctor import diagnose
    from pairaug.run.folder import folder_for, settings_file
    from pairaug.run.tables import print_check

    console, checks = open_console(), []
    config = config and settings_file(config)
    folder = out or (folder_for(config) if config else Path("runs/demo"))
    for check in diagnose(config, sets or (), folder):
        print_check(console, check)
        checks.append(check)
    if not all(check.is_ok for check in checks):
        raise typer.Exit(1)


@app.command()
@one_line_errors
def convert(
    weights: Annotated[
        Path,
        typer.Argument(
            help="Weights file (.bin, .pt, .pth or .ckpt), or a folder with one.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write. Default: beside the weights.", show_default=False),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the tokenizer, if it is not beside the weights.", show_default=False
        ),
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Load pickled weights, which can run code. Use only if you trust them.",
        ),
    ] = False,
) -> None:
    """Convert published scorer weights to safetensors. Adds the missing configuration."""
    from pairaug.clip.convert import convert_weights, describe
    from pairaug.run.device import quieten_model_libraries

    quieten_model_libraries()
    folder = convert_weights(weights, out, tokenizer=tokenizer, allow_pickle=allow_pickle)
    typer.echo(describe(folder))


def _run_stage(stage: str, run: Path, sets: list[str] | None, show_ids: bool = False) -> None:
    from pairaug.run import RunFolder, run_stage
    from pairaug.run.tables import print_result

    folder = RunFolder(run)
    num_decisions = len(folder.load_record().decisions)
    with show_progress() as progress:
        on_read = _quality_printer(progress, folder, show_ids)
        record = run_stage(stage, folder, sets or (), progress, on_read=on_read)
    console = open_console()
    print_result(console, folder, record, only=stage, num_decisions_before=num_decisions)


def _stage_command(stage: str, name: str, description: str) -> None:
    """Adds a command that runs one stage of an existing run."""

    @one_line_errors
    def command(run: RunFolderArgument, sets: Sets = None) -> None:
        _run_stage(stage, run, sets)

    command.__doc__ = description
    app.command(name)(command)


@app.command("read")
@one_line_errors
def read(run: RunFolderArgument, sets: Sets = None, show_ids: ShowIds = False) -> None:
    """Read the real pairs and print a data-quality table."""
    _run_stage("read", run, sets, show_ids)


for _stage, _description in (
    (
        "rewrite",
        "Rewrite reports, for new patients and for the same one.",
    ),
    ("generate", "Generate radiographs for new patients from their rewritten reports."),
    ("edit", "Edit real radiographs to match their rewritten reports."),
    ("score", "Score how well images and reports agree."),
):
    _stage_command(_stage, _stage, _description)


@app.command("prune")
@one_line_errors
def prune(
    run: RunFolderArgument,
    sets: Sets = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Show what each threshold would keep, write sweep.html, and change nothing.",
        ),
    ] = False,
) -> None:
    """Keep or drop synthetic pairs by their scores. Can be repeated; needs no models."""
    if sweep:
        from pairaug.notices import notices
        from pairaug.run import RunFolder
        from pairaug.run.sweep import print_sweep, sweep_run

        print_sweep(open_console(), sweep_run(run))
        for message in notices(RunFolder(run).load_record().as_json()):
            typer.echo(f"WARNING {message}")
        return
    _run_stage("prune", run, sets)
    typer.echo(f"To update export and summary.html, run: pairaug run {run}")


@app.command("export")
@one_line_errors
def export(
    run: RunFolderArgument,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="LAYOUT",
            help="Add a layout to the export: webdataset, parquet, huggingface, folder or "
            "chexzero. Repeat the option or separate layouts by commas. Default: the layouts in "
            "the run's settings.",
            show_default=False,
        ),
    ] = None,
    sets: Sets = None,
) -> None:
    """Export the kept pairs for training. Can be repeated; needs no models."""
    layouts = [name.strip() for text in to or () for name in text.split(",") if name.strip()]
    if not layouts:
        _run_stage("export", run, sets)
        return
    from pairaug.run import RunFolder, export_to
    from pairaug.run.tables import print_result

    folder = RunFolder(run)
    with show_progress() as progress:
        record = export_to(layouts, folder, sets or (), progress)
    print_result(open_console(), folder, record, only="export")


_stage_command(
    "summary", "summarize", "Write summary.html, the HTML page about the run. Can be repeated."
)


def _run_all(settings: Any, out: Path, show_ids: bool = False) -> None:
    from pairaug.run import RunFolder
    from pairaug.run import run as run_all
    from pairaug.run.tables import print_result

    folder = RunFolder(out)
    with show_progress() as progress:
        on_read = _quality_printer(progress, folder, show_ids)
        record = run_all(settings, folder, progress, on_read)
    print_result(open_console(), folder, record)


def _quality_printer(
    progress: BarProgress | LineProgress, folder: RunFolder, show_ids: bool
) -> Callable[[RunRecord], None]:
    """A function that prints the data-quality table, above the progress bars if there are any."""
    from pairaug.run.tables import print_quality

    # Both consoles write to the same terminal; only the console of the bars prints above them.
    console = getattr(progress, "console", None) or open_console()

    def print_table(record: RunRecord) -> None:
        print_quality(console, folder, record, show_ids=show_ids)

    return print_table
