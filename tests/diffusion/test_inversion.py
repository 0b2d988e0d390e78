"""Inverting images: the recorded trajectory, its error, and what corrections do to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pairaug.diffusion.inversion import invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.sampling import denoise
from pairaug.diffusion.schedule import ddim_solver

PROMPTS = ["normal heart size", "large right nodule", "no edema"]


def test_the_trajectory_ends_at_the_vaes_latents_and_begins_at_noise(
    pipeline: Pipeline, images: np.ndarray
) -> None:
    inversion = invert_images(pipeline, images[:3], PROMPTS, 6)
    assert inversion.trajectory.shape == (7, 3, 4, 8, 8)
    assert torch.equal(inversion.trajectory[-1], pipeline.encode_latents(images[:3]))
    assert float((inversion.trajectory[0] - inversion.trajectory[-1]).abs().mean()) > 0.01


def test_more_corrections_bring_plain_ddim_closer_to_the_image(
    pipeline: Pipeline, images: np.ndarray
) -> None:
    """A fixed-point iteration: at the fixed point, denoising retraces the trajectory."""
    solver = ddim_solver(pipeline.scheduler_config, 3)
    text = pipeline.encode_prompts(PROMPTS)
    misses = []
    for num_corrections in (0, 2, 8):
        inversion = invert_images(pipeline, images[:3], PROMPTS, 3, num_corrections)
        back = denoise(pipeline, inversion.trajectory[0], text, solver, 1.0)
        misses.append(float((back - inversion.trajectory[-1]).abs().mean()))
    assert misses[0] > misses[1] > misses[2]
    assert misses[2] < 1e-3


def test_the_error_is_what_the_regenerated_image_misses(
    pipeline: Pipeline, images: np.ndarray
) -> None:
    inversion = invert_images(pipeline, images[:3], PROMPTS, 4)
    solver, text = ddim_solver(pipeline.scheduler_config, 4), pipeline.encode_prompts(PROMPTS)
    regenerated = pipeline.decode_latents(
        denoise(pipeline, inversion.trajectory[0], text, solver, 1.0)
    )
    expected = np.abs(regenerated - images[:3]).mean(axis=(1, 2))
    assert inversion.errors == pytest.approx(expected, abs=1e-6)
    assert (inversion.errors > 0).all()


def test_batch_mates_change_a_trajectory_by_no_more_than_float_noise(
    velocity_bundle: Pipeline, images: np.ndarray
) -> None:
    together = invert_images(velocity_bundle, images[:3], PROMPTS, 4)
    alone = invert_images(velocity_bundle, images[1:2], PROMPTS[1:2], 4)
    assert torch.allclose(together.trajectory[:, 1:2], alone.trajectory, atol=1e-5)
    subset = together.subset([2, 1])
    assert torch.equal(subset.trajectory[:, 1], together.trajectory[:, 1])
    assert subset.prompts == ("no edema", "large right nodule")
    assert subset.errors[0] == together.errors[2]


@pytest.mark.parametrize("num_corrections", [0, 1, 2])
def test_each_step_back_takes_one_prediction_and_one_for_each_correction(
    velocity_bundle: Pipeline,
    images: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    num_corrections: int,
) -> None:
    counted = 0
    predict = Pipeline.predict

    def counting(self: Pipeline, *arguments: object) -> torch.Tensor:
        nonlocal counted
        counted += 1
        return predict(self, *arguments)

    monkeypatch.setattr(Pipeline, "predict", counting)
    invert_images(velocity_bundle, images[:3], PROMPTS, 4, num_corrections)
    # Four steps back, and four forward again for the error.
    assert counted == 4 * (1 + num_corrections) + 4
