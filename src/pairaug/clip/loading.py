"""Weights into models, with every disagreement between the two named in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pairaug.clip.folder import weight_files
from pairaug.errors import ModelError
from pairaug.models import one_line, without_progress_bar

_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError)


def load_model(model_class: Any, folder: Path, dtype: torch.dtype, allow_pickle: bool) -> Any:
    """A transformers model from a folder in its own layout."""
    use_safetensors = None if allow_pickle else True
    return _loaded(model_class, folder, folder, dtype=dtype, use_safetensors=use_safetensors)


def model_of(
    model_class: Any, config: Any, weights: Mapping[str, Tensor], folder: Path, dtype: torch.dtype
) -> Any:
    """A transformers model from weights in its own names, of this version or an earlier one."""
    return _loaded(model_class, folder, None, dtype=dtype, config=config, state_dict=dict(weights))


def load_tokenizer(folder: Path, kind: str = "") -> Any:
    """The tokenizer of a folder; `kind` says which one where the folder has only its vocabulary."""
    from transformers import AutoTokenizer, BertTokenizer, CLIPTokenizer

    plain: dict[str, Any] = {"medclip": BertTokenizer, "chexzero": CLIPTokenizer}
    has_own = any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json"))
    chosen = AutoTokenizer if has_own else plain.get(kind, AutoTokenizer)
    vocabulary = {"medclip": "vocab.txt", "chexzero": "vocab.json"}.get(kind)
    if not has_own and vocabulary and not (folder / vocabulary).is_file():
        raise ModelError(f"cannot load the scorer in {folder}: it has no tokenizer ({vocabulary})")
    try:
        return chosen.from_pretrained(folder, local_files_only=True)
    except ImportError as error:
        package = "sentencepiece" if "sentencepiece" in str(error).lower() else str(error.name)
        raise ModelError(
            f"the tokenizer in {folder} needs {package}: pip install {package}"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(
            f"cannot load the scorer in {folder}: it has no tokenizer that transformers can read "
            f"({one_line(error)})"
        ) from error


def read_weights(path: Path, allow_pickle: bool) -> dict[str, Tensor]:
    """The tensors of a weights file by name.

    A pickle is read by PyTorch's restricted reader, which makes tensors and runs no other code;
    it still takes `allow_pickle`, as such readers have had holes.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if not allow_pickle:
            raise ModelError(
                f"{path} is a pickle, which can run code when loaded; allow it explicitly "
                "(allow_pickle) if you trust its source"
            )
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, EOFError, SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be read as weights: {one_line(error)}") from error
    # Training scripts wrap the weights in a dictionary of their own.
    for name in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path} does not hold weights by name")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def read_folder_weights(folder: Path, allow_pickle: bool) -> dict[str, Tensor]:
    """All tensors of a folder's weights, safetensors where there are such."""
    files = weight_files(folder)
    if not files:
        raise ModelError(f"{folder} has no weights: no .safetensors file is in it")
    tensors: dict[str, Tensor] = {}
    for path in files:
        tensors |= read_weights(path, allow_pickle)
    return tensors


def need(weights: Mapping[str, Tensor], name: str, folder: Path) -> Tensor:
    """One tensor; `ModelError` where it is missing."""
    if name not in weights:
        raise ModelError(f"{folder} lacks a weight that it needs: {name}")
    return weights[name]


def check_shape(weight: Tensor, shape: tuple[int, ...], name: str, folder: Path) -> None:
    """Raises `ModelError` where a weight has another shape than its neighbours ask for."""
    if tuple(weight.shape) != shape:
        raise ModelError(_misshapen(folder, name, tuple(weight.shape), shape))


def _loaded(model_class: Any, folder: Path, source: Path | None, **options: Any) -> Any:
    try:
        with without_progress_bar():
            model, loading = model_class.from_pretrained(
                source,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except _LOAD_ERRORS as error:
        raise ModelError(f"cannot load the scorer in {folder}: {one_line(error)}") from error
    # transformers fills what is missing or does not fit with random numbers and goes on.
    mismatched = sorted(loading["mismatched_keys"])
    if mismatched:
        name, found, expected = mismatched[0]
        raise ModelError(_misshapen(folder, name, tuple(found), tuple(expected)))
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(f"{folder} lacks {len(missing)} weights; the first is {missing[0]}")
    return model


def _misshapen(folder: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    return (
        f"cannot load the scorer in {folder}: {name} has the shape {_shape(found)}, "
        f"where the rest of the model needs {_shape(expected)}"
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "of one number"
