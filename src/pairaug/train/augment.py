"""Small random changes to training images, so that models also read decoded images.

Images are never mirrored: left and right matter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def augment(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """`images` (batch 1 height width, in [0, 1]) shifted, rotated, blurred, noised and re-exposed.

    At `strength` 1: shifts to 4 % of the side, rotation to 5 degrees, scaling by up to 5 %; half of
    the images are blurred; contrast and gamma change by up to 20 %, brightness by 0.08, and noise
    of standard deviation up to 0.03 is added.
    """
    moved = functional.grid_sample(
        images,
        functional.affine_grid(_motions(images, generator, strength), list(images.shape), False),
        padding_mode="border",
        align_corners=False,
    )
    blur = _uniform(images, generator, -1.0, 1.0).clamp(min=0.0) * strength
    kernel = images.new_tensor([1.0, 2.0, 1.0]) / 4.0
    smooth = functional.conv2d(moved, torch.outer(kernel, kernel)[None, None], padding=1)
    moved = torch.lerp(moved, smooth, blur.clamp(max=1.0))
    gamma = torch.exp(_uniform(images, generator, -0.2, 0.2) * strength)
    contrast = torch.exp(_uniform(images, generator, -0.2, 0.2) * strength)
    brightness = _uniform(images, generator, -0.08, 0.08) * strength
    noise = torch.empty_like(moved).normal_(generator=generator)
    noise = noise * _uniform(images, generator, 0.0, 0.03) * strength
    exposed = moved.clamp(1e-4, 1.0).pow(gamma)
    return ((exposed - 0.5) * contrast + 0.5 + brightness + noise).clamp(0.0, 1.0)


def _motions(images: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    angle = _uniform(images, generator, -5.0, 5.0).flatten() * (strength * math.pi / 180.0)
    scale = 1.0 + _uniform(images, generator, -0.05, 0.05).flatten() * strength
    # The grid spans -1 to 1, so 0.08 is 4 % of the side.
    right = _uniform(images, generator, -0.08, 0.08).flatten() * strength
    down = _uniform(images, generator, -0.08, 0.08).flatten() * strength
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([cosine, -sine, right], dim=1), torch.stack([sine, cosine, down], dim=1)]
    return torch.stack(rows, dim=1)


def _uniform(images: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    randomness = torch.rand((len(images), 1, 1, 1), generator=generator, device=images.device)
    return low + (high - low) * randomness
