"""A generator's files: their folder, checks that the model can be used, and their hash.

No tensor library is needed here, so that a fingerprint costs no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pairaug.errors import ModelError
from pairaug.hub.choice import VARIANTS, weight_files
from pairaug.hub.folders import adapter_in, fetch, local_folder, one_below, read_config, sha256_of

_INDEX = "model_index.json"
_ENCODERS = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))
_CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
# What pipelines have besides and a denoiser is never given.
_UNUSED = ("scheduler", "safety_checker", "feature_extractor", "image_encoder", "watermark")
_ZEROES_EMPTY = "force_zeros_for_empty_prompt"
_HASHED_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model")
_ALONE = {
    "ControlNet": "it steers a generator; name the generator itself",
    "Adapter": "it steers a generator; name the generator itself",
    "UNet": "it is a generator's denoiser alone; name the folder above, with model_index.json",
    "Autoencoder": "it is a generator's VAE alone; name the folder above, with model_index.json",
}


def model_folder(model: str, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """The folder of a generator: `bundled`, a local folder as it is, or a hub id, which is fetched.

    Raises `ModelError` where there is none, or where it is not a UNet latent diffusion model.
    `HF_HUB_OFFLINE=1` is honoured: then only the hub's cache is searched.
    """
    folder = local_folder(model, "generator")
    if folder is None:
        folder = _fetched(model, revision, allow_pickle)
    _check_layout(folder, model, allow_pickle)
    return folder


def weights_sha256(folder: Path) -> str:
    """The SHA-256 over the names and contents of the model's weights and configurations.

    The configurations count: another prediction type or tokenizer generates other images.
    """
    paths = [
        path
        for part in _parts_of(read_config(folder / _INDEX))
        for path in sorted((folder / part).rglob("*"))
        if path.suffix in _HASHED_SUFFIXES and path.is_file()
    ]
    is_two = len(encoders_of(folder)) > 1
    more = f"{_ZEROES_EMPTY}\0{zeroes_empty_text(folder)}\n" if is_two else ""
    return sha256_of(((path.relative_to(folder).as_posix(), path) for path in paths), more)


def encoders_of(folder: Path) -> tuple[tuple[str, str], ...]:
    """The parts that are a text encoder and its tokenizer: one pair of them, or SDXL's two."""
    return _encoders_in(read_config(folder / _INDEX))


def scheduler_class_in(folder: Path) -> str | None:
    """The scheduler's class by the model's index; None where it names none."""
    return _class_in(read_config(folder / _INDEX), "scheduler")


def zeroes_empty_text(folder: Path) -> bool:
    """True if the model was trained on zeros in place of the empty text, as SDXL-base was."""
    index = read_config(folder / _INDEX)
    # diffusers' StableDiffusionXLPipeline has True where the file says nothing.
    return len(_encoders_in(index)) > 1 and bool(index.get(_ZEROES_EMPTY, True))


def _has_weights(part: Path, allow_pickle: bool) -> bool:
    return any(part.glob("*.safetensors")) or (
        # Beside them in SDXL's folder: openvino_model.bin and the like, which are no torch weights.
        allow_pickle and any(part.glob("*pytorch_model*.bin"))
    )


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
    """The folder in the hub's cache, with only those files that `load_pipeline` reads.

    The index comes first: a model that cannot be used is refused before its weights are fetched.
    """

    def get(wanted: list[str], unwanted: list[str] | None = None) -> Path:
        return fetch(model, revision, wanted, unwanted, kind="generator")

    folder = get([_INDEX])
    if not (folder / _INDEX).is_file():
        return folder
    index = read_config(folder / _INDEX)
    _check_kind(index, model)
    texts = [f"{part}/*.{end}" for part in _parts_of(index) for end in ("json", "txt")]
    named = [f"*.{variant}*" for variant in VARIANTS if variant]
    parts, variant = _parts_with_weights(index), ""
    for variant in VARIANTS:
        if variant == "fp32":  # none on the hub
            continue
        weights = _patterns(parts, allow_pickle, f".{variant}*" if variant else "")
        folder = get([_INDEX, *texts, *weights], None if variant else named)
        parts = [part for part in parts if not _has_weights(folder / part, allow_pickle)]
        if not parts:
            break
    return folder


def _patterns(parts: list[str], allow_pickle: bool, variant: str = "") -> list[str]:
    """Patterns of the hub's names for the weights of `parts`."""
    names = [f"*{variant}.safetensors"]
    if allow_pickle:
        names.append(f"*pytorch_model*{variant}.bin")
    return [f"{part}/{name}" for part in parts for name in names]


def _check_layout(folder: Path, model: str, allow_pickle: bool) -> None:
    if not (folder / _INDEX).is_file():
        raise ModelError(_what_else(folder, model))
    index = read_config(folder / _INDEX)
    _check_kind(index, model)
    missing = [part for part in _parts_of(index) if not (folder / part).is_dir()]
    if missing:
        raise ModelError(f"{model} lacks {', '.join(missing)}: not a generator in diffusers layout")
    for part in _parts_with_weights(index):
        if _has_weights(folder / part, allow_pickle):
            weight_files(folder / part, allow_pickle)
        elif _has_weights(folder / part, True):
            raise ModelError(
                f"{model} has pickled weights only in {part}, which can run code when loaded. "
                "Convert them to safetensors, or set allow_pickle: true if you trust the source."
            )
        else:
            raise ModelError(f"{model} has no weights in {part}")


def _what_else(folder: Path, model: str) -> str:
    """The kind of a folder without an index, as far as it says so."""
    said = adapter_in(folder)
    if said is not None:
        return said
    kind = ""
    if (folder / "config.json").is_file():
        config = read_config(folder / "config.json")
        kind = str(config.get("_class_name") or config.get("model_type") or "")
    advice = next((words for name, words in _ALONE.items() if name in kind), None)
    if advice is not None:
        return f"{model} is a {kind}, not a generator: {advice}"
    if kind:
        return (
            f"{model} is a {kind} model, not a generator in diffusers layout; a CLIP model is a "
            "scorer (score.model, or load_scorer)"
        )
    if any(folder.glob("*.safetensors")) or any(folder.glob("*.ckpt")):
        return (
            f"{model} has no {_INDEX}: not a generator in diffusers layout. A checkpoint in one "
            "file is made into a folder by diffusers (from_single_file, then save_pretrained)"
        )
    below = one_below(folder, _INDEX)
    return f"{model} has no {_INDEX}{below}: not a generator in diffusers layout"


def _check_kind(index: dict[str, Any], model: str) -> None:
    kind = str(index.get("_class_name", "unknown"))
    if _class_in(index, "transformer") is not None:
        raise ModelError(
            f"{model} is a {kind}, whose denoiser is a transformer; PairAug uses UNet models "
            "with cross-attention, such as Stable Diffusion 1.x, 2.x and XL, and RoentGen"
        )
    if index.get("requires_aesthetics_score"):
        raise ModelError(f"{model} is a {kind} that refines images of another; use its base model")
    for part, wanted in _CLASSES.items():
        found = _class_in(index, part)
        if found is not None and found not in wanted:
            raise ModelError(
                f"{model} is a {kind}, whose {part} is a {found}; PairAug reads a {wanted[0]} there"
            )
    others = [part for part in index if part not in (*_CLASSES, *_UNUSED)]
    more = [part for part in others if _class_in(index, part) is not None]
    if more:
        raise ModelError(
            f"{model} is a {kind}, whose {more[0]} ({_class_in(index, more[0])}) tells the "
            "denoiser more than a text; PairAug gives a denoiser its text alone. Use the base "
            "model that this was made from"
        )
