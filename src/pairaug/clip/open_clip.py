"""Converts open_clip's weights to a transformers folder.

Weights have the same names and shapes as CheXzero's, but the activation is GELU unless the
configuration states otherwise, and the image transform differs. Only the file's name, its
neighbours and its wrapper distinguish the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pairaug.clip.chexzero import clip_config, in_transformers_names
from pairaug.clip.folder import OPEN_CLIP
from pairaug.errors import ModelError
from pairaug.hub.folders import read_config
from pairaug.hub.loading import load_from
from pairaug.system.atomic import new_files

# open_clip's defaults, OpenAI's numbers.
_MEAN = [0.48145466, 0.4578275, 0.40821073]
_STD = [0.26862954, 0.26130258, 0.27577711]
_RESAMPLE = {"bicubic": 3, "bilinear": 2}


def write_open_clip(
    weights: Mapping[str, Tensor], name: str, path: Path, tokenizer: Any, target: Path
) -> None:
    """Writes the folder of a CLIP model with these weights, its transform and its tokenizer.

    `name` is the model's name in training; it ends in "quickgelu" if that is the activation.
    """
    beside = path.parent / OPEN_CLIP
    settings = read_config(beside) if beside.is_file() else {}
    built, shown = (_object(settings, key, beside) for key in ("model_cfg", "preprocess_cfg"))
    vision, text = (_object(built, key, beside) for key in ("vision_cfg", "text_cfg"))
    foreign = vision.get("timm_model_name") or text.get("hf_model_name")
    if foreign or any(key.startswith("visual.trunk.") for key in weights):
        raise ModelError(
            f"{path} is an open_clip model around {foreign or 'a tower of timm'}, as BiomedCLIP "
            "is; only open_clip models with CLIP's own transformer towers are supported"
        )
    own = {
        key.removeprefix("text."): value
        for key, value in weights.items()
        if not key.endswith("attn_mask")
    }
    config: Any = clip_config(own, path)
    is_quick = bool(built.get("quick_gelu", "quickgelu" in name.lower()))
    for tower, heads in (
        (config.vision_config, config.vision_config.hidden_size // vision.get("head_width", 64)),
        (config.text_config, text.get("heads") or config.text_config.num_attention_heads),
    ):
        tower.hidden_act = "quick_gelu" if is_quick else "gelu"
        tower.num_attention_heads = heads
    from transformers import CLIPModel

    names = dict(in_transformers_names(own, path))
    model = load_from(CLIPModel, config, names, path, torch.float32)
    transform = _transform(shown, int(config.vision_config.image_size), beside)
    with new_files(target, last="model.safetensors") as written:
        model.save_pretrained(written)
        tokenizer.save_pretrained(written)
        (written / "preprocessor_config.json").write_text(json.dumps(transform, indent=2) + "\n")


def _transform(shown: Mapping[str, Any], size: int, beside: Path) -> dict[str, Any]:
    resample = _RESAMPLE.get(shown.get("interpolation", "bicubic"))
    mode = shown.get("resize_mode", "shortest")
    if resample is None or mode not in ("shortest", "squash"):
        raise ModelError(
            f"{beside}: supported are the interpolations {', '.join(_RESAMPLE)} and the "
            "resize_modes shortest and squash"
        )
    square = {"height": size, "width": size}
    is_squashed = mode == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": square if is_squashed else {"shortest_edge": size},
        "resample": resample,
        "do_center_crop": not is_squashed,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": shown.get("mean") or _MEAN,
        "image_std": shown.get("std") or _STD,
        "do_convert_rgb": True,
    }


def _object(config: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = config.get(key, {})
    if not isinstance(value, dict):
        raise ModelError(f"{path}: {key} must be an object")
    return value
