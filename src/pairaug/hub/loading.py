"""Strict loading of weights into a model: all of them, by name and shape, or an error.

diffusers and transformers fill weights that are missing or of another shape with random numbers and
continue; here that is a `ModelError` with their number and the first name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pairaug.errors import ModelError
from pairaug.hub.choice import weight_files
from pairaug.hub.files import FileHead, hint_for, read_heads, read_tensors
from pairaug.hub.folders import adapter_in, read_config
from pairaug.hub.inference import one_line, quiet_libraries, without_progress_bar


@dataclass(frozen=True, slots=True)
class Part:
    """One model in one folder, in the layout of its library, and the class that opens it."""

    kind: Any
    """A class of diffusers or transformers, or an `Auto` class of the latter."""
    folder: Path
    allow_pickle: bool = False
    stored_as: tuple[str, ...] = ()
    """Other classes that a folder may state, whose weights include this one's."""
    left_over: str = r"(?!)"
    """Pattern of the additional weights of such classes."""


def check_part(part: Part) -> None:
    """Raises `ModelError` unless the files of `part` match its model; reads no weights.

    A pickle has no header, so its weights are read after all.
    """
    files, config = _files_and_config(part)
    _check_against_model(part, config, read_heads(files, part.allow_pickle))


def load_part(part: Part, dtype: torch.dtype) -> Any:
    """The model of `part` with its weights, cast to `dtype` from any type on disk."""
    files, config = _files_and_config(part)
    heads = read_heads(files, part.allow_pickle)
    _check_against_model(part, config, heads)
    model = _fill(part, config, read_tensors(files, part.allow_pickle), dtype)
    check_finite(model, part.folder)
    return model


def load_from(
    kind: Any, config: Any, weights: Mapping[str, Tensor], where: Path, dtype: torch.dtype
) -> Any:
    """A transformers model of `config` with `weights`, named as in any transformers version."""
    heads = {
        name: FileHead(str(value.dtype).removeprefix("torch."), tuple(value.shape))
        for name, value in weights.items()
    }
    with _named(where):
        _, found = _transformers(kind, config, _empty(heads), torch.float32)
    refuse_differences(str(where), found)
    with _named(where):
        model, _ = _transformers(kind, config, dict(weights), dtype)
    check_finite(model, where)
    return model


def open_config(kind: Any, folder: Path) -> Any:
    """The configuration of a transformers class, from the config.json in `folder`."""
    read_config(folder / "config.json")
    with _named(folder):
        return _transformers_config(Part(kind, folder))[1]


@dataclass(frozen=True, slots=True)
class Differences:
    """The differences between a file's weights and its model's."""

    missing: Sequence[str] = ()
    left_over: Sequence[str] = ()
    misshapen: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]] = ()
    """Name, shape in the file, shape in the model."""


def refuse_differences(where: str, found: Differences) -> None:
    """Raises `ModelError` if there is any difference, with their number and the first."""
    said = []
    if found.misshapen:
        name, has, needs = sorted(found.misshapen)[0]
        of = f" (the first of {len(found.misshapen)})" if len(found.misshapen) > 1 else ""
        said.append(
            f"{name} has the shape {_shape(has)}, where the rest of the model needs "
            f"{_shape(needs)}{of}"
        )
    if found.missing:
        said.append(f"lacks {_count(found.missing)}; the first is {min(found.missing)}")
    if found.left_over:
        said.append(
            f"has {_count(found.left_over)} that its model does not have; the first is "
            f"{min(found.left_over)}"
        )
    if said:
        raise ModelError(f"{where}: {'; it '.join(said)}{hint_for(found.left_over)}")


def check_finite(model: Any, where: Path) -> None:
    """Raises `ModelError` if a weight is not finite, in the file or after the cast."""
    for name, value in model.state_dict().items():
        if not value.is_floating_point() or not value.numel() or value.is_meta:
            continue
        # One pass without a copy; both ends are NaN if any value is.
        least, most = torch.aminmax(value)
        if not (torch.isfinite(least) and torch.isfinite(most)):
            narrow = " or too large for float16" if value.dtype == torch.float16 else ""
            raise ModelError(
                f"{where}: the weight {name} has values that are not finite{narrow}; the model is "
                "damaged: copy or download it again, or set dtype: float32"
            )


def _files_and_config(part: Part) -> tuple[list[Path], dict[str, Any]]:
    if not (part.folder / "config.json").is_file():
        said = adapter_in(part.folder)
        raise ModelError(said or f"{part.folder / 'config.json'} is missing; copy the model again")
    config = read_config(part.folder / "config.json")
    if (part.folder / "adapter_config.json").exists():
        raise ModelError(
            f"{part.folder} has an adapter (LoRA) beside the model, which is not applied: merge it "
            "(merge_and_unload) and save the whole, or remove adapter_config.json"
        )
    if config.get("quantization_config") is not None:
        raise ModelError(
            f"{part.folder} is quantised (quantization_config in its config.json); PairAug reads "
            "float32, bfloat16 and float16: use the model before it was quantised"
        )
    return weight_files(part.folder, part.allow_pickle), config


def _check_against_model(part: Part, config: dict[str, Any], heads: dict[str, FileHead]) -> None:
    _check_class(part, config)
    with _named(part.folder):
        compare = comparison(part, config)
        found = compare(heads)
    refuse_differences(str(part.folder), found)


def comparison(
    part: Part, config: dict[str, Any]
) -> Callable[[Mapping[str, FileHead]], Differences]:
    """Function from the weights of a file to their differences from the model of `config`.

    The model's weights are not allocated.
    """
    spare = re.compile(part.left_over)
    if _is_diffusers(part.kind):
        with torch.device("meta"), quiet_libraries("diffusers"):
            model = part.kind.from_config(config)

        def compare(heads: Mapping[str, FileHead]) -> Differences:
            return _diffusers_differences(model, heads)
    else:
        kind, built = _transformers_config(part)

        def compare(heads: Mapping[str, FileHead]) -> Differences:
            found = _transformers(kind, built, _empty(heads), torch.float32)[1]
            left_over = [name for name in found.left_over if not spare.match(name)]
            return Differences(found.missing, left_over, found.misshapen)

    return compare


def _check_class(part: Part, config: dict[str, Any]) -> None:
    """Raises `ModelError` if the folder states another class than the one to load."""
    name = part.kind.__name__
    if _is_diffusers(part.kind):
        said = [config.get("_class_name")]
    else:
        said = config.get("architectures") or []
        if name.startswith("Auto") or not isinstance(said, list):
            return
    wrong = [str(one) for one in said if one not in (name, *part.stored_as)]
    if wrong and said == [None]:
        raise ModelError(
            f"{part.folder / 'config.json'} has no _class_name; copy or download the model again"
        )
    if wrong and len(wrong) == len(said):
        raise ModelError(
            f"{part.folder / 'config.json'} states the model class {wrong[0]}; PairAug needs "
            f"{name} here"
        )


def _is_diffusers(kind: Any) -> bool:
    return kind.__module__.startswith("diffusers.")


def _fill(
    part: Part, config: dict[str, Any], tensors: dict[str, Tensor], dtype: torch.dtype
) -> Any:
    with _named(part.folder):
        if not _is_diffusers(part.kind):
            kind, built = _transformers_config(part)
            return _transformers(kind, built, tensors, dtype)[0]
        from diffusers.models.modeling_utils import no_init_weights

        with no_init_weights(), _default_dtype(dtype), quiet_libraries("diffusers"):
            model = part.kind.from_config(config)
        model._fix_state_dict_keys_on_load(tensors)
        model.load_state_dict(tensors, strict=True)
        return model.eval()


def _diffusers_differences(model: Any, heads: Mapping[str, FileHead]) -> Differences:
    stored: dict[str, Any] = _empty(heads)
    model._fix_state_dict_keys_on_load(stored)  # attention as diffusers named it before 0.17
    needed = model.state_dict()
    return Differences(
        sorted(needed.keys() - stored.keys()),
        sorted(stored.keys() - needed.keys()),
        [
            (name, tuple(stored[name].shape), tuple(value.shape))
            for name, value in needed.items()
            if name in stored and stored[name].shape != value.shape
        ],
    )


def _transformers_config(part: Part) -> tuple[Any, Any]:
    """The class to load, and the folder's configuration."""
    from transformers import AutoConfig

    if not part.kind.__name__.startswith("Auto"):
        return part.kind, part.kind.config_class.from_pretrained(part.folder, local_files_only=True)
    # False: the default asks on the terminal for permission to run the model's own code.
    config = AutoConfig.from_pretrained(part.folder, local_files_only=True, trust_remote_code=False)
    mapping = part.kind._model_mapping
    if type(config) not in mapping:
        raise ModelError(
            f"{part.folder} holds a model of type {config.model_type!r}, which is none that "
            f"{part.kind.__name__} opens"
        )
    kind = mapping[type(config)]
    return (kind[0] if isinstance(kind, tuple) else kind), config


def _transformers(
    kind: Any, config: Any, tensors: dict[str, Tensor], dtype: torch.dtype
) -> tuple[Any, Differences]:
    with without_progress_bar(), quiet_libraries("transformers"):
        model, loading = kind.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    shapes = [(name, tuple(has), tuple(needs)) for name, has, needs in loading["mismatched_keys"]]
    found = Differences([*loading["missing_keys"]], [*loading["unexpected_keys"]], shapes)
    return model, found


def _empty(heads: Mapping[str, FileHead]) -> dict[str, Tensor]:
    """Tensors of the right shapes without memory: one number, expanded."""
    one, whole = torch.zeros((), dtype=torch.float32), torch.zeros((), dtype=torch.int64)
    return {
        name: (one if head.is_float else whole).expand(head.shape) for name, head in heads.items()
    }


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _named(where: Path) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    # A damaged configuration can fail anywhere in the libraries.
    except Exception as error:
        raise ModelError(f"cannot load the model in {where}: {one_line(error)}") from error


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} weight{'s' * (len(names) != 1)}"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "of one number"
