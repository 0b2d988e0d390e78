"""What editing gives: latents, images once they are asked for, and how much was swapped."""

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
    """Edited images, as latents until somebody looks at them, and how much was swapped.

    `cross_swapped` is the fraction of cross-attention that was the source's: of the edited report's
    tokens, padding left out, times the steps. `self_swapped` is the fraction of the steps in which
    self-attention was. `region` is, at each position of the latents, how much of the edit is in the
    image: 1 everywhere unless it was blended. `relevance` is what the region was cut from, each
    image's greatest 1: by attention, how much the changed words are attended to; 0 everywhere
    without a region.
    """

    pipeline: Pipeline = field(repr=False)
    latents: Float[Tensor, "image channel height width"]
    cross_swapped: Float[np.ndarray, " image"]
    self_swapped: float
    region: Float[np.ndarray, "image height width"]
    relevance: Float[np.ndarray, "image height width"]

    @cached_property
    def images(self) -> Float[np.ndarray, "image row column"]:
        """The images in [0, 1], NaN where the model went astray; decoded once."""
        return self.pipeline.decode_latents(self.latents)

    @property
    def changed_area(self) -> Float[np.ndarray, " image"]:
        """The fraction of each image that could change at all."""
        return self.region.mean(axis=(1, 2))

    @staticmethod
    def joined(parts: Sequence[EditedImages], order: Sequence[int]) -> EditedImages:
        """The parts as one; image i of all parts, counted through, becomes image `order[i]`."""
        if not parts:
            raise ValueError("there is nothing to edit")
        back = np.argsort(np.asarray(order))
        return EditedImages(
            parts[0].pipeline,
            torch.cat([part.latents for part in parts])[torch.from_numpy(back)],
            np.concatenate([part.cross_swapped for part in parts])[back],
            parts[0].self_swapped,
            np.concatenate([part.region for part in parts])[back],
            np.concatenate([part.relevance for part in parts])[back],
        )
