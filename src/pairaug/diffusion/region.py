"""Where on a film an edit may change anything: where its two reports make the model differ.

Outside of that region the edit is held on the source's latents, level by level.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Latents = Float[Tensor, "edit channel height width"]

# Of the steps, counted from the noisy end: enough to average over, early enough to act on.
_WATCHED = 0.5

# The mask rises from 0 to 1 around the threshold, from this share below it to this share above.
_SOFTNESS = 0.4


@dataclass(slots=True)
class Region:
    """The region of each edit of a batch, found while the first half of the steps is taken.

    At a watched step the denoiser sees the *source's* latents under both reports. Where it wants
    different things, the change belongs (Couairon et al. 2023, DiffEdit, section 3.2, on recorded
    latents in place of freshly noised ones):

        d = mean over watched steps of |f(z_src, y') - f(z_src, y)|, each step scaled to mean 1
        M = ramp(d / max d) around `threshold`
        z_edit' = z_src' + M * (z_edit' - z_src')

    Equal reports give M = 0, so the source itself.
    """

    source_of: Int[Tensor, " edit"]
    num_steps: int
    threshold: float
    _total: Tensor | None = field(default=None, init=False, repr=False)
    _mask: Tensor | None = field(default=None, init=False, repr=False)

    def is_watched(self, step_index: int) -> bool:
        """True where this step's predictions are to be handed to `watch`."""
        return step_index < self._num_watched

    def watch(
        self,
        of_source: Float[Tensor, "source channel height width"],
        of_source_changed: Latents,
    ) -> None:
        """Takes one step's predictions for the source: under its report, and under each edit's."""
        apart = (of_source_changed - of_source[self.source_of]).abs().mean(dim=1, keepdim=True)
        mean = apart.mean(dim=(2, 3), keepdim=True)
        scaled = torch.where(mean > 0, apart / mean.clamp(min=torch.finfo(mean.dtype).tiny), 0.0)
        self._total = scaled if self._total is None else self._total + scaled

    def hold(
        self,
        latents: Latents,
        source_latents: Float[Tensor, "source channel height width"],
        step_index: int,
    ) -> Latents:
        """`latents`, just stepped, with the source's outside of the region once it is known."""
        if step_index + 1 < self._num_watched:
            return latents
        theirs = source_latents[self.source_of]
        return theirs + self.mask() * (latents - theirs)

    def mask(self) -> Float[Tensor, "edit 1 height width"]:
        """The share of the edit at each position, in [0, 1], from what has been watched."""
        if self._mask is None:
            assert self._total is not None
            self._mask = region_mask(self._total, self.threshold)
        return self._mask

    @property
    def _num_watched(self) -> int:
        return max(1, int(_WATCHED * self.num_steps))


def region_mask(
    differences: Float[Tensor, "edit 1 height width"], threshold: float
) -> Float[Tensor, "edit 1 height width"]:
    """Differences smoothed, scaled to a maximum of 1, cut softly at `threshold` and widened."""
    # A sixteenth of the film to either side: what a latent position of a small model covers.
    reach = max(1, differences.shape[-1] // 16)
    padded = F.pad(differences, (reach,) * 4, mode="replicate")
    smooth = F.avg_pool2d(padded, 2 * reach + 1, stride=1)
    largest = smooth.amax(dim=(2, 3), keepdim=True)
    relative = torch.where(largest > 0, smooth / largest.clamp(min=1e-30), 0.0)
    low, high = (1 - _SOFTNESS) * threshold, (1 + _SOFTNESS) * threshold
    ramp = ((relative - low) / max(high - low, 1e-6)).clamp(0.0, 1.0)
    return F.max_pool2d(ramp, 2 * reach + 1, stride=1, padding=reach)
