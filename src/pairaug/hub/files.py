"""Headers of weight files (names, shapes, types), and their tensors.

Headers of safetensors are read without the tensors, so that checking a large model is fast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from pairaug.errors import ModelError
from pairaug.hub.choice import SHARD
from pairaug.hub.folders import check_downloaded, read_config
from pairaug.hub.inference import one_line

# Names of safetensors and PyTorch. Integers are counters and positions.
_FLOATS = {"F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16"}
_WHOLE = {"I64", "I32", "BOOL", "int64", "int32", "bool"}
_ADAPTER = re.compile(
    r"\.base_layer\.|(^|\.)lora_(A|B|down|up|embedding|magnitude)|\.lora\.|^base_model\.model\.|_lora\."
)
_WRAPPED = ("module.", "_orig_mod.")


@dataclass(frozen=True, slots=True)
class FileHead:
    """A tensor's shape and type in its file's header."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def is_float(self) -> bool:
        return self.dtype in _FLOATS


def read_heads(files: Sequence[Path], allow_pickle: bool = False) -> dict[str, FileHead]:
    """Name → header of all tensors in `files`.

    Raises `ModelError` for a damaged file, quantised weights, and shards that do not match their
    index.
    """
    heads: dict[str, FileHead] = {}
    for path in files:
        own = _heads_of(path, allow_pickle)
        twice = sorted(heads.keys() & own.keys())
        if twice:
            raise ModelError(f"{path} has a weight that another file has too: {twice[0]}")
        heads |= own
    if not heads:
        raise ModelError(f"{files[0]} has no weights")
    _check_index(files, heads)
    _check_kinds(files[0], heads)
    return heads


def read_tensors(files: Sequence[Path], allow_pickle: bool = False) -> dict[str, Tensor]:
    """Name → tensor of all of `files`."""
    tensors: dict[str, Tensor] = {}
    for path in files:
        tensors |= _tensors_of(path, allow_pickle)
    return tensors


def read_checkpoint(path: Path, allow_pickle: bool) -> dict[str, Any]:
    """Content of a weight file by name: tensors, or a training script's checkpoint around them.

    A pickle is read by PyTorch's restricted reader, which only makes tensors; it still needs
    `allow_pickle`, as such readers have had vulnerabilities.
    """
    check_downloaded(path)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = _unpickle(path, allow_pickle)
    except (UnpicklingError, EOFError) as error:
        # PyTorch's message advises to read it without the restriction.
        raise ModelError(
            f"{path} is damaged, or has more than tensors; copy or download it again, or save "
            "the weights alone (state_dict) as safetensors"
        ) from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be read as weights: {one_line(error)}") from error
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path} does not map names to weights")
    return {str(name): value for name, value in content.items()}


def without_wrapper(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """`tensors` without the name prefix of parallel training or compilation.

    `ModelError` if only some of them have it.
    """
    named = dict(tensors)
    for prefix in (*_WRAPPED, *_WRAPPED):
        having = [name for name in named if name.startswith(prefix)]
        if having and len(having) < len(named):
            other = next(name for name in named if not name.startswith(prefix))
            raise ModelError(
                f"{path}: {len(having)} of {len(named)} weights begin with {prefix}, {other} does "
                "not; save the weights of the model itself"
            )
        if having:
            named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def hint_for(names: Sequence[str]) -> str:
    """Hint at how weights were saved, from names that their model does not have."""
    if any(_ADAPTER.search(name) for name in names):
        return (
            ". It was saved with adapters (LoRA) on it: merge them (fuse_lora, or "
            "merge_and_unload), unload them, and save it again"
        )
    for prefix in _WRAPPED:
        if any(prefix in f".{name}" and f".{prefix}" in f".{name}" for name in names):
            return (
                f". It was saved out of a wrapper that puts {prefix} before names: save the model "
                "inside (model.module, or model._orig_mod)"
            )
    return ""


def _heads_of(path: Path, allow_pickle: bool) -> dict[str, FileHead]:
    if path.suffix != ".safetensors":
        tensors = _tensors_of(path, allow_pickle)
        return {
            name: FileHead(str(value.dtype).removeprefix("torch."), tuple(value.shape))
            for name, value in tensors.items()
        }
    check_downloaded(path)
    try:
        with safe_open(path, framework="pt") as file:
            written_for = (file.metadata() or {}).get("format", "pt")
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            heads = {
                name: FileHead(str(each.get_dtype()), tuple(each.get_shape()))
                for name, each in slices.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{path} is damaged ({one_line(error)}); copy or download it again"
        ) from error
    if written_for != "pt":
        raise ModelError(f"{path} was written for {written_for}; PairAug reads PyTorch weights")
    return heads


def _tensors_of(path: Path, allow_pickle: bool) -> dict[str, Tensor]:
    content = read_checkpoint(path, allow_pickle)
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    others = content.keys() - tensors.keys()
    if others:
        raise ModelError(f"{path} does not map names to weights: {min(others)} is not a tensor")
    return tensors


def _unpickle(path: Path, allow_pickle: bool) -> Any:
    if not allow_pickle:
        raise ModelError(
            f"{path} is a pickle, which can run code when loaded; allow it explicitly "
            "(allow_pickle, or --allow-pickle) if you trust its source"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError) as error:
        if "mmap" not in str(error):
            raise
        # Files of PyTorch before 1.6 cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_index(files: Sequence[Path], heads: Mapping[str, FileHead]) -> None:
    """Raises `ModelError` if an index of shards names other files or tensors."""
    if not SHARD.search(files[0].name):
        return
    for path in files[0].parent.glob(f"*{files[0].suffix}.index*.json"):
        if path.name.split(".")[0] != files[0].name.split("-0")[0].split(".")[0]:
            continue
        placed = read_config(path).get("weight_map")
        if not isinstance(placed, dict) or not placed:
            raise ModelError(f"{path} names no weights; copy or download the model again")
        if not {path.name for path in files} & {str(name) for name in placed.values()}:
            continue  # another variant's
        lost = sorted({str(name) for name in placed.values()} - {path.name for path in files})
        if lost:
            raise ModelError(f"{path} names {lost[0]}, which is missing; download the model again")
        different = sorted(placed.keys() ^ heads.keys())
        if different:
            raise ModelError(
                f"{path} and the files that it names differ in {len(different)} weights; the first "
                f"is {different[0]}"
            )


def _check_kinds(path: Path, heads: Mapping[str, FileHead]) -> None:
    for name, head in sorted(heads.items()):
        if head.dtype not in _FLOATS | _WHOLE:
            raise ModelError(
                f"{path}: {name} is stored as {head.dtype}, as quantised models are; PairAug reads "
                "float32, bfloat16 and float16: use the model before it was quantised"
            )
