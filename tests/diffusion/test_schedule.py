"""DDIM against diffusers' own class, forwards and backwards, and the solvers by name."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from pairaug.diffusion.ddim import classifier_free_guidance, clean_and_noise, ddim_step
from pairaug.diffusion.schedule import (
    DdimSolver,
    SchedulerSolver,
    ddim_solver,
    make_solver,
    prediction_type_of,
)
from pairaug.errors import ModelError, SettingsError

TYPES = ("epsilon", "v_prediction")


def config(prediction_type: str = "epsilon", **changes: object) -> dict:
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        steps_offset=1,
        clip_sample=False,
        **changes,
    )
    return {**scheduler.config, "_class_name": "DDIMScheduler"}


def latents(seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("prediction_type", TYPES)
@pytest.mark.parametrize("set_alpha_to_one", [True, False])
def test_each_step_is_diffusers_ddim_step(prediction_type: str, set_alpha_to_one: bool) -> None:
    settings = config(prediction_type, set_alpha_to_one=set_alpha_to_one)
    scheduler = DDIMScheduler.from_config(settings)
    scheduler.set_timesteps(8)
    solver = ddim_solver(settings, 8)
    assert solver.timesteps.tolist() == scheduler.timesteps.tolist()
    for index, timestep in enumerate(scheduler.timesteps):
        prediction, current = latents(index), latents(100 + index)
        expected = scheduler.step(prediction, timestep, current).prev_sample
        assert torch.allclose(solver.step(prediction, index, current), expected, atol=1e-5)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_a_step_back_is_undone_by_the_step_where_the_guess_is_right(prediction_type: str) -> None:
    solver = ddim_solver(config(prediction_type), 6)
    noisy, prediction = latents(1), latents(2)
    for index in range(6):
        cleaner = solver.step(prediction, index, noisy)
        back = solver.step_back(prediction, index, noisy, cleaner)
        assert torch.allclose(back, noisy, atol=1e-4)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_the_right_prediction_recovers_the_clean_latents_and_the_noise(
    prediction_type: str,
) -> None:
    clean, noise, alpha_bar = latents(1), latents(2), torch.tensor(0.3)
    noisy = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
    velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * clean
    prediction = noise if prediction_type == "epsilon" else velocity
    found = clean_and_noise(noisy, prediction, alpha_bar, prediction_type)
    assert torch.allclose(found[0], clean, atol=1e-5)
    assert torch.allclose(found[1], noise, atol=1e-5)
    level = torch.tensor(0.8)
    stepped = ddim_step(noisy, prediction, alpha_bar, level, prediction_type)
    assert torch.allclose(stepped, level.sqrt() * clean + (1 - level).sqrt() * noise, atol=1e-5)


def test_velocity_needs_no_signal_at_the_noisiest_level() -> None:
    solver = ddim_solver(
        config("v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"), 4
    )
    assert float(solver.levels.alpha_bar[0]) == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(solver.step(latents(0), 0, latents(1))).all()


def test_guidance_is_linear_between_and_beyond_its_two_predictions() -> None:
    base, conditional = latents(0), latents(1)
    assert torch.allclose(classifier_free_guidance(base, conditional, 1.0), conditional, atol=1e-6)
    assert torch.equal(classifier_free_guidance(base, conditional, 0.0), base)
    assert torch.allclose(
        classifier_free_guidance(base, conditional, 3.0), 3 * conditional - 2 * base, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("dpm++2m", "DPMSolverMultistepScheduler"),
        ("unipc", "UniPCMultistepScheduler"),
        ("pndm", "PNDMScheduler"),
    ],
)
def test_solvers_by_name_are_diffusers_classes_with_the_models_schedule(
    name: str, class_name: str
) -> None:
    solver = make_solver(config("v_prediction"), name, 5, [])
    assert isinstance(solver, SchedulerSolver)
    assert type(solver._scheduler).__name__ == class_name
    assert solver._scheduler.config.prediction_type == "v_prediction"
    assert solver._scheduler.config.beta_end == 0.012


def test_the_folders_scheduler_is_the_default_and_is_never_clipped() -> None:
    """Latents beyond 1 survive: diffusers clips them by default in some classes."""
    ancestral = {
        **config(), "_class_name": "DDPMScheduler", "clip_sample": True, "thresholding": True
    }  # fmt: skip
    # Not in a saved file; it would have diffusers take its default in place of ours.
    ancestral.pop("_use_default_values")
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    solver = make_solver(ancestral, "default", 5, generators)
    assert isinstance(solver, SchedulerSolver)
    assert not solver._scheduler.config.clip_sample
    assert not solver._scheduler.config.thresholding
    far = torch.full((2, 4, 8, 8), 5.0)
    cleaner = solver.step(torch.zeros_like(far), 4, far)
    assert float(cleaner.min()) > 4.0
    assert isinstance(make_solver(config(), "default", 5, []), DdimSolver)


def test_noise_added_on_the_way_is_each_rows_own() -> None:
    settings = {**config(), "_class_name": "DDPMScheduler"}

    def stepped(seeds: list[int]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        solver = make_solver(settings, "default", 5, generators)
        rows = torch.zeros(len(seeds), 4, 8, 8)
        return solver.step(rows, 0, rows)

    together, alone = stepped([1, 2]), stepped([2])
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(ModelError, match="prediction_type is sample; PairAug knows epsilon"):
        prediction_type_of({"prediction_type": "sample"})
    with pytest.raises(SettingsError, match="between 1 and 1000 for this model, got 1001"):
        ddim_solver(config(), 1001)
    with pytest.raises(ModelError, match="a MadeUpScheduler, which PairAug does not follow"):
        make_solver({**config(), "_class_name": "MadeUpScheduler"}, "default", 5, [])
