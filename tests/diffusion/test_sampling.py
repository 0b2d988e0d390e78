"""Generating images: seeds, guidance and batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.sampling import (
    SamplingOptions,
    denoise,
    generate_images,
    initial_latents,
    sample_latents,
)
from pairaug.diffusion.schedule import make_solver

PROMPTS = ["normal heart size", "large right nodule", "no edema", "the lungs are clear"]
SEEDS = [5, 6, 7, 8]
SCHEDULERS = ["default", "dpm++2m", "unipc", "pndm"]


def test_initial_latents_hang_on_their_seed_alone(velocity_bundle: Pipeline) -> None:
    together, _ = initial_latents(velocity_bundle, SEEDS)
    alone, _ = initial_latents(velocity_bundle, [7])
    assert torch.equal(together[2], alone[0])
    assert len({row.sum().item() for row in together}) == 4
    assert float(together.std()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_batch_mates_and_order_change_a_image_by_no_more_than_float_noise(
    velocity_bundle: Pipeline, scheduler: str
) -> None:
    options = SamplingOptions(4, 3.0, scheduler)
    together = generate_images(velocity_bundle, PROMPTS, SEEDS, options, batch_size=4)
    order = [2, 0, 3, 1]
    shuffled = generate_images(
        velocity_bundle,
        [PROMPTS[row] for row in order],
        [SEEDS[row] for row in order],
        options,
        batch_size=3,
    )
    assert together.shape == (4, 16, 16)
    assert np.abs(together[order] - shuffled).max() <= 1e-5
    assert np.abs(together[0] - together[1]).mean() > 1e-2


def test_the_same_seed_gives_the_same_image(velocity_bundle: Pipeline) -> None:
    options = SamplingOptions(4, 3.0)
    once = generate_images(velocity_bundle, PROMPTS, SEEDS, options)
    assert np.array_equal(once, generate_images(velocity_bundle, PROMPTS, SEEDS, options))
    other = generate_images(velocity_bundle, PROMPTS, [seed + 1 for seed in SEEDS], options)
    assert np.abs(once - other).mean() > 1e-2


def test_guidance_is_applied_to_the_prediction(pipeline: Pipeline) -> None:
    """One guided DDIM step, worked out from the denoiser's two predictions."""
    latents, _ = initial_latents(pipeline, SEEDS[:2])
    text = pipeline.encode_prompts([*PROMPTS[:2], "", ""])
    actual = sample_latents(pipeline, PROMPTS[:2], SEEDS[:2], SamplingOptions(1, 3.0, "ddim"))
    from pairaug.diffusion.schedule import ddim_solver

    solver = ddim_solver(pipeline.scheduler_config, 1)
    with torch.inference_mode():
        conditional = pipeline.predict(latents, solver.timesteps[0], text[:2])
        empty = pipeline.predict(latents, solver.timesteps[0], text[2:])
    expected = solver.step(empty + 3.0 * (conditional - empty), 0, latents)
    assert float((actual - expected).abs().max()) <= 1e-5


def test_guidance_one_draws_without_the_empty_text(
    velocity_bundle: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    predict = Pipeline.predict

    def counted(self: Pipeline, latents: torch.Tensor, *rest: object) -> torch.Tensor:
        rows.append(len(latents))
        return predict(self, latents, *rest)

    monkeypatch.setattr(Pipeline, "predict", counted)
    sample_latents(velocity_bundle, PROMPTS, SEEDS, SamplingOptions(2, 1.0))
    sample_latents(velocity_bundle, PROMPTS, SEEDS, SamplingOptions(2, 2.0))
    assert rows == [4, 4, 8, 8]


def test_prompts_and_seeds_belong_together(velocity_bundle: Pipeline) -> None:
    with pytest.raises(ValueError, match="4 prompts, but 1 seeds"):
        generate_images(velocity_bundle, PROMPTS, [1], SamplingOptions(2))


def test_nothing_to_draw_is_no_image(velocity_bundle: Pipeline) -> None:
    assert generate_images(velocity_bundle, [], [], SamplingOptions(2)).shape == (0, 16, 16)


def test_latents_begin_at_the_solvers_scale(velocity_bundle: Pipeline) -> None:
    """Euler's noise is not of unit variance: the first step sees it scaled, as diffusers does."""
    seen = []

    class Recording:
        timesteps = torch.tensor([7])
        initial_scale = 3.5

        def scaled(self, latents: torch.Tensor, step_index: int) -> torch.Tensor:
            return latents / 2

        def step(
            self, prediction: torch.Tensor, step_index: int, latents: torch.Tensor
        ) -> torch.Tensor:
            seen.append(latents)
            return latents

    noise = initial_latents(velocity_bundle, [5])[0]
    text = velocity_bundle.encode_prompts(["no edema"])
    denoise(velocity_bundle, noise, text, Recording(), 1.0)
    assert torch.equal(seen[0], 3.5 * noise)


def test_a_schedulers_own_scale_and_input_are_used() -> None:
    generators = [torch.Generator().manual_seed(1)]
    settings = {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear"}
    solver = make_solver(settings, "default", 4, generators)
    assert solver.initial_scale > 10
    latents = torch.ones(1, 4, 8, 8)
    expected = 1.0 / (solver.initial_scale**2) ** 0.5
    assert float(solver.scaled(latents, 0).mean()) == pytest.approx(expected, rel=0.02)
