"""Prompts to edit in the tiny generators' words, with the options and the limit to compare by."""

from __future__ import annotations

import torch

from pairaug.diffusion.edit_plan import EditOptions

SOURCE = [
    "the heart size is normal. no pleural effusion",
    "no acute finding",
    "large left pleural effusion and normal heart size",
    "the lungs are clear",
    "mild edema. there is a small right pneumothorax",
    "cardiac silhouette is normal",
    "nodule in the upper lobe",
]
EDITED = [
    "the heart size is enlarged. no pleural effusion",
    "large right pneumothorax with edema",
    "no pleural effusion and normal heart size",
    "the lungs are not clear. there is mild edema of the left lobe",
    "there is a right pneumothorax",
    "cardiac silhouette is moderate enlarged",
    "nodule in the left lobe",
]
SEEDS = [11, 12, 13, 14, 15, 16, 17]
OPTIONS = EditOptions(
    num_inference_steps=4,
    guidance_scale=3.0,
    scheduler="ddim",
    cross_replace_steps=0.5,
    self_replace_steps=0.5,
    self_max_positions=16,
)


def assert_close(actual: torch.Tensor, expected: torch.Tensor, limit: float = 1e-5) -> None:
    assert torch.isfinite(actual).all()
    assert float((actual - expected).abs().max()) <= limit
