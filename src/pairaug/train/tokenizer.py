"""A small tokenizer for radiology reports: byte-level BPE in CLIP's layout, common words whole.

No text is lost: all 256 bytes are tokens, so unknown words split into pieces.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from pairaug.errors import ModelError
from pairaug.hub.tokenizers import open_tokenizer
from pairaug.system.atomic import new_files
from pairaug.train.image_dataset import ImageDataset

log = logging.getLogger(__name__)

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MAX_TOKENS = 77
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")
"""The first is written last: its presence means that the tokenizer is complete."""


def train_tokenizer(
    texts: Iterable[str], folder: Path, vocabulary_size: int = 2500
) -> CLIPTokenizer:
    """A CLIP tokenizer learned from `texts` and a list of radiology words, saved in `folder`.

    The vocabulary has CLIP's order: bytes, bytes at the end of a word, merges, start and end token.
    `vocabulary_size` is its upper bound.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    base = [*letters, *(letter + WORD_END for letter in letters)]
    # CLIP's normalizer and word pattern, borrowed from an empty tokenizer.
    borrowed = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    learner.normalizer = borrowed.normalizer
    learner.pre_tokenizer = borrowed.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=2 * vocabulary_size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=letters,
        end_of_word_suffix=WORD_END,
        # Sorted: the order settles ties, and the trainer's own would be that of a hash table.
        special_tokens=[letter + WORD_END for letter in letters],
    )
    # Twice, to be counted; reports weigh more by their number.
    learner.train_from_iterator([*texts, *_radiology_words(), *_radiology_words()], trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    merges: Any = [tuple(merge) for merge in learned][: vocabulary_size - len(base) - 2]
    tokens = [*base, *(left + right for left, right in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)
    _save(tokenizer, vocabulary, merges, folder)
    return tokenizer


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The CLIP tokenizer in `folder`, or in its sub-folder `tokenizer`."""
    source = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
    if not (source / "vocab.json").exists():
        raise ModelError(f"{folder} has no CLIP tokenizer: vocab.json is missing")
    return open_tokenizer(CLIPTokenizer, source)


def special_ids(tokenizer: CLIPTokenizer) -> dict[str, Any]:
    """Ids of start, end and padding, under their names in a text encoder's configuration."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {name: getattr(tokenizer, name) for name in names}


def token_table(dataset: ImageDataset, tokenizer: CLIPTokenizer) -> Tensor:
    """Token ids of all reports, int16, `image report token`, padded to the window."""
    num_reports = len(dataset.reports[0])
    texts = [text for reports in dataset.reports for text in reports]
    rows = []
    for start in range(0, len(texts), 10_000):
        rows.append(token_ids(tokenizer, texts[start : start + 10_000]).to(torch.int16))
    table = torch.cat(rows)
    warn_of_truncation(tokenizer, texts, table, MAX_TOKENS)
    return table.reshape(len(dataset.reports), num_reports, -1)


def warn_of_truncation(tokenizer: Any, texts: Sequence[str], table: Tensor, window: int) -> None:
    """Logs the number of texts in `table`, `text token`, that are longer than the window."""
    is_full = table[:, -2] != tokenizer.pad_token_id
    full = [texts[row] for row in is_full.nonzero().flatten().tolist()]
    # A text that fills the window to its last token is not cut.
    lengths = map(len, tokenizer(full, verbose=False)["input_ids"] if full else ())
    num_truncated = sum(length > window for length in lengths)
    if num_truncated:
        log.warning(
            "%d of %d reports are longer than the window of %d tokens and are truncated",
            num_truncated,
            len(texts),
            window,
        )


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids of `texts`, int64, `text token`, cut and padded to the window."""
    encoded = tokenizer(
        texts, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    return encoded["input_ids"]


def copy_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Copies the files of `tokenizer` to `folder`."""
    source = Path(tokenizer.name_or_path)
    with new_files(folder, last=TOKENIZER_FILES[0]) as written:
        for name in TOKENIZER_FILES:
            shutil.copyfile(source / name, written / name)


def _save(
    tokenizer: CLIPTokenizer,
    vocabulary: dict[str, int],
    merges: list[tuple[str, ...]],
    folder: Path,
) -> None:
    with new_files(folder, last=TOKENIZER_FILES[0]) as written:
        tokenizer.save_pretrained(written)
        # Older versions of transformers read these two instead of tokenizer.json.
        text = json.dumps(vocabulary, ensure_ascii=False)
        (written / "vocab.json").write_text(text, encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        (written / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _radiology_words() -> list[str]:
    text = files("pairaug.train").joinpath("radiology_words.txt").read_text(encoding="utf-8")
    return text.split()
