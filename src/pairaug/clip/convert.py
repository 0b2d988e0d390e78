"""Conversion of published scorer weights to a safetensors folder that needs no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from pairaug.clip.encoders import open_encoder
from pairaug.clip.folder import KINDS, is_open_clip, model_type
from pairaug.clip.loading import load_tokenizer, unwrap
from pairaug.clip.open_clip import write_open_clip
from pairaug.errors import ModelError
from pairaug.hub.files import read_checkpoint
from pairaug.system.atomic import new_files

_WEIGHTS = ("open_clip*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")
_SAFE = "model.safetensors"
_TEXTS = ("*.json", "*.txt", "*.model")
# A weight found in this layout only.
_MARKS = {"medclip": "vision_model.projection_head.weight", "chexzero": "visual.conv1.weight"}
_TOKENIZER_OF = {
    "medclip": "Bio_ClinicalBERT's (vocab.txt)",
    "chexzero": "OpenAI CLIP's (vocab.json and merges.txt)",
}


def convert_weights(
    source: Path,
    out: Path | None = None,
    *,
    tokenizer: Path | None = None,
    allow_pickle: bool = False,
) -> Path:
    """Writes the weights of `source` as safetensors, names unchanged; returns the folder.

    `source` is a file of weights or a folder with one; `out` is the folder to write, by default the
    source's own. MedCLIP's and CheXzero's published files have neither a configuration nor a
    tokenizer: the configuration is derived from the names of the weights, and the tokenizer is
    copied from the folder `tokenizer`, by default the one with the weights. An open_clip model is
    converted to transformers layout.
    """
    path = _weights_file(source)
    target = out or (source if source.is_dir() else source.with_suffix(""))
    if (target / _SAFE).exists():
        raise ModelError(f"{target / _SAFE} already exists; pass another --out folder")
    content = read_checkpoint(path, allow_pickle)
    weights = unwrap(content, path)
    if is_open_clip(path, content):
        words = _tokenizer("chexzero", tokenizer or path.parent)
        write_open_clip(weights, str(content.get("name", "")), path, words, target)
        return target
    kind = _kind(path, weights)
    words = _tokenizer(kind, tokenizer or path.parent) if kind in _MARKS else None
    # Cloned: safetensors rejects two names that share memory.
    plain = {name: weight.detach().clone().contiguous() for name, weight in weights.items()}
    with new_files(target, last=_SAFE) as written:
        if words is not None:
            words.save_pretrained(written)
            (written / "config.json").write_text(json.dumps({"model_type": kind}, indent=2) + "\n")
        elif target != path.parent:
            for text in sorted(each for glob in _TEXTS for each in path.parent.glob(glob)):
                shutil.copy(text, written)
        save_file(plain, written / _SAFE, metadata={"format": "pt"})
    return target


def describe(folder: Path) -> str:
    """Type, hash and logit scale of a converted scorer, opened as in a run."""
    encoder, kind = open_encoder(folder), model_type(folder)
    scale = "" if encoder.logit_scale is None else f", logit scale {encoder.logit_scale:.4f}"
    hint = ""
    if kind == "chexzero":
        hint = (
            " If these weights come from open_clip, put its open_clip_config.json beside them and "
            "convert again."
        )
    return (
        f"{folder}: {kind}, SHA-256 {encoder.weights_sha256[:12]}{scale}. "
        f"To use it, set score.model: {folder}.{hint}"
    )


def _weights_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise ModelError(f"cannot convert {source}: there is no such file or folder")
    files = sorted(path for glob in _WEIGHTS for path in source.glob(glob))
    # Training code writes these beside the weights.
    files = [path for path in files if path.stem not in ("training_args", "optimizer", "scheduler")]
    if len(files) != 1:
        raise ModelError(
            f"{source} must have one weights file ({', '.join(_WEIGHTS)}) and has "
            f"{len(files) or 'none'}; give the path of the file itself"
        )
    return files[0]


def _kind(path: Path, weights: Mapping[str, Tensor]) -> str:
    for kind, mark in _MARKS.items():
        if mark in weights:
            return kind
    if any(name.startswith("vision_model.model.layer") for name in weights):
        raise ModelError(
            f"{path} is MedCLIP with a ResNet-50; only MedCLIP with a ViT is supported"
        )
    if not (path.parent / "config.json").is_file():
        raise ModelError(
            f"{path} holds neither MedCLIP's nor CheXzero's weights; put the model's config.json "
            "beside it"
        )
    kind = model_type(path.parent)
    if kind not in KINDS:
        raise ModelError(f"{path} has model_type {kind!r}; supported are: {', '.join(KINDS)}")
    return kind


def _tokenizer(kind: str, folder: Path) -> Any:
    try:
        return load_tokenizer(folder, kind)
    except ModelError as error:
        raise ModelError(
            f"no tokenizer for {kind} in {folder}; pass --tokenizer FOLDER with "
            f"{_TOKENIZER_OF[kind]}"
        ) from error
