"""Where on an image an edit may change anything, found while the first steps are taken.

Outside of that region the edit is held on the source's latents, level by level.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

RegionKind = Literal["difference", "attention"]

Latents = Float[Tensor, "edit channel height width"]

# Of the steps, counted from the noisy end: enough to average over, early enough to act on.
_WATCHED = 0.5

# The mask rises from 0 to 1 around the threshold, from this fraction below it to this fraction above.
_SOFTNESS = 0.4


@dataclass(slots=True)
class Region:
    """The region of each edit of a batch, found while the first half of the steps is taken.

    A watched step says how much each position is about the change, d >= 0. Then

        M = ramp(d / max d) around `threshold`, d the mean over watched steps, each scaled to mean 1
        z_edit' = z_src' + M * (z_edit' - z_src')

    By `difference`, the denoiser sees the *source's* latents under both reports, and d is how far
    apart the two predictions are: Couairon et al. 2023 (DiffEdit), section 3.2, on recorded latents
    in place of freshly noised ones. By `attention`, d is the attention paid to the words that only
    one of the reports has: Hertz et al. 2022, section 3.3, local editing.

    Where d is 0 everywhere, as between equal reports, so is M, and the edit is the source itself.
    """

    num_steps: int
    threshold: float
    by: RegionKind = "difference"
    _total: Tensor | None = field(default=None, init=False, repr=False)
    _mask: Tensor | None = field(default=None, init=False, repr=False)

    def asks(self, step_index: int) -> RegionKind | None:
        """By what the relevance is to be found that `watch` wants of this step; None: no more."""
        return self.by if step_index < self._num_watched else None

    def watch(self, relevance: Float[Tensor, "edit 1 height width"]) -> None:
        """Takes how much each position is about the change, from one step."""
        mean = relevance.mean(dim=(2, 3), keepdim=True)
        tiny = torch.finfo(mean.dtype).tiny
        scaled = torch.where(mean > 0, relevance / mean.clamp(min=tiny), 0.0)
        self._total = scaled if self._total is None else self._total + scaled

    def hold(
        self,
        latents: Latents,
        source_latents: Latents,
        step_index: int,
    ) -> Latents:
        """`latents`, just stepped, with the source's outside of the region once it is known."""
        if step_index + 1 < self._num_watched:
            return latents
        return source_latents + self.mask() * (latents - source_latents)

    def mask(self) -> Float[Tensor, "edit 1 height width"]:
        """The fraction of the edit at each position, in [0, 1], from what has been watched."""
        if self._mask is None:
            assert self._total is not None
            self._mask = region_mask(self._total, self.threshold)
        return self._mask

    def relevance(self) -> Float[Tensor, "edit 1 height width"]:
        """How much each position is about the change, from all that was watched: in [0, 1].

        Each edit's greatest is 1, unless nothing differs at all.
        """
        assert self._total is not None
        largest = self._total.amax(dim=(2, 3), keepdim=True)
        return torch.where(largest > 0, self._total / largest.clamp(min=1e-30), 0.0)

    @property
    def _num_watched(self) -> int:
        return max(1, int(_WATCHED * self.num_steps))


def region_mask(
    relevance: Float[Tensor, "edit 1 height width"], threshold: float
) -> Float[Tensor, "edit 1 height width"]:
    """Relevance smoothed, scaled to a maximum of 1, cut softly at `threshold` and widened."""
    # A sixteenth of the image to either side: what a latent position of a small model covers.
    reach = max(1, relevance.shape[-1] // 16)
    padded = F.pad(relevance, (reach,) * 4, mode="replicate")
    smooth = F.avg_pool2d(padded, 2 * reach + 1, stride=1)
    largest = smooth.amax(dim=(2, 3), keepdim=True)
    relative = torch.where(largest > 0, smooth / largest.clamp(min=1e-30), 0.0)
    low, high = (1 - _SOFTNESS) * threshold, (1 + _SOFTNESS) * threshold
    ramp = ((relative - low) / max(high - low, 1e-6)).clamp(0.0, 1.0)
    return F.max_pool2d(ramp, 2 * reach + 1, stride=1, padding=reach)
