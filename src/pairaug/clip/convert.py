"""Published weights made into a folder that opens without a pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from pairaug.clip.folder import KINDS, model_type
from pairaug.clip.loading import load_tokenizer, unwrapped
from pairaug.clip.open_clip import is_open_clip, write_open_clip
from pairaug.errors import ModelError
from pairaug.hub.files import read_checkpoint
from pairaug.system.atomic import new_files

_WEIGHTS = ("open_clip*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")
_SAFE = "model.safetensors"
_TEXTS = ("*.json", "*.txt", "*.model")
# A weight that only the one layout has.
_MARKS = {"medclip": "vision_model.projection_head.weight", "chexzero": "visual.conv1.weight"}
_TOKENIZER_OF = {
    "medclip": "Bio_ClinicalBERT's (vocab.txt)",
    "chexzero": "OpenAI CLIP's (vocab.json and merges.txt)",
}


def convert(
    source: Path,
    out: Path | None = None,
    *,
    tokenizer: Path | None = None,
    allow_pickle: bool = False,
) -> Path:
    """The folder with the weights of `source` as safetensors, in their own names.

    `source` is a file of weights or a folder with one; `out` is the folder to write, and without it
    the source's own. MedCLIP's and CheXzero's published files have neither a configuration nor a
    tokenizer: the first is told by their names, the second is taken from the folder `tokenizer`,
    or from beside the weights. A model of open_clip becomes one of transformers.
    """
    path = _weights_file(source)
    target = out or (source if source.is_dir() else source.with_suffix(""))
    if (target / _SAFE).exists():
        raise ModelError(f"{target / _SAFE} is there already; pass another --out folder")
    content = read_checkpoint(path, allow_pickle)
    weights = unwrapped(content, path)
    if is_open_clip(path, content):
        words = _tokenizer("chexzero", tokenizer or path.parent)
        write_open_clip(weights, str(content.get("name", "")), path, words, target)
        return target
    kind = _kind(path, weights)
    words = _tokenizer(kind, tokenizer or path.parent) if kind in _MARKS else None
    # A clone each: safetensors takes no two names for one memory.
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


def _weights_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise ModelError(f"there is no {source} to convert")
    files = sorted(path for glob in _WEIGHTS for path in source.glob(glob))
    # What a trainer keeps beside the weights.
    files = [path for path in files if path.stem not in ("training_args", "optimizer", "scheduler")]
    if len(files) != 1:
        found = f"{len(files)} of them" if files else "none"
        raise ModelError(
            f"{source} should have one file of weights ({', '.join(_WEIGHTS)}), and has {found}; "
            "name the file itself"
        )
    return files[0]


def _kind(path: Path, weights: Mapping[str, Tensor]) -> str:
    for kind, mark in _MARKS.items():
        if mark in weights:
            return kind
    if any(name.startswith("vision_model.model.layer") for name in weights):
        raise ModelError(f"{path} is MedCLIP with a ResNet-50; only its ViT weights can be opened")
    if not (path.parent / "config.json").is_file():
        raise ModelError(
            f"{path} holds neither MedCLIP's nor CheXzero's weights, and no config.json beside it "
            "says what they are"
        )
    kind = model_type(path.parent)
    if kind not in KINDS:
        raise ModelError(f"{path} holds a model of type {kind!r}; known are: {', '.join(KINDS)}")
    return kind


def _tokenizer(kind: str, folder: Path) -> Any:
    try:
        return load_tokenizer(folder, kind)
    except ModelError as error:
        raise ModelError(
            f"no tokenizer for {kind} in {folder}: pass --tokenizer FOLDER with "
            f"{_TOKENIZER_OF[kind]}"
        ) from error
