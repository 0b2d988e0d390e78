"""Captions as token ids, and the tokenizer for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pairaug.clip.folder import model_type
from pairaug.clip.loading import load_tokenizer
from pairaug.errors import ModelError
from pairaug.hub.folders import start_folder
from pairaug.system.atomic import new_files
from pairaug.train.clip.model import TwoTowerModel, window_of
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.tokenizer import TOKENIZER_FILES, train_tokenizer, warn_of_truncation


def open_tokenizer(
    settings: ClipSettings,
    reports: Sequence[Sequence[str]],
    folder: Path,
    is_new: bool,
    is_writing: bool = True,
) -> Any:
    """The tokenizer of the settings, or one trained on the reports; saved in `folder`.

    The process with `is_writing` must call this first.
    """
    given = _load_given(settings)
    if given is not None:
        kind = "chexzero" if given.is_file() else _kind(given)
        tokenizer = load_tokenizer(given.parent if given.is_file() else given, kind)
        if not is_writing:
            return tokenizer
        with new_files(folder, last=TOKENIZER_FILES[0]) as written:
            if (given / TOKENIZER_FILES[0]).is_file():
                _copy(given, written)
            else:
                tokenizer.save_pretrained(written)
        return tokenizer
    if not is_new:
        raise ModelError("config describes a model without its tokenizer: set tokenizer")
    if (folder / TOKENIZER_FILES[0]).exists():
        return load_tokenizer(folder, "clip")
    return train_tokenizer((text for texts in reports for text in texts), folder)


def _load_given(settings: ClipSettings) -> Path | None:
    folder = settings.tokenizer or settings.init
    if folder is None:
        return None
    folder = start_folder(Path(folder), "scorer")
    inner = folder / "tokenizer"
    return inner if inner.is_dir() else folder


def _kind(folder: Path) -> str:
    return model_type(folder) if (folder / "config.json").is_file() else "chexzero"


def _copy(source: Path, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            (folder / name).write_bytes((source / name).read_bytes())


def check_vocabulary(model: TwoTowerModel, tokenizer: Any) -> None:
    """Raises `ModelError` if the tokenizer has ids without an embedding in the model."""
    size = int(model.config.text_config.vocab_size)
    if len(tokenizer) > size:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens, the model embeddings for {size}: set "
            "tokenizer to that of the model"
        )


def token_table(reports: Sequence[Sequence[str]], tokenizer: Any, model: TwoTowerModel) -> Tensor:
    """Token ids of all reports, int32, `pair report token`, cut and padded to the window.

    A cut report keeps its end token, where CLIP reads the text feature.
    """
    window = window_of(model)
    texts = [text for own in reports for text in own]
    rows = []
    for start in range(0, len(texts), 10_000):
        encoded = tokenizer(
            texts[start : start + 10_000],
            padding="max_length",
            truncation=True,
            max_length=window,
            return_tensors="pt",
        )
        rows.append(encoded["input_ids"].to(torch.int32))
    table = torch.cat(rows)
    warn_of_truncation(tokenizer, texts, table, window)
    return table.reshape(len(reports), len(reports[0]), -1)
