"""A CLIP model of random weights in exactly transformers' folder layout, tiny.

Real classes, saved to disk; only the widths are small. Images have 32 pixels a side, windows 24
tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTokenizer,
    ConvNextConfig,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

IMAGE_SIZE = 32
WINDOW = 24
MEAN, DEVIATION = [0.48, 0.45, 0.4], [0.27, 0.26, 0.28]
SPECIAL = ("<|startoftext|>", "<|endoftext|>")
# fmt: off
WORDS = [
    "no", "normal", "small", "large", "left", "right", "mild", "severe", "heart", "size", "lung",
    "lungs", "are", "clear", "is", "the", "in", "of", "and", "pleural", "effusion", "pneumothorax",
    "edema", "opacity", "enlarged", "there",
]
# fmt: on


def write_clip(folder: Path, *, seed: int = 0, num_channels: int = 3) -> Path:
    """`folder`, filled with a CLIP model, its image transform and its tokenizer."""
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    vision = {
        "image_size": IMAGE_SIZE,
        "patch_size": 8,
        "num_channels": num_channels,
        "hidden_size": 24,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = _text_config(tokenizer)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    return _save(folder, model, tokenizer, MEAN[:num_channels], DEVIATION[:num_channels])


def write_dual_encoder(folder: Path, *, seed: int = 0) -> Path:
    """`folder`, filled with a convolutional grey image tower beside CLIP's text tower."""
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    vision = ConvNextConfig(
        num_channels=1, hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, hidden_size=16
    )
    config = VisionTextDualEncoderConfig(
        vision_config=vision.to_dict(),
        text_config=CLIPTextConfig(**_text_config(tokenizer)).to_dict(),
        projection_dim=12,
    )
    return _save(folder, VisionTextDualEncoderModel(config), tokenizer, [0.5] * 3, [0.25] * 3)


def write_image_model(folder: Path, *, seed: int = 0) -> Path:
    """`folder`, filled with a model of images alone, of RAD-DINO's kind."""
    torch.manual_seed(seed)
    tower = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Dinov2Model(Dinov2Config(**tower, image_size=IMAGE_SIZE, patch_size=8))
    return _save(folder, model, _tokenizer(), MEAN, DEVIATION)


def _text_config(tokenizer: CLIPTokenizer) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": WINDOW,
        "bos_token_id": int(tokenizer.bos_token_id),
        "eos_token_id": int(tokenizer.eos_token_id),
        "pad_token_id": int(tokenizer.pad_token_id),
    }


def _save(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: CLIPTokenizer,
    mean: list[float],
    deviation: list[float],
) -> Path:
    with torch.no_grad():
        # As generated, all inputs give nearly one vector; a test could not tell them apart.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transform = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": IMAGE_SIZE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": deviation,
        "do_convert_rgb": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(transform))
    return folder


def _tokenizer() -> CLIPTokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;-_"
    pieces = [*SPECIAL, *letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            pieces.append(parts[0])
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=WINDOW)
