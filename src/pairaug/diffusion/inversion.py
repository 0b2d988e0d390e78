"""Latents that regenerate a real image: DDIM run backwards, with every noise level recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.sampling import denoise
from pairaug.diffusion.schedule import ddim_solver
from pairaug.diffusion.windows import batches_by

Images = Float[np.ndarray, "image row column"]


@dataclass(frozen=True, slots=True)
class Inversion:
    """Images as latents at every noise level, with the reports they were inverted under.

    `trajectory[0]` is the noisiest level and `trajectory[-1]` the VAE's latents of the images.
    `errors` is the mean absolute difference, on a scale of 0 to 1, between each image and its
    reconstruction from `trajectory[0]` by DDIM at guidance 1: the error of VAE and inversion.
    """

    trajectory: Float[Tensor, "level image channel height width"]
    prompts: tuple[str, ...]
    errors: Float[np.ndarray, " image"]

    def subset(self, rows: Sequence[int]) -> Inversion:
        """The inversion of some of the images, in the order of `rows`."""
        return Inversion(
            self.trajectory[:, list(rows)],
            tuple(self.prompts[row] for row in rows),
            self.errors[list(rows)],
        )


@torch.inference_mode()
def invert_images(
    pipeline: Pipeline,
    images: Images,
    prompts: Sequence[str],
    num_inference_steps: int,
    num_corrections: int = 0,
) -> Inversion:
    """The DDIM trajectory of one batch of images, each under its own report, at guidance 1.

    Images whose reports have different numbers of windows are inverted in separate groups.

    A step back to a noisier level needs the prediction at that level, which is not known yet; the
    cleaner latents are used instead. Each of `num_corrections` repeats the step with its own result
    in their place: a fixed-point iteration that takes one more prediction.
    """
    counts = [pipeline.layout(prompt).num_windows for prompt in prompts]
    groups = list(batches_by(counts, max(1, len(prompts))))
    parts = [
        _inverted(
            pipeline,
            images[rows],
            [prompts[row] for row in rows],
            num_inference_steps,
            num_corrections,
        )
        for rows in groups
    ]
    if len(parts) == 1:
        return parts[0]
    order = [row for rows in groups for row in rows]
    together = Inversion(
        torch.cat([part.trajectory for part in parts], dim=1),
        tuple(prompt for part in parts for prompt in part.prompts),
        np.concatenate([part.errors for part in parts]),
    )
    return together.subset(np.argsort(order).tolist())


def _inverted(
    pipeline: Pipeline,
    images: Images,
    prompts: Sequence[str],
    num_inference_steps: int,
    num_corrections: int,
) -> Inversion:
    solver = ddim_solver(pipeline.scheduler_config, num_inference_steps)
    text = pipeline.encode_prompts(prompts)
    latents = pipeline.encode_latents(images)
    levels = [latents]
    for step_index in reversed(range(num_inference_steps)):
        guess = latents
        for _ in range(1 + num_corrections):
            prediction = pipeline.predict(guess, solver.timesteps[step_index], text)
            guess = solver.step_back(prediction, step_index, guess, latents)
        latents = guess
        levels.append(latents)
    trajectory = torch.stack(levels[::-1])
    regenerated = pipeline.decode_latents(denoise(pipeline, trajectory[0], text, solver, 1.0))
    errors = np.abs(regenerated - images).mean(axis=(1, 2), dtype=np.float64)
    return Inversion(trajectory, tuple(prompts), errors)
