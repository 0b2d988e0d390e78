"""Location, kind and hash of a scorer's files, without a tensor library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairaug.errors import ModelError
from pairaug.hub.choice import weight_files
from pairaug.hub.folders import (
    adapter_in,
    fetch,
    local_folder,
    one_below,
    read_config,
    sha256_of_folder,
)

_TEXTS = ("*.json", "*.txt", "*.model")
_SAFE, _PICKLED = "*.safetensors", "*.bin"
OPEN_CLIP = "open_clip_config.json"
"""Written by open_clip beside its weights: model configuration and image transform."""

IMAGE_ONLY_KINDS = ("dinov2", "dinov2_with_registers", "vit")
"""The `model_type` of image-only models, such as RAD-DINO."""

KINDS = ("clip", "siglip", "vision-text-dual-encoder", "medclip", "chexzero", *IMAGE_ONLY_KINDS)
"""The `model_type` of all supported scorers."""


def scorer_folder(model: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """Folder of the scorer shipped with PairAug, for `bundled`, or of any other model."""
    return model_folder(model, revision, allow_pickle, "scorer")


def model_folder(
    model: str,
    revision: str | None = None,
    allow_pickle: bool = False,
    bundled_name: str | None = None,
) -> Path:
    """Folder of a model in transformers layout, local or downloaded by its hub id.

    `bundled` is the model `bundled_name` of the package. With `HF_HUB_OFFLINE=1` only the cache is
    searched. Raises `ModelError` if there is no such model, or if its weights are pickled and
    `allow_pickle` is false.
    """
    folder = local_folder(model, bundled_name)
    if folder is None:
        weights = (_SAFE, _PICKLED) if allow_pickle else (_SAFE,)
        folder = fetch(model, revision, [*_TEXTS, *weights], kind="scorer")
    if not (folder / "config.json").is_file():
        raise ModelError(_what_else(folder, model))
    if not any(folder.glob(_SAFE)):
        if not any(folder.glob(_PICKLED)):
            raise ModelError(f"{model} has no weights: there is no .safetensors file in it")
        if not allow_pickle:
            raise ModelError(
                f"{model} has pickled weights only, which can run code when loaded. Convert them "
                "to safetensors (pairaug convert), or set allow_pickle: true if you trust "
                "their source."
            )
    weight_files(folder, allow_pickle)
    return folder


def model_type(folder: Path) -> str:
    """The `model_type` of a folder's config.json, such as `clip`."""
    return str(read_config(folder / "config.json").get("model_type", "unknown"))


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of a model's weights, tokenizer and configurations.

    Configurations are included: another image mean or tokenizer gives other vectors.
    """
    return sha256_of_folder(folder, (*_TEXTS, _SAFE, _PICKLED))


def _what_else(folder: Path, model: str) -> str:
    """Message for a folder without config.json: its kind, as far as its files show it."""
    adapter = adapter_in(folder)
    if adapter is not None:
        return adapter
    if (folder / OPEN_CLIP).is_file():
        return (
            f"{model} is an open_clip folder; convert it to transformers layout: "
            f"pairaug convert {folder}"
        )
    if (folder / "model_index.json").is_file():
        return f"{model} is a generator in diffusers layout, not a scorer (load_generator opens it)"
    return (
        f"{model} has no config.json{one_below(folder, 'config.json')}: not a model in "
        "transformers layout. Convert original weights of MedCLIP, CheXzero or open_clip with: "
        "pairaug convert"
    )


def is_open_clip(path: Path, content: Mapping[str, Any]) -> bool:
    """True if a checkpoint is open_clip's, by the file beside it, its name or its wrapper.

    CheXzero's weights have no wrapper.
    """
    return (
        (path.parent / OPEN_CLIP).is_file()
        or path.name.startswith("open_clip")
        or {"state_dict", "epoch"} <= content.keys()
    )
