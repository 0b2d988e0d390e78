"""Where a scorer's files are, what kind of model they are, and their hash; no tensor library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pairaug import bundled
from pairaug.errors import ModelError

_TEXTS = ("*.json", "*.txt", "*.model")
_SAFE, _PICKLED = "*.safetensors", "*.bin"

FILM_KINDS = ("dinov2", "dinov2_with_registers", "vit")
"""The `model_type` of models that encode films alone, such as RAD-DINO."""

KINDS = ("clip", "siglip", "vision-text-dual-encoder", "medclip", "chexzero", *FILM_KINDS)
"""The `model_type` of every scorer that can be opened."""


def scorer_folder(model: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """The folder of the scorer that comes with PairAug, for `bundled`, or of any other model."""
    if model == bundled.BUNDLED:
        return bundled.folder("scorer")
    return model_folder(model, revision, allow_pickle)


def model_folder(model: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """The folder of a model in transformers layout: a local one as it is, a hub id fetched.

    `HF_HUB_OFFLINE=1` is honoured: then only the cache is searched. Raises `ModelError` where
    there is no such model, or where its weights are pickled and `allow_pickle` is false.
    """
    folder = Path(model)
    if not folder.is_dir():
        folder = _fetched(model, revision, allow_pickle)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{model} has no config.json: not a model in transformers layout. Original weights of "
            "MedCLIP or CheXzero are put into one by: pairaug doctor --convert"
        )
    if not any(folder.glob(_SAFE)):
        if not any(folder.glob(_PICKLED)):
            raise ModelError(f"{model} has no weights: no .safetensors file is in it")
        if not allow_pickle:
            raise ModelError(
                f"{model} has pickled weights only, which can run code when loaded. Convert them "
                "to safetensors (pairaug doctor --convert), or set allow_pickle: true if you trust "
                "their source."
            )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The files with a folder's weights: safetensors, or pickles where there are only those."""
    return sorted(folder.glob(_SAFE)) or sorted(folder.glob(_PICKLED))


def model_type(folder: Path) -> str:
    """The `model_type` of a folder's config.json, such as `clip`."""
    return str(read_json(folder / "config.json").get("model_type", "unknown"))


def weights_sha256(folder: Path) -> str:
    """The SHA-256 over the names and contents of a model's weights, tokenizer and configurations.

    The configurations count: another image mean or tokenizer gives other vectors.
    """
    digest = hashlib.sha256()
    for path in sorted(
        path for pattern in (*_TEXTS, _SAFE, _PICKLED) for path in folder.glob(pattern)
    ):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name}\0{content}\n".encode())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a model's file; anything else raises `ModelError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return content


def _fetched(model: str, revision: str | None, allow_pickle: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    weights = (_SAFE, _PICKLED) if allow_pickle else (_SAFE,)
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*_TEXTS, *weights]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise ModelError(
            f"cannot load the scorer {model}{at}: it is no local folder, and the hub or its cache "
            f"does not have it ({type(error).__name__}). Check the name, the access rights and "
            "HF_HUB_OFFLINE, or pass a local folder in transformers layout."
        ) from error
