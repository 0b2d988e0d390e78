"""What an edit is asked for, and what that means in tensors: which maps are swapped, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pairaug.diffusion.alignment import AlignmentKind
from pairaug.diffusion.attention import Swap, Watch
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.region import RegionKind
from pairaug.diffusion.schedule import SchedulerName
from pairaug.diffusion.windows import align_layouts, unmatched_in_layouts

GuidanceFrom = Literal["empty", "source-report"]


@dataclass(frozen=True, slots=True)
class EditOptions:
    """How images are edited.

    `cross_replace` and `self_replace` are the fractions of the steps, counted from the noisy end, in
    which cross- and self-attention are the source's. `guidance_from` is what guidance pushes away
    from; `source-report`, and `drift`, are for inverted sources. The alignment `blend` is `refine`
    with the change kept inside a region: see `region.Region`, found by `blend_by` and cut at
    `blend_threshold`. Maps over more positions than `watch_max_positions` do not count for it.
    `variation` is how much noise goes into a further candidate of an inverted edit.
    """

    num_steps: int = 75
    guidance_scale: float = 4.0
    guidance_from: GuidanceFrom = "empty"
    drift: bool = True
    scheduler: SchedulerName = "folder"
    alignment: AlignmentKind = "refine"
    cross_replace: float = 0.5
    self_replace: float = 0.2
    self_max_positions: int = 256
    blend_by: RegionKind = "difference"
    blend_threshold: float = 0.35
    watch_max_positions: int = 256
    variation: float = 0.3

    @property
    def blends(self) -> bool:
        """True if the change is kept inside a region."""
        return self.alignment == "blend"


@dataclass(frozen=True, slots=True)
class Control:
    """What is swapped, in which steps, for one batch of edits."""

    source_of: Int[Tensor, " edit"]
    moved: Float[Tensor, "edit source_token edited_token"]
    kept: Float[Tensor, "edit edited_token"]
    cross_swapped: Float[np.ndarray, " edit"]
    num_cross_steps: int
    num_self_steps: int
    max_self_positions: int
    max_watched_positions: int
    removed: Float[Tensor, "edit token"]
    """1 at the source report's tokens that the edited report has no counterpart for."""
    added: Float[Tensor, "edit token"]
    """1 at the edited report's tokens that the source report has no counterpart for."""

    @property
    def changes(self) -> Bool[Tensor, " edit"]:
        """False for an edit whose two reports are the same tokens."""
        return (self.removed + self.added).any(dim=1)

    @property
    def source_rows(self) -> Int[Tensor, " edit"]:
        """Where each edit's source is in a batch of all edits, followed by all sources."""
        return len(self.source_of) + self.source_of

    def watch(self, latents: Float[Tensor, "edit channel height width"]) -> Watch:
        """Asks for the attention of each edit's source to what is removed, then of each edit to
        what is added."""
        edited = torch.arange(len(latents), device=latents.device)
        return Watch(
            torch.cat([self.source_rows, edited]),
            torch.cat([self.removed, self.added]),
            latents.new_zeros((2 * len(latents), 1, *latents.shape[2:])),
            self.max_watched_positions,
        )

    def at(self, step_index: int) -> Swap | None:
        """The swap of one step; None: nothing is swapped in it."""
        crosses, selfs = step_index < self.num_cross_steps, step_index < self.num_self_steps
        if not crosses and not selfs:
            return None
        return Swap(
            source_rows=self.source_rows,
            moved=self.moved if crosses else None,
            kept=self.kept if crosses else None,
            max_self_positions=self.max_self_positions if selfs else 0,
        )


def make_control(
    pipeline: Pipeline,
    source_prompts: Sequence[str],
    edited_prompts: Sequence[str],
    source_of: Sequence[int],
    options: EditOptions,
) -> Control:
    """The alignments of a batch of edits as tensors, and the steps in which they are used.

    Cross-attention is swapped in the first int(cross_replace * (num_steps + 1)) steps, and
    self-attention in the first int(self_replace * num_steps), as prompt-to-prompt counts them.
    """
    num_steps = options.num_steps
    num_cross_steps = min(num_steps, int(options.cross_replace * (num_steps + 1)))
    num_self_steps = int(options.self_replace * num_steps)
    sources = [pipeline.layout(prompt) for prompt in source_prompts]
    edits = [pipeline.layout(prompt) for prompt in edited_prompts]
    # As `encode_prompts` pads them when it is given all of them.
    num_windows = max(layout.num_windows for layout in (*sources, *edits))
    mappings, alphas, fractions, removed, added = [], [], [], [], []
    for layout, owner in zip(edits, source_of, strict=True):
        source, edited = sources[owner].padded(num_windows), layout.padded(num_windows)
        mapping, alpha = align_layouts(options.alignment, source, edited)
        mappings.append(mapping * alpha)
        alphas.append(alpha)
        fractions.append(
            float(alpha[layout.token_positions()].mean()) * num_cross_steps / num_steps
        )
        old, new = unmatched_in_layouts(source, edited)
        removed.append(old)
        added.append(new)
    return Control(
        source_of=torch.tensor(list(source_of), dtype=torch.int64, device=pipeline.device),
        moved=torch.stack(mappings).to(pipeline.device),
        kept=(1.0 - torch.stack(alphas)).to(pipeline.device),
        cross_swapped=np.array(fractions),
        num_cross_steps=num_cross_steps,
        num_self_steps=num_self_steps,
        max_self_positions=options.self_max_positions,
        max_watched_positions=options.watch_max_positions,
        removed=torch.stack(removed).to(pipeline.device),
        added=torch.stack(added).to(pipeline.device),
    )
