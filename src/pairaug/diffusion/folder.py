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

_INDEX = "model_index.json"
_ENCODERS = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))
_ENCODER_CLASSES = {
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
_ZEROES_EMPTY = "force_zeros_for_empty_prompt"
_HASHED_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model")


def model_folder(model: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """The folder of a generator: `bundled`, a local folder as it is, or a hub id, which is fetched.

    Raises `ModelError` where there is none, or where it is not a UNet latent diffusion model.
    `HF_HUB_OFFLINE=1` is honoured: then only the hub's cache is searched.
    """
    folder = bundled.folder("generator") if model == bundled.BUNDLED else Path(model)
    if not folder.is_dir():
        folder = _fetched(model, revision, allow_pickle)
    _check_layout(folder, model, allow_pickle)
    return folder


def weights_sha256(folder: Path) -> str:
    """The SHA-256 over the names and contents of the model's weights and configurations.

    The configurations count: another prediction type or tokenizer draws other films.
    """
    digest = hashlib.sha256()
    for part in _parts_of(_read_json(folder / _INDEX)):
        for path in sorted((folder / part).rglob("*")):
            if path.suffix not in _HASHED_SUFFIXES or not path.is_file():
                continue
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    if len(encoders_of(folder)) > 1:
        digest.update(f"{_ZEROES_EMPTY}\0{zeroes_empty_text(folder)}\n".encode())
    return digest.hexdigest()


def encoders_of(folder: Path) -> tuple[tuple[str, str], ...]:
    """The parts that are a text encoder and its tokenizer: one pair of them, or SDXL's two."""
    return _encoders_in(_read_json(folder / _INDEX))


def zeroes_empty_text(folder: Path) -> bool:
    """True if the model was trained on zeros in place of the empty text, as SDXL-base was."""
    index = _read_json(folder / _INDEX)
    # diffusers' StableDiffusionXLPipeline has True where the file says nothing.
    return len(_encoders_in(index)) > 1 and bool(index.get(_ZEROES_EMPTY, True))


def variant_of(folder: Path, part: str) -> str | None:
    """`fp16` where `part` is stored only under that variant name, else None."""
    names = [path.name for path in _weights_in(folder / part)]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def _weights_in(part: Path, *, pickled: bool = True) -> list[Path]:
    # Beside them in SDXL's folder: openvino_model.bin and the like, which are no torch weights.
    pickles = part.glob("*pytorch_model*.bin") if pickled else ()
    return [*part.glob("*.safetensors"), *pickles]


def _encoders_in(index: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    has_second = _class_in(index, "text_encoder_2") is not None
    return _ENCODERS if has_second else _ENCODERS[:1]


def _parts_of(index: dict[str, Any]) -> list[str]:
    """The only parts that are loaded. A safety checker, where there is one, stays on the disk."""
    tokenizers = [tokenizer for _, tokenizer in _encoders_in(index)]
    return [*_parts_with_weights(index), *tokenizers, "scheduler"]


def _parts_with_weights(index: dict[str, Any]) -> list[str]:
    return ["vae", "unet", *(encoder for encoder, _ in _encoders_in(index))]


def _class_in(index: dict[str, Any], part: str) -> str | None:
    """The class that the index names for a part; None where it names none."""
    entry = index.get(part)
    return str(entry[1]) if isinstance(entry, list) and len(entry) == 2 and entry[1] else None


def _fetched(model: str, revision: str | None, allow_pickle: bool) -> Path:
    """The folder in the hub's cache, with the files in it that `load_bundle` reads, and no others.

    The index comes first: a model that cannot be used is refused before its weights are fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def fetch(wanted: list[str], unwanted: list[str] | None = None) -> Path:
        return Path(
            snapshot_download(
                model, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted
            )
        )

    try:
        folder = fetch([_INDEX])
        if not (folder / _INDEX).is_file():
            return folder
        index = _read_json(folder / _INDEX)
        _check_kind(index, model)
        texts = [f"{part}/*.{end}" for part in _parts_of(index) for end in ("json", "txt")]
        parts = _parts_with_weights(index)
        weights = _patterns(parts, allow_pickle)
        folder = fetch([_INDEX, *texts, *weights], ["*.fp16*", "*non_ema*"])
        parts = [part for part in parts if not _weights_in(folder / part, pickled=allow_pickle)]
        weights = _patterns(parts, allow_pickle, ".fp16*")
        return fetch([_INDEX, *texts, *weights]) if parts else folder
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise ModelError(
            f"cannot load the generator {model}{at}: it is no local folder, and the hub or its "
            f"cache does not have it ({type(error).__name__}). Check the name, the access rights "
            "and HF_HUB_OFFLINE, or pass a local folder in diffusers layout."
        ) from error


def _patterns(parts: list[str], allow_pickle: bool, variant: str = "") -> list[str]:
    """What the weights of `parts` may be called on the hub."""
    names = [f"*{variant}.safetensors"]
    if allow_pickle:
        names.append(f"*pytorch_model*{variant}.bin")
    return [f"{part}/{name}" for part in parts for name in names]


def _check_layout(folder: Path, model: str, allow_pickle: bool) -> None:
    index_path = folder / _INDEX
    if not index_path.is_file():
        raise ModelError(f"{model} has no {_INDEX}: not a generator in diffusers layout")
    index = _read_json(index_path)
    _check_kind(index, model)
    missing = [part for part in _parts_of(index) if not (folder / part).is_dir()]
    if missing:
        raise ModelError(f"{model} lacks {', '.join(missing)}: not a generator in diffusers layout")
    for part in _parts_with_weights(index):
        if _weights_in(folder / part, pickled=False):
            continue
        if not _weights_in(folder / part):
            raise ModelError(f"{model} has no weights in {part}")
        if not allow_pickle:
            raise ModelError(
                f"{model} has pickled weights only in {part}, which can run code when loaded. "
                "Convert them to safetensors, or set allow_pickle: true if you trust the source."
            )


def _check_kind(index: dict[str, Any], model: str) -> None:
    kind = str(index.get("_class_name", "unknown"))
    if "transformer" in index:
        raise ModelError(
            f"{model} is a {kind}, whose denoiser is a transformer; PairAug uses UNet models "
            "with cross-attention, such as Stable Diffusion 1.x, 2.x and XL, and RoentGen"
        )
    if index.get("requires_aesthetics_score"):
        raise ModelError(f"{model} is a {kind} that refines films of another; use its base model")
    for part, wanted in _ENCODER_CLASSES.items():
        found = _class_in(index, part)
        if found not in (None, wanted):
            raise ModelError(
                f"{model} is a {kind}, whose {part} is a {found}; PairAug reads a {wanted} there"
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return content
