"""Prompt-to-prompt edits: source and edit denoised together, with attention maps swapped.

Arrays in, arrays out. `edit_plan.py` decides what is swapped, `source.py` moves the source, and
`attention.py` computes the swap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pairaug.diffusion.attention import AttentionSwap, swapping
from pairaug.diffusion.ddim import classifier_free_guidance
from pairaug.diffusion.edit_plan import EditOptions, EditPlan, make_edit_plan
from pairaug.diffusion.inversion import Inversion, invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.region import Region
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
    """The texts of one batch: those of the sources, of the edits, and the negative prompts.

    `base` has a negative prompt for each edit and `source_base` one for each source. Both are None
    without guidance; `source_base` also is None if the source's report is the negative prompt.
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
    """Real images edited to other reports, and the inversion error of each image.

    Edit i changes image `source_of[i]` (by default image i) from its report to `edited_prompts[i]`.
    Images are at the model's size, and each is inverted once. `batch_size` counts edits; `seeds`
    are those of `edit_inverted`.
    """
    own_seeds = [None] * len(edited_prompts) if seeds is None else seeds
    owners = list(range(len(edited_prompts))) if source_of is None else list(source_of)
    order: list[int] = []
    parts: list[EditedImages] = []
    errors = np.zeros(len(images))
    for rows in _groups_of_images(owners, len(images), batch_size):
        prompts = [source_prompts[row] for row in rows]
        inversion = invert_images(pipeline, images[rows], prompts, options.num_inference_steps)
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

    No real image is used: the edit resembles its source only by the shared noise, the two reports
    and the swapped maps.
    """
    if options.negative_prompt != "empty":
        raise ValueError(
            f"negative_prompt is {options.negative_prompt!r}; a regenerated source takes 'empty'"
        )
    parts: list[EditedImages] = []
    batches = list(batches_by(_num_windows(pipeline, source_prompts, edited_prompts), batch_size))
    for rows in batches:
        own_seeds = [seeds[row] for row in rows]
        noise, generators = initial_latents(pipeline, own_seeds)
        # Separate solvers and generators: the source's rows leave the batch before the edit's.
        twins = initial_latents(pipeline, own_seeds)[1]
        config, name, num_inference_steps = (
            pipeline.scheduler_config,
            options.scheduler,
            options.num_inference_steps,
        )
        solver = make_solver(config, name, num_inference_steps, generators)
        latents = noise * solver.initial_scale
        source = RegeneratedSource(
            latents,
            make_solver(config, name, num_inference_steps, twins),
            runs_to_end=options.blends,
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

    An edit starts from its image's noisiest latents z. With a seed, it starts from z with noise e
    mixed in, e standard normal and s `options.noise_strength`, which keeps the variance:

        z' = sqrt(1 - s) * z + sqrt(s) * e

    Edits whose texts have different numbers of windows are made in separate groups.
    """
    own_seeds = [None] * len(edited_prompts) if seeds is None else list(seeds)
    if options.scheduler not in ("default", "ddim"):
        raise ValueError(f"scheduler is {options.scheduler!r}; inverted images are edited by ddim")
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
    solver = ddim_solver(pipeline.scheduler_config, options.num_inference_steps)
    # Only the drift correction uses the guided prediction for the source.
    is_guided = options.correct_drift and options.negative_prompt == "empty"
    source = RecordedSource(inversion.trajectory, solver, options.correct_drift, is_guided)
    start = _varied(pipeline, inversion.trajectory[0][owners], own_seeds, options.noise_strength)
    return _edited(
        pipeline, source, start, solver, inversion.prompts, edited_prompts, owners, options
    )


def _varied(
    pipeline: Pipeline, latents: Latents, seeds: Sequence[int | None], noise_strength: float
) -> Latents:
    """`latents` with new noise mixed into the rows that have a seed."""
    rows = [row for row, seed in enumerate(seeds) if seed is not None]
    if not rows:
        return latents
    noise, _ = initial_latents(pipeline, [seed for seed in seeds if seed is not None])
    varied = latents.clone()
    varied[rows] = (1 - noise_strength) ** 0.5 * latents[rows] + noise_strength**0.5 * noise
    return varied


class _Predictions(NamedTuple):
    """The denoiser's predictions at one step, with guidance applied."""

    source: Float[Tensor, "source channel height width"]
    edited: Float[Tensor, "edit channel height width"]
    differences: Float[Tensor, "edit 1 height width"] | None
    """Between the source's predictions under the two reports, for `region.Region`."""


@dataclass(frozen=True, slots=True)
class _Guide:
    """The denoiser under the texts of one batch, with guidance applied."""

    pipeline: Pipeline
    texts: Texts
    plan: EditPlan
    guidance_scale: float

    def alone(self, latents: Latents, timestep: Tensor) -> Latents:
        """The prediction for edits without their sources."""
        text, base = self.texts.edited, self.texts.base
        if base is None:
            return self.pipeline.predict(latents, timestep, text)
        rows = self.pipeline.predict(
            latents.repeat(2, 1, 1, 1), timestep, Conditioning.cat([text, base])
        )
        conditional, unconditional = rows.chunk(2)
        return classifier_free_guidance(unconditional, conditional, self.guidance_scale)

    def together(
        self,
        of_source: Float[Tensor, "source channel height width"],
        of_edited: Float[Tensor, "edit channel height width"],
        timestep: Tensor,
        swap: AttentionSwap | None,
        guides_source: bool,
        compares: bool,
    ) -> _Predictions:
        """The predictions for the sources and for their edits, from one call of the denoiser.

        Rows: edits, sources, the edits under the negative prompt, and the sources too if
        `guides_source`. With `compares` also the source of each edit under that edit's report.
        """
        texts, source_of = self.texts, self.plan.source_of
        rows, text = [of_edited, of_source], [texts.edited, texts.source]
        if texts.base is not None:
            rows.append(of_edited)
            text.append(texts.base)
        if guides_source and texts.source_base is not None:
            rows.append(of_source)
            text.append(texts.source_base)
        if compares:
            rows.append(of_source[source_of])
            text.append(texts.edited)
        outputs = self.pipeline.predict(torch.cat(rows), timestep, Conditioning.cat(text), swap)
        edited, source, *others = outputs.split([len(part) for part in rows])
        differences = None
        if compares:
            differences = (others.pop() - source[source_of]).abs().mean(dim=1, keepdim=True)
            # Equal reports in different rows of a batch differ by rounding. A region has no scale,
            # so it would take that for a change.
            differences = differences * self.plan.changes[:, None, None, None]
        if others:
            edited = classifier_free_guidance(others[0], edited, self.guidance_scale)
        if len(others) > 1:
            source = classifier_free_guidance(others[1], source, self.guidance_scale)
        return _Predictions(source, edited, differences)


@torch.inference_mode()
def edit_latents(
    pipeline: Pipeline,
    source: Source,
    latents: Latents,
    solver: Solver,
    texts: Texts,
    plan: EditPlan,
    guidance_scale: float,
    region: Region | None = None,
) -> Latents:
    """Edited latents at the clean end, from `latents` at the noisy end, one row per edit.

    Only the edit's conditional rows take the source's maps. The source's rows leave the batch once
    no later step needs them. With `region`, the edit keeps the source outside of it.
    """
    guide = _Guide(pipeline, texts, plan, guidance_scale)
    with swapping(pipeline.denoiser):
        for step_index, timestep in enumerate(solver.timesteps):
            swap = plan.at(step_index)
            of_edited = solver.scaled(latents, step_index)
            compares = region is not None and region.observes(step_index)
            if swap is None and not compares and not source.runs_to_end:
                latents = solver.step(guide.alone(of_edited, timestep), step_index, latents)
            else:
                predictions = guide.together(
                    source.model_input(step_index),
                    of_edited,
                    timestep,
                    swap,
                    source.is_guided,
                    compares,
                )
                if region is not None and predictions.differences is not None:
                    region.add(predictions.differences)
                drift = source.advance(predictions.source, step_index)
                latents = solver.step(predictions.edited, step_index, latents)
                if drift is not None:
                    latents = latents + drift[plan.source_of]
            if region is not None:
                held_on = source.latents_at(step_index + 1)[plan.source_of]
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
    plan = make_edit_plan(pipeline, source_prompts, edited_prompts, source_of, options)
    region = (
        Region(options.num_inference_steps, options.blend_threshold) if options.blends else None
    )
    scale = options.guidance_scale
    latents = edit_latents(pipeline, source, latents, solver, texts, plan, scale, region)
    mask = torch.ones_like(latents[:, 0]) if region is None else region.mask()[:, 0]
    return EditedImages(
        pipeline,
        latents,
        plan.cross_swapped,
        plan.num_self_steps / options.num_inference_steps,
        mask.float().numpy(force=True),
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
    if options.negative_prompt == "source":
        return Texts(source, edited, source[list(source_of)], None)
    return Texts(source, edited, empty.expand(num_edits), empty.expand(num_sources))


def _num_windows(
    pipeline: Pipeline, source_prompts: Sequence[str], edited_prompts: Sequence[str]
) -> list[int]:
    """The number of windows of each edit: that of the longer of its two texts."""
    return [
        max(pipeline.layout(prompt).num_windows for prompt in sides)
        for sides in zip(source_prompts, edited_prompts, strict=True)
    ]


def _groups_of_images(
    source_of: Sequence[int], num_images: int, batch_size: int
) -> Iterator[list[int]]:
    """Images, in order, in groups of at most `batch_size` edits, or of a single image."""
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
