"""Saves a trained model as a transformers folder, and as a file for CheXzero's own code."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from pairaug.clip.chexzero import fits_openai, in_openai_names
from pairaug.hub.inference import without_progress_bar
from pairaug.system.atomic import new_files
from pairaug.train.checkpoint import save_state, saving
from pairaug.train.clip.model import TwoTowerModel, write_preprocessor
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.loop import TrainingOutcome, write_record


def save_model(
    model: TwoTowerModel,
    tokenizer: Any,
    settings: ClipSettings,
    size: int,
    outcome: TrainingOutcome,
    out: Path,
) -> None:
    """Writes `out/clip`, and `out/chexzero.pt` if OpenAI's code can load the model.

    `out/clip` includes the image transform of the training; `out/chexzero.pt` does not: the loading
    code prepares images as CheXzero does, so its cosines agree (within 0.001) only if `fit`,
    `image_mean` and `image_std` are those of the preset `chexzero`.
    """
    folder = out / "clip"
    saved = copy.deepcopy(model).to(getattr(torch, settings.save_dtype))
    with saving(folder), new_files(folder, last="config.json") as written:
        if not (folder / "tokenizer_config.json").exists():
            tokenizer.save_pretrained(written)
        with without_progress_bar():
            saved.save_pretrained(written)
        write_preprocessor(written, settings, size, model)
        write_record(written, settings, outcome)
    if fits_openai(model.config):
        weights = {name: value.float().cpu() for name, value in model.state_dict().items()}
        save_state(dict(in_openai_names(weights)), out / "chexzero.pt")
