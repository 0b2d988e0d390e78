"""Where a generator's files are, whether they are a model that can be used, and their hash.

No tensor library is needed here, so that a fingerprint costs no model.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pairaug import bundled
from pairaug.errors import ModelError

BUNDLED = "bundled"

# The only parts that are loaded. A safety checker, where there is one, stays on the disk.
PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
_WITH_WEIGHTS = ("vae", "unet", "text_encoder")
_HASHED_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model")


def model_folder(model: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """The folder of a generator: `bundled`, a local folder as it is, or a hub id, which is fetched.

    Raises `ModelError` where there is none, or where it is not a UNet latent diffusion model.
    `HF_HUB_OFFLINE=1` is honoured: then only the hub's cache is searched.
    """
    folder = bundled.folder("generator") if model == BUNDLED else Path(model)
    if not folder.is_dir():
        folder = _fetched(model, revision, allow_pickle)
    _check_layout(folder, model, allow_pickle)
    return folder


def weights_sha256(folder: Path) -> str:
    """The SHA-256 over the names and contents of the model's weights and configurations.

    The configurations count: another prediction type or tokenizer draws other films.
    """
    digest = hashlib.sha256()
    for part in PARTS:
        for path in sorted((folder / part).rglob("*")):
            if path.suffix not in _HASHED_SUFFIXES or not path.is_file():
                continue
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def variant_of(folder: Path, part: str) -> str | None:
    """`fp16` where `part` is stored only under that variant name, else None."""
    names = [path.name for path in (folder / part).glob("*.*")]
    weights = [name for name in names if name.endswith((".safetensors", ".bin"))]
    return "fp16" if weights and all(".fp16." in name for name in weights) else None


def _fetched(model: str, revision: str | None, allow_pickle: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    texts = ["model_index.json", *(f"{part}/*.{end}" for part in PARTS for end in ("json", "txt"))]
    endings = ("safetensors", "bin") if allow_pickle else ("safetensors",)
    weights = [f"{part}/*.{end}" for part in _WITH_WEIGHTS for end in endings]
    try:
        folder = snapshot_download(
            model,
            revision=revision,
            allow_patterns=[*texts, *weights],
            ignore_patterns=["*.fp16.*", "*non_ema*", "*.msgpack"],
        )
        if not any(Path(folder, "unet").glob("*.safetensors")):
            halves = [pattern.replace("*.", "*.fp16.") for pattern in weights]
            folder = snapshot_download(model, revision=revision, allow_patterns=[*texts, *halves])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise ModelError(
            f"cannot load the generator {model}{at}: it is no local folder, and the hub or its "
            f"cache does not have it ({type(error).__name__}). Check the name, the access rights "
            "and HF_HUB_OFFLINE, or pass a local folder in diffusers layout."
        ) from error
    return Path(folder)


def _check_layout(folder: Path, model: str, allow_pickle: bool) -> None:
    index_path = folder / "model_index.json"
    if not index_path.is_file():
        raise ModelError(f"{model} has no model_index.json: not a generator in diffusers layout")
    index = _read_json(index_path)
    kind = str(index.get("_class_name", "unknown"))
    if "transformer" in index:
        raise ModelError(
            f"{model} is a {kind}, whose denoiser is a transformer; PairAug uses UNet models "
            "with cross-attention, such as Stable Diffusion 1.x, 2.x and RoentGen"
        )
    if "text_encoder_2" in index:
        raise ModelError(
            f"{model} is a {kind}, which has two text encoders; PairAug uses UNet models with "
            "one, such as Stable Diffusion 1.x, 2.x and RoentGen"
        )
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise ModelError(f"{model} lacks {', '.join(missing)}: not a generator in diffusers layout")
    for part in _WITH_WEIGHTS:
        if any((folder / part).glob("*.safetensors")):
            continue
        if not any((folder / part).glob("*.bin")):
            raise ModelError(f"{model} has no weights in {part}")
        if not allow_pickle:
            raise ModelError(
                f"{model} has pickled weights only in {part}, which can run code when loaded. "
                "Convert them to safetensors, or set allow_pickle: true if you trust the source."
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return content
