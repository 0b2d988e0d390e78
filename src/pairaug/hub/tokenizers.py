"""Tokenizers from a folder, checked to be complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pairaug.errors import ModelError
from pairaug.hub.folders import read_config
from pairaug.hub.inference import one_line

_JSON = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)


def open_tokenizer(kind: Any, folder: Path, **options: Any) -> Any:
    """The tokenizer in `folder`, opened by `kind`; `ModelError` if one of its files is damaged.

    A byte-pair vocabulary needs its merges: without them transformers splits into single letters.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder} is missing; copy or download the model again")
    for name in _JSON:
        if (folder / name).is_file():
            read_config(folder / name)
    has_whole = (folder / "tokenizer.json").is_file()
    has_words, has_merges = ((folder / name).is_file() for name in ("vocab.json", "merges.txt"))
    if not has_whole and has_words != has_merges:
        lost = "merges.txt" if has_words else "vocab.json"
        raise ModelError(f"{folder / lost} is missing; copy or download the model again")
    if kind.__name__ == "CLIPTokenizer" and not (has_whole or has_words):
        raise ModelError(
            f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt"
        )
    if kind.__name__.startswith("Auto"):
        # The default asks on the terminal for permission to run the model's own code.
        options["trust_remote_code"] = False
    try:
        tokenizer = kind.from_pretrained(folder, local_files_only=True, **options)
    except ImportError as error:
        package = "sentencepiece" if "sentencepiece" in str(error).lower() else str(error.name)
        raise ModelError(
            f"the tokenizer in {folder} needs {package}: pip install {package}"
        ) from error
    # A damaged vocabulary can fail anywhere in the libraries.
    except Exception as error:
        raise ModelError(
            f"the tokenizer in {folder} cannot be opened ({one_line(error)}); copy or download "
            "it again"
        ) from error
    if kind.__name__ == "CLIPTokenizer":
        _check_merges(tokenizer, folder)
    return tokenizer


def check_vocabulary(tokenizer: Any, num_embeddings: int, where: Path | str) -> None:
    """Raises `ModelError` if the tokenizer has ids without a vector in the text encoder."""
    most = max(_ids_of_text(tokenizer), default=0)
    if most >= num_embeddings:
        raise ModelError(
            f"{where}: the tokenizer has ids up to {most}, the text encoder vectors for "
            f"{num_embeddings} only; they are of different models"
        )


def _ids_of_text(tokenizer: Any) -> list[int]:
    """Ids that text can be mapped to, without special tokens added for other uses."""
    marks = ("bos", "eos", "cls", "sep", "pad", "unk")
    ids = [getattr(tokenizer, f"{mark}_token_id", None) for mark in marks]
    added = tokenizer.get_added_vocab()
    words = (index for word, index in tokenizer.get_vocab().items() if word not in added)
    return [*(int(index) for index in ids if index is not None), *words]


def _check_merges(tokenizer: Any, folder: Path) -> None:
    """Raises `ModelError` if merges are missing: each piece of CLIP's vocabulary that is not a
    letter or a special token comes from a merge."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    made = {"".join(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]}
    marks = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    lost = sorted(
        piece
        for piece in model["vocab"]
        if len(piece.removesuffix("</w>")) > 1 and piece not in made and piece not in marks
    )
    if lost or not made:
        raise ModelError(
            f"the tokenizer in {folder} lacks {len(lost) or 'all'} of its merges; copy or download "
            "it again"
        )
