"""The region that an edit may change, found during its first steps.

Outside of the region the edit keeps the source's latents, noise level by noise level.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Latents = Float[Tensor, "edit channel height width"]

# Fraction of the steps, from the noisy end: enough to average over, early enough to take effect.
_OBSERVED = 0.5

# The mask rises from 0 to 1 from this fraction below the threshold to this fraction above it.
_SOFTNESS = 0.4


@dataclass(slots=True)
class Region:
    """The region of each edit of a batch, found during the first half of the steps.

    In these steps, the denoiser predicts from the *source's* latents under both reports; d >= 0 is
    the difference of the two predictions at each position, as in Couairon et al. 2023 (DiffEdit),
    section 3.2, with recorded latents in place of freshly noised ones. Then

        M = ramp(d / max d) around `threshold`, d the mean over these steps, each scaled to mean 1
        z_edit' = z_src' + M * (z_edit' - z_src')

    If d is 0 everywhere, as for equal reports, so is M, and the edit is the source.
    """

    num_inference_steps: int
    threshold: float
    _total: Tensor | None = field(default=None, init=False, repr=False)
    _mask: Tensor | None = field(default=None, init=False, repr=False)

    def observes(self, step_index: int) -> bool:
        """True if this step's differences are to be given to `add`."""
        return step_index < self._num_observed

    def add(self, differences: Float[Tensor, "edit 1 height width"]) -> None:
        """Adds the difference between the two predictions of one step."""
        mean = differences.mean(dim=(2, 3), keepdim=True)
        tiny = torch.finfo(mean.dtype).tiny
        scaled = torch.where(mean > 0, differences / mean.clamp(min=tiny), 0.0)
        self._total = scaled if self._total is None else self._total + scaled

    def hold(
        self,
        latents: Latents,
        source_latents: Latents,
        step_index: int,
    ) -> Latents:
        """`latents` after step `step_index`, with the source's outside of the region.

        Unchanged as long as the region is not yet known.
        """
        if step_index + 1 < self._num_observed:
            return latents
        return source_latents + self.mask() * (latents - source_latents)

    def mask(self) -> Float[Tensor, "edit 1 height width"]:
        """The weight of the edit at each position, in [0, 1], from the differences added so far."""
        if self._mask is None:
            assert self._total is not None
            self._mask = region_mask(self._total, self.threshold)
        return self._mask

    @property
    def _num_observed(self) -> int:
        return max(1, int(_OBSERVED * self.num_inference_steps))


def region_mask(
    differences: Float[Tensor, "edit 1 height width"], threshold: float
) -> Float[Tensor, "edit 1 height width"]:
    """Differences smoothed, scaled to a maximum of 1, softly thresholded and dilated."""
    # A sixteenth of the image to either side: what a latent position of a small model covers.
    reach = max(1, differences.shape[-1] // 16)
    padded = F.pad(differences, (reach,) * 4, mode="replicate")
    smooth = F.avg_pool2d(padded, 2 * reach + 1, stride=1)
    largest = smooth.amax(dim=(2, 3), keepdim=True)
    relative = torch.where(largest > 0, smooth / largest.clamp(min=1e-30), 0.0)
    low, high = (1 - _SOFTNESS) * threshold, (1 + _SOFTNESS) * threshold
    ramp = ((relative - low) / max(high - low, 1e-6)).clamp(0.0, 1.0)
    return F.max_pool2d(ramp, 2 * reach + 1, stride=1, padding=reach)
