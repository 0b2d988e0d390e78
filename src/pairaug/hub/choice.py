"""Finds the weight files of a folder, whole or in shards; needs no tensor library."""

from __future__ import annotations

import re
from pathlib import Path

from pairaug.errors import ModelError

SHARD = re.compile(r"-(\d{5})-of-(\d{5})")
"""Number of a shard, and number of shards, in a file's name."""

VARIANTS = ("", "fp32", "fp16", "bf16", "ema", "non_ema")
"""Variants of the same weights in the libraries' file names; the first that exists is used."""

_STEMS = (
    "diffusion_pytorch_model",
    "model",
    "pytorch_model",
    "open_clip_model",
    "open_clip_pytorch_model",
)


def weight_files(folder: Path, allow_pickle: bool) -> list[Path]:
    """Files with a folder's weights, of one variant; safetensors if there are any.

    Files without a variant come first; `ModelError` if there are no weights or several candidates.
    """
    found = _group(folder, "safetensors")
    if not found and allow_pickle:
        found = _group(folder, "bin")
    if not found and _group(folder, "bin"):
        raise ModelError(
            f"{folder} has pickled weights only, and a pickle can run code when loaded; convert it "
            "to safetensors, or set allow_pickle: true if you trust it"
        )
    if not found:
        raise ModelError(f"{folder} has no weights: no .safetensors file is in it")
    for variant in VARIANTS:
        if variant in found:
            return _complete(found[variant])
    if len(found) > 1:
        names = ", ".join(path.name for paths in found.values() for path in paths[:1])
        raise ModelError(f"{folder} has several files of weights ({names}); keep one of them")
    return _complete(next(iter(found.values())))


def _group(folder: Path, ending: str) -> dict[str, list[Path]]:
    """Variant → files; a file that is not named as by the libraries is listed under its name."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"*.{ending}")):
        plain = SHARD.sub("", path.name.removesuffix(f".{ending}"))
        stem, _, variant = plain.partition(".")
        if stem not in _STEMS:
            if ending == "bin":  # not weights: openvino_model.bin, training_args.bin
                continue
            variant = plain
        groups.setdefault(variant, []).append(path)
    return groups


def _complete(files: list[Path]) -> list[Path]:
    """`files`, checked to be one file or all shards of one model."""
    shards = [found for path in files if (found := SHARD.search(path.name))]
    if not shards:
        if len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise ModelError(f"{files[0].parent} has several files of weights ({names}); keep one")
        return files
    numbers, count = {int(one[1]) for one in shards}, int(shards[0][2])
    lacking = sorted(set(range(1, count + 1)) - numbers)
    if lacking:
        raise ModelError(
            f"{files[0].parent} lacks {len(lacking)} of the {count} files of its weights, first "
            f"number {lacking[0]}; copy or download the model again"
        )
    return [path for path in files if SHARD.search(path.name)]
