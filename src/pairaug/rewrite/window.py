"""Counts the tokens of a rewrite with the tokenizer of the generator."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pairaug.diffusion.folder import encoders_of, model_folder


def tokenizer_sha256(model: str) -> str:
    """The SHA-256 of the files of a generator's tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(_tokenizer_folder(model).iterdir()):
        if path.suffix in (".json", ".txt", ".model"):
            digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class Window:
    """Counts a text's tokens with the tokenizer of the generator `model`."""

    def __init__(self, model: str) -> None:
        from transformers import CLIPTokenizer

        from pairaug.hub.tokenizers import open_tokenizer

        folder = _tokenizer_folder(model)
        self._tokenizer: Any = open_tokenizer(CLIPTokenizer, folder)
        self.num_tokens = int(self._tokenizer.model_max_length)

    def marks(self, text: str) -> dict[str, Any]:
        """The number of tokens of `text`, and True if they fit the window, for the trace."""
        num_tokens = len(self._tokenizer(text, verbose=False).input_ids)
        return {"num_tokens": num_tokens, "fits_window": num_tokens <= self.num_tokens}


def _tokenizer_folder(model: str) -> Path:
    folder = model_folder(model)
    return folder / encoders_of(folder)[0][1]
