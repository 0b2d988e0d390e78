"""Reads weights stored in a layout other than their library's, and checks names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pairaug.errors import ModelError
from pairaug.hub.choice import weight_files
from pairaug.hub.files import read_checkpoint, read_heads, read_tensors, without_wrapper
from pairaug.hub.tokenizers import open_tokenizer

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts nest the weights."""


def load_tokenizer(folder: Path, kind: str = "") -> Any:
    """The tokenizer of a folder; `kind` selects its class if only a vocabulary is there."""
    from transformers import AutoTokenizer, BertTokenizer, CLIPTokenizer

    plain: dict[str, Any] = {"medclip": BertTokenizer, "chexzero": CLIPTokenizer}
    has_own = any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json"))
    chosen = AutoTokenizer if has_own else plain.get(kind, AutoTokenizer)
    vocabulary = {"medclip": "vocab.txt", "chexzero": "vocab.json"}.get(kind)
    if not has_own and vocabulary and not (folder / vocabulary).is_file():
        raise ModelError(f"cannot load the scorer in {folder}: it has no tokenizer ({vocabulary})")
    return open_tokenizer(chosen, folder)


def read_weights(path: Path, allow_pickle: bool) -> dict[str, Tensor]:
    """Tensors of a weights file by name, without the wrapper of a training script."""
    return unwrap(read_checkpoint(path, allow_pickle), path)


def unwrap(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Weights of a checkpoint by name, without the wrapper of a training script."""
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            content = content[name]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    others = {str(name) for name in content} - tensors.keys()
    if not tensors or others:
        detail = f": {min(others)} is not a tensor" if tensors else ""
        raise ModelError(f"{path} does not map names to weights{detail}")
    return without_wrapper(tensors, path)


def read_folder_weights(folder: Path, allow_pickle: bool) -> dict[str, Tensor]:
    """All weights of a folder, from safetensors if present."""
    files = weight_files(folder, allow_pickle)
    if files[0].suffix != ".safetensors":
        return read_weights(files[0], allow_pickle)
    read_heads(files)
    return without_wrapper(read_tensors(files), files[0])


def need(weights: Mapping[str, Tensor], name: str, folder: Path) -> Tensor:
    """One tensor; `ModelError` if it is missing."""
    if name not in weights:
        raise ModelError(f"{folder} lacks the weight {name}")
    return weights[name]


def check_shape(weight: Tensor, shape: tuple[int, ...], name: str, folder: Path) -> None:
    """Raises `ModelError` if a weight does not have `shape`."""
    if tuple(weight.shape) != shape:
        found, needed = (" × ".join(map(str, each)) for each in (tuple(weight.shape), shape))
        raise ModelError(
            f"{folder}: {name} has the shape {found or 'of one number'}, but the rest of the model "
            f"needs {needed or 'one number'}"
        )
