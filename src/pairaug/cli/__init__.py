"""The command line: one thin command for each program and stage.

Everything heavy is imported inside the commands, so that `pairaug --help` answers at once.
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
    Run,
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
        "--show-ids", help="Name unusable studies by their ids, where else a hash stands for each."
    ),
]

app = typer.Typer(
    name="pairaug",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # Tracebacks with local variables would print reports.
    pretty_exceptions_enable=False,
    help="More image-report pairs for training medical vision-language models.",
)
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(experiment.app, name="experiment")


def main() -> None:
    """The entry point of the `pairaug` command."""
    keep_freed_memory()
    # What torchrun starts, it ends; a process that waits for others would not hear of it.
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
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del version


@app.command()
@one_line_errors
def demo(
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/demo"),
    sets: Sets = None,
) -> None:
    """Run the whole chain on simulated images with the bundled models; minutes on a CPU."""
    from pairaug.config import load_settings

    _run_chain(load_settings(overrides=sets or (), preset="demo"), out)


@app.command()
@one_line_errors
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
    from pairaug.run.folder import folder_for, settings_file

    overrides = [*(sets or ())]
    overrides += [] if limit is None else [f"limit={limit}"]
    overrides += [] if engine is None else [f"engine={engine}"]
    config = settings_file(config)
    settings = load_settings(config, overrides)
    folder = out or folder_for(config)
    if not dry_run:
        _run_chain(settings, folder, show_ids)
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
    out: Annotated[Path, typer.Option(help="The folder to write; must be new or empty.")],
    num_patients: Annotated[int, typer.Option(help="How many simulated patients.")] = 100,
    seed: Annotated[int, typer.Option(help="Which patients.")] = 0,
    size: Annotated[int, typer.Option(help="Pixels a side of each image.")] = 128,
    masks: Annotated[bool, typer.Option("--masks", help="Write masks of all structures.")] = False,
) -> None:
    """Write a dataset of simulated radiographs and reports whose truth is known."""
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
        typer.Argument(help="A YAML file of settings; without it, the demo.", show_default=False),
    ] = None,
    sets: Sets = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder the run will be written to; its free disk space is checked. "
            "Default: runs/NAME for NAME.yaml.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check settings, data, models, token window, disk and device before a long run."""
    from pairaug.run.doctor import diagnose
    from pairaug.run.folder import folder_for, settings_file
    from pairaug.run.tables import print_check

    console, checks = open_console(), []
    config = config and settings_file(config)
    folder = out or (folder_for(config) if config else Path("runs/demo"))
    for check in diagnose(config, sets or (), folder):
        print_check(console, check)
        checks.append(check)
    if not all(check.is_fine for check in checks):
        raise typer.Exit(1)


@app.command()
@one_line_errors
def convert(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A .bin, .pt, .pth or .ckpt file, or a folder with one.", show_default=False
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
            "--allow-pickle", help="Read a pickle. Use it only for a source that you trust."
        ),
    ] = False,
) -> None:
    """Convert a scorer's published weights to safetensors, with their configuration."""
    from pairaug.clip.convert import convert_weights, describe
    from pairaug.run.device import quieten_model_libraries

    quieten_model_libraries()
    folder = convert_weights(weights, out, tokenizer=tokenizer, allow_pickle=allow_pickle)
    typer.echo(describe(folder))


def _do_stage(stage: str, run: Path, sets: list[str] | None, show_ids: bool = False) -> None:
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
    """Adds the command that does one stage of an existing run."""

    @one_line_errors
    def command(run: Run, sets: Sets = None) -> None:
        _do_stage(stage, run, sets)

    command.__doc__ = description
    app.command(name)(command)


@app.command("read")
@one_line_errors
def read(run: Run, sets: Sets = None, show_ids: ShowIds = False) -> None:
    """Read the real pairs of a run, and tell what they are like."""
    _do_stage("read", run, sets, show_ids)


for _stage, _description in (
    ("rewrite", "Rewrite reports: new patients, and changes of the same one."),
    ("generate", "Generate the images of new patients from their reports."),
    ("edit", "Change images as their rewritten reports say."),
    ("score", "Encode images and reports and note how well they agree."),
):
    _stage_command(_stage, _stage, _description)


@app.command("prune")
@one_line_errors
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
        from pairaug.notices import notices
        from pairaug.run import RunFolder
        from pairaug.run.sweep import print_sweep, sweep_run

        print_sweep(open_console(), sweep_run(run))
        for sentence in notices(RunFolder(run).load_record().as_json()):
            typer.echo(f"WARNING {sentence}")
        return
    _do_stage("prune", run, sets)
    typer.echo(f"To bring export and summary.html up to date: pairaug run {run}")


@app.command("export")
@one_line_errors
def export(
    run: Run,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="LAYOUT",
            help="Write this layout, beside those that the export has: webdataset, parquet, "
            "huggingface, folder or chexzero; may be given more than once, or as a list with "
            "commas. Without it, the layouts of the run's settings.",
            show_default=False,
        ),
    ] = None,
    sets: Sets = None,
) -> None:
    """Write the kept pairs for training, again if need be; no models needed."""
    layouts = [name.strip() for text in to or () for name in text.split(",") if name.strip()]
    if not layouts:
        _do_stage("export", run, sets)
        return
    from pairaug.run import RunFolder, export_to
    from pairaug.run.tables import print_result

    folder = RunFolder(run)
    with show_progress() as progress:
        record = export_to(layouts, folder, sets or (), progress)
    print_result(open_console(), folder, record, only="export")


_stage_command("summary", "summarize", "Write summary.html, again if need be.")


def _run_chain(settings: Any, out: Path, show_ids: bool = False) -> None:
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
    """Prints what the real pairs are like: above the bars where there are some."""
    from pairaug.run.tables import print_quality

    # On a terminal both consoles are the same screen, and only this one knows of the bars.
    console = getattr(progress, "console", None) or open_console()

    def printed(record: RunRecord) -> None:
        print_quality(console, folder, record, show_ids=show_ids)

    return printed
