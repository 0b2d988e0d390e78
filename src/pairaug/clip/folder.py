"""Where a scorer's files are, what kind of model they are, and their hash; no tensor library."""

from __future__ import annotations

from pathlib import Path

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
"""What open_clip writes beside its weights: how its model is built, and what images go through."""

IMAGE_ONLY_KINDS = ("dinov2", "dinov2_with_registers", "vit")
"""The `model_type` of models that encode images alone, such as RAD-DINO."""

KINDS = ("clip", "siglip", "vision-text-dual-encoder", "medclip", "chexzero", *IMAGE_ONLY_KINDS)
"""The `model_type` of every scorer that can be opened."""


def scorer_folder(model: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """The folder of the scorer that comes with PairAug, for `bundled`, or of any other model."""
    return model_folder(model, revision, allow_pickle, "scorer")


def model_folder(
    model: str,
    revision: str | None = None,
    allow_pickle: bool = False,
    bundled_name: str | None = None,
) -> Path:
    """The folder of a model in transformers layout: a local one as it is, a hub id fetched.

    `bundled` is the model `bundled_name` of the package. `HF_HUB_OFFLINE=1` is honoured: then only
    the cache is searched. Raises `ModelError` where there is no such model, or where its weights
    are pickled and `allow_pickle` is false.
    """
    folder = local_folder(model, bundled_name)
    if folder is None:
        weights = (_SAFE, _PICKLED) if allow_pickle else (_SAFE,)
        folder = fetch(model, revision, [*_TEXTS, *weights], kind="scorer")
    if not (folder / "config.json").is_file():
        raise ModelError(_what_else(folder, model))
    if not any(folder.glob(_SAFE)):
        if not any(folder.glob(_PICKLED)):
            raise ModelError(f"{model} has no weights: no .safetensors file is in it")
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
    """The SHA-256 over the names and contents of a model's weights, tokenizer and configurations.

    The configurations count: another image mean or tokenizer gives other vectors.
    """
    return sha256_of_folder(folder, (*_TEXTS, _SAFE, _PICKLED))


def _what_else(folder: Path, model: str) -> str:
    """The kind of a folder without config.json, as far as it says so."""
    said = adapter_in(folder)
    if said is not None:
        return said
    if (folder / OPEN_CLIP).is_file():
        return (
            f"{model} is a folder of open_clip; convert it to transformers layout: "
            f"pairaug convert {folder}"
        )
    if (folder / "model_index.json").is_file():
        return f"{model} is a generator in diffusers layout, not a scorer (load_generator opens it)"
    return (
        f"{model} has no config.json{one_below(folder, 'config.json')}: not a model in "
        "transformers layout. Convert original weights of MedCLIP, CheXzero or open_clip with: "
        "pairaug convert"
    )
