"""Prompt-to-prompt edits of images: the source and the edit denoised together, maps swapped.

Arrays in, arrays out; pairs are the edit stage's. What is swapped is `control.py`'s, how the source
moves is `source.py`'s, and what a swap computes is `attention.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pairaug.diffusion.attention import Swap, swapping
from pairaug.diffusion.control import Control, EditOptions, make_control
from pairaug.diffusion.ddim import guided
from pairaug.diffusion.inversion import Inversion, invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.region import Region, RegionKind
from pairaug.diffusion.result import EditedImages
from pairaug.diffusion.sampling import initial_latents
from pairaug.diffusion.schedule import Solver, ddim_solver, make_solver
from pairaug.diffusion.source import RecordedSource, RegeneratedSource, Source
from pairaug.diffusion.text import Conditioning
from pairaug.diffusion.windows import batches_by

Latents = Float[Tensor, "batch channel height width"]
Images = Float[np.ndarray, "image row column"]


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one batch: one row per source, per edit, and what guidance starts from.

    `base` has one row per edit, and `source_base` one per source; both None without guidance.
    """

    source: Conditioning
    edited: Conditioning
    base: Conditioning | None
    source_base: Conditioning | None


def edit_images(
    pipeline: Pipeline,
    images: Images,
    source_prompts: Sequence[str],
    edited_prompts: Sequence[str],
    options: EditOptions,
    source_of: Sequence[int] | None = None,
    batch_size: int = 8,
    seeds: Sequence[int | None] | None = None,
) -> tuple[EditedImages, Float[np.ndarray, " source"]]:
    """Real images edited from their reports to others, and the inversion error of each image.

    Edit i changes image `source_of[i]` (by default image i) from its report to `edited_prompts[i]`.
    Images are at the model's size, and each is inverted once. `batch_size` counts edits; `seeds`
    are as for `edit_inverted`.
    """
    own_seeds = [None] * len(edited_prompts) if seeds is None else seeds
    owners = list(range(len(edited_prompts))) if source_of is None else list(source_of)
    order: list[int] = []
    parts: list[EditedImages] = []
    errors = np.zeros(len(images))
    for rows in _groups_of_images(owners, len(images), batch_size):
        prompts = [source_prompts[row] for row in rows]
        inversion = invert_images(pipeline, images[rows], prompts, options.num_steps)
        errors[rows] = inversion.errors
        edits = [edit for edit, owner in enumerate(owners) if owner in rows]
        for start in range(0, len(edits), batch_size):
            batch = edits[start : start + batch_size]
            texts = [edited_prompts[edit] for edit in batch]
            places = [rows.index(owners[edit]) for edit in batch]
            varied = [own_seeds[edit] for edit in batch]
            parts.append(edit_inverted(pipeline, inversion, texts, options, places, varied))
            order += batch
    return EditedImages.joined(parts, order), errors


def edit_regenerated(
    pipeline: Pipeline,
    source_prompts: Sequence[str],
    edited_prompts: Sequence[str],
    seeds: Sequence[int],
    options: EditOptions,
    batch_size: int = 8,
) -> EditedImages:
    """The paper's edits: source and edit generated together, from one noise per seed.

    No image comes in, so nothing but the two reports and the swapped maps ties the two together.
    """
    if options.guidance_from != "empty":
        raise ValueError("a source that is generated along is guided from the empty text")
    parts: list[EditedImages] = []
    batches = list(batches_by(_num_windows(pipeline, source_prompts, edited_prompts), batch_size))
    for rows in batches:
        own_seeds = [seeds[row] for row in rows]
        noise, generators = initial_latents(pipeline, own_seeds)
        # Solvers and generators of their own: the source's rows leave the batch before the edit's.
        twins = initial_latents(pipeline, own_seeds)[1]
        config, name, num_steps = pipeline.scheduler_config, options.scheduler, options.num_steps
        solver = make_solver(config, name, num_steps, generators)
        latents = noise * solver.initial_scale
        source = RegeneratedSource(
            latents, make_solver(config, name, num_steps, twins), runs_to_end=options.blends
        )
        sources = [source_prompts[row] for row in rows]
        texts = [edited_prompts[row] for row in rows]
        parts.append(
            _edited(pipeline, source, latents, solver, sources, texts, range(len(sources)), options)
        )
    return EditedImages.joined(parts, [row for rows in batches for row in rows])


def edit_inverted(
    pipeline: Pipeline,
    inversion: Inversion,
    edited_prompts: Sequence[str],
    options: EditOptions,
    source_of: Sequence[int],
    seeds: Sequence[int | None] | None = None,
) -> EditedImages:
    """One batch of edits of inverted images; edit i changes image `source_of[i]`. Always by DDIM.

    An edit starts from its image's noisiest latents z. One that has a seed starts from a variation,
    with e standard normal and v `options.variation`, of the same variance:

        z' = sqrt(1 - v) * z + sqrt(v) * e

    Edits whose texts take different numbers of windows are made one group after the other.
    """
    own_seeds = [None] * len(edited_prompts) if seeds is None else list(seeds)
    if options.scheduler not in ("folder", "ddim"):
        raise ValueError(f"an inverted image is edited by ddim, not by {options.scheduler}")
    prompts_of = [inversion.prompts[owner] for owner in source_of]
    counts = _num_windows(pipeline, prompts_of, edited_prompts)
    if len(set(counts)) > 1:
        groups = list(batches_by(counts, len(counts)))
        parts = [
            edit_inverted(
                pipeline,
                inversion,
                [edited_prompts[row] for row in rows],
                options,
                [source_of[row] for row in rows],
                [own_seeds[row] for row in rows],
            )
            for rows in groups
        ]
        return EditedImages.joined(parts, [row for rows in groups for row in rows])
    used = sorted(set(source_of))
    if len(used) < len(inversion.prompts):
        inversion = inversion.subset(used)
    owners = [used.index(row) for row in source_of]
    solver = ddim_solver(pipeline.scheduler_config, options.num_steps)
    is_guided = options.drift and options.guidance_from == "empty"
    source = RecordedSource(inversion.trajectory, solver, options.drift, is_guided)
    start = _varied(pipeline, inversion.trajectory[0][owners], own_seeds, options.variation)
    return _edited(
        pipeline, source, start, solver, inversion.prompts, edited_prompts, owners, options
    )


def _varied(
    pipeline: Pipeline, latents: Latents, seeds: Sequence[int | None], variation: float
) -> Latents:
    """`latents` with fresh noise mixed into the rows that have a seed."""
    rows = [row for row, seed in enumerate(seeds) if seed is not None]
    if not rows:
        return latents
    noise, _ = initial_latents(pipeline, [seed for seed in seeds if seed is not None])
    varied = latents.clone()
    varied[rows] = (1 - variation) ** 0.5 * latents[rows] + variation**0.5 * noise
    return varied


class _Predictions(NamedTuple):
    """What the denoiser says at one step, with guidance applied."""

    source: Float[Tensor, "source channel height width"]
    edited: Float[Tensor, "edit channel height width"]
    relevance: Float[Tensor, "edit 1 height width"] | None
    """How much each position is about the change, if that was asked for: see `region.Region`."""


@dataclass(frozen=True, slots=True)
class _Guide:
    """The denoiser under the texts of one batch, with guidance applied."""

    pipeline: Pipeline
    texts: Texts
    control: Control
    guidance_scale: float

    def alone(self, latents: Latents, timestep: Tensor) -> Latents:
        """The prediction for edits whose source has left the batch."""
        text, base = self.texts.edited, self.texts.base
        if base is None:
            return self.pipeline.predict(latents, timestep, text)
        rows = self.pipeline.predict(
            latents.repeat(2, 1, 1, 1), timestep, Conditioning.cat([text, base])
        )
        conditional, unconditional = rows.chunk(2)
        return guided(unconditional, conditional, self.guidance_scale)

    def together(
        self,
        of_source: Float[Tensor, "source channel height width"],
        of_edited: Float[Tensor, "edit channel height width"],
        timestep: Tensor,
        swap: Swap | None,
        guides_source: bool,
        asks: RegionKind | None,
    ) -> _Predictions:
        """The predictions for the sources and for their edits, from one call of the denoiser.

        Rows: edits, sources, then what each edit is guided from, and each source if it is; to find
        a region by difference also the source of each edit under that edit's report.
        """
        texts, source_of = self.texts, self.control.source_of
        rows, text = [of_edited, of_source], [texts.edited, texts.source]
        if texts.base is not None:
            rows.append(of_edited)
            text.append(texts.base)
        if guides_source and texts.source_base is not None:
            rows.append(of_source)
            text.append(texts.source_base)
        if asks == "difference":
            rows.append(of_source[source_of])
            text.append(texts.edited)
        watch = self.control.watch(of_edited) if asks == "attention" else None
        outputs = self.pipeline.predict(
            torch.cat(rows), timestep, Conditioning.cat(text), swap, watch
        )
        edited, source, *others = outputs.split([len(part) for part in rows])
        relevance = None if watch is None else watch.total.unflatten(0, (2, -1)).sum(dim=0)
        if asks == "difference":
            difference = (others.pop() - source[source_of]).abs().mean(dim=1, keepdim=True)
            # Equal reports in different rows of a batch differ by rounding, which a region, knowing
            # no scale, would take for a change.
            relevance = difference * self.control.changes[:, None, None, None]
        if others:
            edited = guided(others[0], edited, self.guidance_scale)
        if len(others) > 1:
            source = guided(others[1], source, self.guidance_scale)
        return _Predictions(source, edited, relevance)


@torch.inference_mode()
def edit_latents(
    pipeline: Pipeline,
    source: Source,
    latents: Latents,
    solver: Solver,
    texts: Texts,
    control: Control,
    guidance_scale: float,
    region: Region | None = None,
) -> Latents:
    """Edited latents at the clean end, from `latents` at the noisy one, one row per edit.

    Only the edit's conditional rows take the source's maps. Once no step needs them, the source's
    rows leave the batch. With `region` the edit keeps the source outside of it.
    """
    guide = _Guide(pipeline, texts, control, guidance_scale)
    with swapping(pipeline.denoiser):
        for step_index, timestep in enumerate(solver.timesteps):
            swap = control.at(step_index)
            of_edited = solver.scaled(latents, step_index)
            asks = None if region is None else region.asks(step_index)
            if swap is None and asks is None and not source.runs_to_end:
                latents = solver.step(guide.alone(of_edited, timestep), step_index, latents)
            else:
                predictions = guide.together(
                    source.model_input(step_index),
                    of_edited,
                    timestep,
                    swap,
                    source.is_guided,
                    asks,
                )
                if region is not None and predictions.relevance is not None:
                    region.watch(predictions.relevance)
                drift = source.advance(predictions.source, step_index)
                latents = solver.step(predictions.edited, step_index, latents)
                if drift is not None:
                    latents = latents + drift[control.source_of]
            if region is not None:
                held_on = source.latents_at(step_index + 1)[control.source_of]
                latents = region.hold(latents, held_on, step_index)
    return latents


def _edited(
    pipeline: Pipeline,
    source: Source,
    latents: Latents,
    solver: Solver,
    source_prompts: Sequence[str],
    edited_prompts: Sequence[str],
    source_of: Sequence[int],
    options: EditOptions,
) -> EditedImages:
    texts = _texts(pipeline, source_prompts, edited_prompts, source_of, options)
    control = make_control(pipeline, source_prompts, edited_prompts, source_of, options)
    region = (
        Region(options.num_steps, options.blend_threshold, options.blend_by)
        if options.blends
        else None
    )
    scale = options.guidance_scale
    latents = edit_latents(pipeline, source, latents, solver, texts, control, scale, region)
    everywhere = torch.ones_like(latents[:, 0])
    mask = everywhere if region is None else region.mask()[:, 0]
    relevance = 0 * everywhere if region is None else region.relevance()[:, 0]
    return EditedImages(
        pipeline,
        latents,
        control.cross_swapped,
        control.num_self_steps / options.num_steps,
        mask.float().numpy(force=True),
        relevance.float().numpy(force=True),
    )


def _texts(
    pipeline: Pipeline,
    source_prompts: Sequence[str],
    edited_prompts: Sequence[str],
    source_of: Sequence[int],
    options: EditOptions,
) -> Texts:
    num_sources, num_edits = len(source_prompts), len(edited_prompts)
    states = pipeline.encode_prompts([*source_prompts, *edited_prompts, ""])
    source, edited, empty = states.split([num_sources, num_edits, 1])
    if options.guidance_scale == 1.0:
        return Texts(source, edited, None, None)
    if options.guidance_from == "source-report":
        return Texts(source, edited, source[list(source_of)], None)
    return Texts(source, edited, empty.expand(num_edits), empty.expand(num_sources))


def _num_windows(
    pipeline: Pipeline, source_prompts: Sequence[str], edited_prompts: Sequence[str]
) -> list[int]:
    """The windows of text that each edit takes: its two sides have the same number."""
    return [
        max(pipeline.layout(prompt).num_windows for prompt in sides)
        for sides in zip(source_prompts, edited_prompts, strict=True)
    ]


def _groups_of_images(
    source_of: Sequence[int], num_images: int, batch_size: int
) -> Iterator[list[int]]:
    """Images, in order, in groups that together have at most `batch_size` edits, or are one image."""
    group: list[int] = []
    num_edits = 0
    for image in range(num_images):
        own = sum(owner == image for owner in source_of)
        if group and num_edits + own > batch_size:
            yield group
            group, num_edits = [], 0
        group.append(image)
        num_edits += own
    if group:
        yield group
