"""Images generated from prompts: initial latents by seed, guidance, the loop over noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pairaug.diffusion.ddim import classifier_free_guidance
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.schedule import SchedulerName, Solver, make_solver
from pairaug.diffusion.text import Conditioning
from pairaug.diffusion.windows import batches_by

Latents = Float[Tensor, "batch channel height width"]


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """The options of generation. `guidance_scale` 1 turns guidance off and takes half the time."""

    num_inference_steps: int = 50
    guidance_scale: float = 4.0
    scheduler: SchedulerName = "default"


def generate_images(
    pipeline: Pipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 8,
) -> Float[np.ndarray, "image row column"]:
    """One image per prompt, in [0, 1] at the model's size, NaN where the model gave NaN.

    An image depends on its prompt and its seed; the other images of its batch change it only by
    rounding. Prompts with different numbers of windows are generated in separate batches.
    """
    if not prompts:
        return np.zeros((0, pipeline.image_size, pipeline.image_size), dtype=np.float32)
    return pipeline.decode_latents(sample_latents(pipeline, prompts, seeds, options, batch_size))


@torch.inference_mode()
def sample_latents(
    pipeline: Pipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 8,
) -> Latents:
    """The latents of `generate_images`, one row per prompt, at the clean end."""
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts, but {len(seeds)} seeds")
    latents = torch.zeros((len(prompts), *pipeline.latent_shape()), device=pipeline.device)
    counts = [pipeline.layout(prompt).num_windows for prompt in prompts]
    for rows in batches_by(counts, batch_size):
        own = [prompts[row] for row in rows]
        latents[rows] = _generated(pipeline, own, [seeds[row] for row in rows], options)
    return latents


def _generated(
    pipeline: Pipeline, prompts: Sequence[str], seeds: Sequence[int], options: SamplingOptions
) -> Latents:
    latents, generators = initial_latents(pipeline, seeds)
    solver = make_solver(
        pipeline.scheduler_config, options.scheduler, options.num_inference_steps, generators
    )
    is_guided = options.guidance_scale != 1.0
    texts = [*prompts, *([""] * len(prompts) if is_guided else [])]
    return denoise(
        pipeline, latents, pipeline.encode_prompts(texts), solver, options.guidance_scale
    )


def initial_latents(
    pipeline: Pipeline, seeds: Sequence[int]
) -> tuple[Latents, list[torch.Generator]]:
    """Standard normal latents, one row per seed, and the generators that sampled them.

    Sampled on the CPU in float32, so that the same seed gives the same latents on any device.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = pipeline.latent_shape()
    rows = [torch.randn(shape, generator=generator) for generator in generators]
    return torch.stack(rows).to(pipeline.device), generators


@torch.inference_mode()
def denoise(
    pipeline: Pipeline, latents: Latents, text: Conditioning, solver: Solver, guidance_scale: float
) -> Latents:
    """Standard normal `latents` denoised to the clean end.

    `text` holds the conditional rows, followed by the rows for the empty text unless
    `guidance_scale` is 1.
    """
    latents = latents * solver.initial_scale
    num_copies = len(text) // len(latents)
    for step_index, timestep in enumerate(solver.timesteps):
        rows = solver.scaled(latents, step_index).repeat(num_copies, 1, 1, 1)
        predictions = pipeline.predict(rows, timestep, text).chunk(num_copies)
        prediction = (
            predictions[0]
            if num_copies == 1
            else classifier_free_guidance(predictions[1], predictions[0], guidance_scale)
        )
        latents = solver.step(prediction, step_index, latents)
    return latents
