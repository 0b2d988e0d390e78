"""The options of an edit, and the plan they give for a batch: which maps are swapped, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pairaug.diffusion.alignment import AlignmentKind
from pairaug.diffusion.attention import AttentionSwap
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.schedule import SchedulerName
from pairaug.diffusion.windows import align_layouts

NegativePrompt = Literal["empty", "source"]
LocalBlend = Literal["none", "difference"]


@dataclass(frozen=True, slots=True)
class EditOptions:
    """The options of an edit.

    `cross_replace_steps` and `self_replace_steps` are the fractions of the steps, counted from the
    noisy end, that use the source's cross- and self-attention maps. Guidance leads away from
    `negative_prompt`: the empty text, or the source's report. `negative_prompt="source"` and
    `correct_drift` need an inverted source. `local_blend="difference"` keeps the source outside of
    a region, whose border is at `blend_threshold`: see `region.Region`. `noise_strength` is the
    fraction of noise, by variance, in further candidates of an inverted edit.
    """

    num_inference_steps: int = 75
    guidance_scale: float = 4.0
    negative_prompt: NegativePrompt = "empty"
    correct_drift: bool = True
    scheduler: SchedulerName = "default"
    alignment: AlignmentKind = "refine"
    local_blend: LocalBlend = "none"
    blend_threshold: float = 0.35
    cross_replace_steps: float = 0.5
    self_replace_steps: float = 0.2
    self_max_positions: int = 256
    noise_strength: float = 0.3

    @property
    def blends(self) -> bool:
        """True if the source is kept outside of a region."""
        return self.local_blend != "none"


@dataclass(frozen=True, slots=True)
class EditPlan:
    """The attention swaps of one batch of edits, step by step."""

    source_of: Int[Tensor, " edit"]
    moved: Float[Tensor, "edit source_token edited_token"]
    kept: Float[Tensor, "edit edited_token"]
    cross_swapped: Float[np.ndarray, " edit"]
    num_cross_steps: int
    num_self_steps: int
    max_self_positions: int
    changes: Bool[Tensor, " edit"]
    """False for an edit whose two reports are the same tokens."""

    @property
    def source_rows(self) -> Int[Tensor, " edit"]:
        """The row of each edit's source in a batch of all edits followed by all sources."""
        return len(self.source_of) + self.source_of

    def at(self, step_index: int) -> AttentionSwap | None:
        """The swap of one step; None if nothing is swapped in it."""
        crosses, selfs = step_index < self.num_cross_steps, step_index < self.num_self_steps
        if not crosses and not selfs:
            return None
        return AttentionSwap(
            source_rows=self.source_rows,
            moved=self.moved if crosses else None,
            kept=self.kept if crosses else None,
            max_self_positions=self.max_self_positions if selfs else 0,
        )


def make_edit_plan(
    pipeline: Pipeline,
    source_prompts: Sequence[str],
    edited_prompts: Sequence[str],
    source_of: Sequence[int],
    options: EditOptions,
) -> EditPlan:
    """The alignments of a batch of edits as tensors, and the steps that use them.

    Of n steps, cross-attention is swapped in the first int(cross_replace_steps * (n + 1)) and
    self-attention in the first int(self_replace_steps * n), as in prompt-to-prompt's code.
    """
    num_steps = options.num_inference_steps
    num_cross_steps = min(num_steps, int(options.cross_replace_steps * (num_steps + 1)))
    num_self_steps = int(options.self_replace_steps * num_steps)
    sources = [pipeline.layout(prompt) for prompt in source_prompts]
    edits = [pipeline.layout(prompt) for prompt in edited_prompts]
    # The same padding as `encode_prompts` applies to all of these prompts together.
    num_windows = max(layout.num_windows for layout in (*sources, *edits))
    mappings, alphas, fractions, changes = [], [], [], []
    for layout, owner in zip(edits, source_of, strict=True):
        source, edited = sources[owner].padded(num_windows), layout.padded(num_windows)
        mapping, alpha = align_layouts(options.alignment, source, edited)
        mappings.append(mapping * alpha)
        alphas.append(alpha)
        fractions.append(
            float(alpha[layout.token_positions()].mean()) * num_cross_steps / num_steps
        )
        changes.append(source.words != edited.words)
    return EditPlan(
        source_of=torch.tensor(list(source_of), dtype=torch.int64, device=pipeline.device),
        moved=torch.stack(mappings).to(pipeline.device),
        kept=(1.0 - torch.stack(alphas)).to(pipeline.device),
        cross_swapped=np.array(fractions),
        num_cross_steps=num_cross_steps,
        num_self_steps=num_self_steps,
        max_self_positions=options.self_max_positions,
        changes=torch.tensor(changes, device=pipeline.device),
    )
