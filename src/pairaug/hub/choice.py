"""The files of a folder that hold its weights, whole or in shards; no tensor library."""

from __future__ import annotations

import re
from pathlib import Path

from pairaug.errors import ModelError

SHARD = re.compile(r"-(\d{5})-of-(\d{5})")
"""The place of a file among those that one model's weights are spread over."""

VARIANTS = ("", "fp32", "fp16", "bf16", "ema", "non_ema")
"""Under which the libraries keep the same weights again; the first that is there is taken."""

_STEMS = (
    "diffusion_pytorch_model",
    "model",
    "pytorch_model",
    "open_clip_model",
    "open_clip_pytorch_model",
)


def weight_files(folder: Path, allow_pickle: bool) -> list[Path]:
    """The files with a folder's weights: safetensors if there are such, and of one variant.

    Without a variant before with one; `ModelError` where there are none or it cannot be told.
    """
    found = _group(folder, "safetensors")
    if not found and allow_pickle:
        found = _group(folder, "bin")
    if not found and _group(folder, "bin"):
        raise ModelError(
            f"{folder} has pickled weights only, and such a file is a pickle, which can run code "
            "when loaded; convert it to safetensors, or set allow_pickle: true if you trust it"
        )
    if not found:
        raise ModelError(f"{folder} has no weights: no .safetensors file is in it")
    for variant in VARIANTS:
        if variant in found:
            return _complete(found[variant])
    if len(found) > 1:
        names = ", ".join(path.name for paths in found.values() for path in paths[:1])
        raise ModelError(f"{folder} has several files of weights ({names}); leave one of them")
    return _complete(next(iter(found.values())))


def _group(folder: Path, ending: str) -> dict[str, list[Path]]:
    """Variant → files; what has another name than the libraries give is under its own."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"*.{ending}")):
        plain = SHARD.sub("", path.name.removesuffix(f".{ending}"))
        stem, _, variant = plain.partition(".")
        if stem not in _STEMS:
            if ending == "bin":  # openvino_model.bin, training_args.bin: no weights of a model
                continue
            variant = plain
        groups.setdefault(variant, []).append(path)
    return groups


def _complete(files: list[Path]) -> list[Path]:
    """`files`, if they are one whole, or all shards of one."""
    shards = [found for path in files if (found := SHARD.search(path.name))]
    if not shards:
        if len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise ModelError(f"{files[0].parent} has several files of weights ({names}); leave one")
        return files
    numbers, count = {int(one[1]) for one in shards}, int(shards[0][2])
    lacking = sorted(set(range(1, count + 1)) - numbers)
    if lacking:
        raise ModelError(
            f"{files[0].parent} lacks {len(lacking)} of the {count} files of its weights, the "
            f"first is number {lacking[0]}; copy or download the model again"
        )
    return [path for path in files if SHARD.search(path.name)]
