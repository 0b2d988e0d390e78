"""`pairaug train`: one command per kind of model."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from pairaug.cli.shared import (
    OptionalConfig,
    OutFolder,
    Sets,
    load_settings_of,
    one_line_errors,
    quieten_libraries,
    show_progress,
)

app = typer.Typer(no_args_is_help=True, help="Train models on image-report pairs.")


@app.command("generator")
@one_line_errors
def train_generator(
    config: OptionalConfig = None, out: OutFolder = None, sets: Sets = None
) -> None:
    """Train a latent diffusion model: autoencoder, denoiser and text encoder."""
    from pairaug.train import generator

    _train(generator.train_generator, generator.GeneratorSettings, "generator", config, out, sets)


@app.command("clip")
@one_line_errors
def train_clip(config: OptionalConfig = None, out: OutFolder = None, sets: Sets = None) -> None:
    """Train a CLIP model on image-report pairs."""
    from pairaug.train import clip

    settings = load_settings_of(clip.ClipSettings, config, sets)
    folder = out or Path("runs") / (config.stem if config else "train-clip")
    # Only the first process of torchrun reports progress.
    if os.environ.get("RANK", "0") != "0":
        quieten_libraries()
        clip.train_clip(settings, folder)
        return
    logging.getLogger("pairaug").setLevel(logging.INFO)
    with show_progress() as progress:
        clip.train_clip(settings, folder, progress)
    typer.echo(folder)


@app.command("classifier")
@one_line_errors
def train_classifier(
    config: OptionalConfig = None, out: OutFolder = None, sets: Sets = None
) -> None:
    """Train a classifier of findings, which checks generated and edited images."""
    from pairaug.train import classifier

    _train(
        classifier.train_classifier, classifier.ClassifierSettings, "classifier", config, out, sets
    )


def _train(
    train: Callable[[Any, Path], object],
    model: type[Any],
    kind: str,
    config: Path | None,
    out: Path | None,
    sets: list[str] | None,
) -> None:
    settings = load_settings_of(model, config, sets)
    folder = out or Path("runs") / (config.stem if config else f"train-{kind}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    quieten_libraries()
    train(settings, folder)
    typer.echo(folder)
