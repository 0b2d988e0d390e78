"""The result of editing: latents, images decoded on demand, and how much was swapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pairaug.diffusion.pipeline import Pipeline


@dataclass(frozen=True)
class EditedImages:
    """Edited images, as latents that are decoded on first use, and how much was swapped.

    `cross_swapped` is the fraction of cross-attention that was the source's: of the edited report's
    tokens, without padding, times that of the steps. `self_swapped` is the fraction of the steps in
    which self-attention was the source's. `region` is the weight of the edit at each position of
    the latents: 1 everywhere without a local blend.
    """

    pipeline: Pipeline = field(repr=False)
    latents: Float[Tensor, "image channel height width"]
    cross_swapped: Float[np.ndarray, " image"]
    self_swapped: float
    region: Float[np.ndarray, "image height width"]

    @cached_property
    def images(self) -> Float[np.ndarray, "image row column"]:
        """The images in [0, 1], NaN where the model gave NaN; decoded once."""
        return self.pipeline.decode_latents(self.latents)

    @property
    def changed_area(self) -> Float[np.ndarray, " image"]:
        """The fraction of each image that could change."""
        return self.region.mean(axis=(1, 2))

    @staticmethod
    def joined(parts: Sequence[EditedImages], order: Sequence[int]) -> EditedImages:
        """The parts as one; image i, counted over all parts, becomes image `order[i]`."""
        if not parts:
            raise ValueError("there is nothing to edit")
        back = np.argsort(np.asarray(order))
        return EditedImages(
            parts[0].pipeline,
            torch.cat([part.latents for part in parts])[torch.from_numpy(back)],
            np.concatenate([part.cross_swapped for part in parts])[back],
            parts[0].self_swapped,
            np.concatenate([part.region for part in parts])[back],
        )
