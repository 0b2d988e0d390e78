"""The region that an edit may change: found on the source's latents, and kept to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pairaug.diffusion.edit_plan import EditOptions
from pairaug.diffusion.editing import EditedImages, edit_inverted, edit_regenerated
from pairaug.diffusion.inversion import invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.region import Region, region_mask
from support.edit_texts import EDITED, OPTIONS, SEEDS, SOURCE

# High: an untrained model makes some difference everywhere.
BLEND = replace(OPTIONS, local_blend="difference", num_inference_steps=6, blend_threshold=0.9)


def patch(side: int = 32, at: int = 8, size: int = 6) -> torch.Tensor:
    """Differences in one square only."""
    differences = torch.zeros(1, 1, side, side)
    differences[..., at : at + size, at : at + size] = 1.0
    return differences


def test_a_mask_is_one_at_the_difference_and_zero_away_from_it():
    mask = region_mask(patch(), 0.5)
    assert mask[0, 0, 9:13, 9:13].eq(1).all()
    assert mask[0, 0, 20:, :].eq(0).all()
    assert mask[0, 0, :, 20:].eq(0).all()


def test_a_mask_knows_no_scale():
    torch.testing.assert_close(region_mask(1e-6 * patch(), 0.5), region_mask(1e6 * patch(), 0.5))


def test_a_lower_threshold_lets_more_change():
    generator = torch.Generator().manual_seed(0)
    differences = torch.rand((1, 1, 16, 16), generator=generator)
    low, high = (region_mask(differences, threshold).mean() for threshold in (0.5, 0.9))
    assert low > high > 0


def test_no_difference_is_no_region():
    assert region_mask(torch.zeros(2, 1, 8, 8), 0.5).eq(0).all()


def test_observed_steps_count_alike_whatever_their_scale():
    region = Region(num_inference_steps=4, threshold=0.5)
    first, second = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    first[..., :4, :4] = 1e-4
    second[..., 12:, 12:] = 10.0
    region.add(first)
    region.add(second)
    mask = region.mask()
    torch.testing.assert_close(mask[0, 0, :4, :4], mask[0, 0, 12:, 12:])
    assert mask[0, 0, 8, 0] == 0


def test_nothing_is_held_before_the_region_is_known():
    region = Region(num_inference_steps=4, threshold=0.5)
    latents, source = torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    assert region.hold(latents, source, 0) is latents
    region.add(patch(16, 0, 4))
    held = region.hold(latents, source, 1)
    assert held[0, 0, 0, 0] == 1
    assert held[0, 0, 15, 15] == 0


def blended(pipeline: Pipeline, images: np.ndarray, edited: list[str], options: EditOptions):
    rows = len(images)
    inversion = invert_images(pipeline, images, SOURCE[:rows], options.num_inference_steps)
    return inversion, edit_inverted(pipeline, inversion, edited, options, range(rows))


@pytest.fixture
def left_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained model makes a difference everywhere: the region is given instead."""

    def mask(differences: torch.Tensor, threshold: float) -> torch.Tensor:
        half = torch.zeros_like(differences)
        half[..., : half.shape[-1] // 2] = differences.amax() > 0
        return half

    monkeypatch.setattr("pairaug.diffusion.region.region_mask", mask)


@pytest.mark.usefixtures("left_half")
def test_outside_of_the_region_the_image_is_the_sources(pipeline: Pipeline, images: np.ndarray):
    inversion, edited = blended(pipeline, images, EDITED[: len(images)], BLEND)
    moved = edited.latents - inversion.trajectory[-1]
    half = moved.shape[-1] // 2
    assert moved[..., half:].eq(0).all()
    assert moved[..., :half].abs().amax(dim=(1, 2, 3)).gt(1e-3).all()
    assert edited.changed_area.tolist() == [0.5] * len(images)


@pytest.mark.usefixtures("left_half")
def test_a_generated_source_is_kept_too(pipeline: Pipeline):
    edited = edit_regenerated(pipeline, SOURCE, EDITED, SEEDS, BLEND)
    same = edit_regenerated(pipeline, SOURCE, SOURCE, SEEDS, BLEND)
    moved = (edited.latents - same.latents).abs()
    half = moved.shape[-1] // 2
    assert moved[..., half:].amax() < 1e-5
    assert moved[..., :half].amax(dim=(1, 2, 3)).gt(1e-3).all()


def test_without_blend_all_of_the_image_may_change(pipeline: Pipeline, images: np.ndarray):
    whole = replace(BLEND, local_blend="none")
    inversion, edited = blended(pipeline, images, EDITED[: len(images)], whole)
    assert edited.changed_area.tolist() == [1.0] * len(images)
    assert (edited.latents != inversion.trajectory[-1]).float().mean() > 0.9


@pytest.mark.parametrize("correct_drift", [True, False])
def test_an_equal_report_returns_the_source_at_any_guidance(
    velocity_bundle: Pipeline, images: np.ndarray, correct_drift: bool
):
    options = replace(BLEND, guidance_scale=9.0, correct_drift=correct_drift)
    inversion, edited = blended(velocity_bundle, images, SOURCE[: len(images)], options)
    assert torch.equal(edited.latents, inversion.trajectory[-1])
    assert edited.changed_area.tolist() == [0.0] * len(images)


def test_rounding_between_rows_of_a_batch_is_no_change(
    velocity_bundle: Pipeline, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    """As on machines whose matrix products round otherwise from one row to the next."""
    inversion = invert_images(
        velocity_bundle, images, SOURCE[: len(images)], BLEND.num_inference_steps
    )
    exact = Pipeline.predict

    def rounded(*arguments: Any, **named: Any) -> torch.Tensor:
        rows = exact(*arguments, **named)
        return rows * (1 + 1e-6 * torch.arange(len(rows)).reshape(-1, 1, 1, 1))

    monkeypatch.setattr(Pipeline, "predict", rounded)
    edited = edit_inverted(
        velocity_bundle, inversion, SOURCE[: len(images)], BLEND, range(len(images))
    )
    assert torch.equal(edited.latents, inversion.trajectory[-1])
    assert edited.changed_area.tolist() == [0.0] * len(images)


def test_the_images_beside_it_do_not_change_an_edit(pipeline: Pipeline, images: np.ndarray):
    _, together = blended(pipeline, images, EDITED[: len(images)], BLEND)
    _, alone = blended(pipeline, images[:1], EDITED[:1], BLEND)
    assert isinstance(alone, EditedImages)
    torch.testing.assert_close(alone.latents, together.latents[:1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_inference_steps", [1, 4, 10, 20])
def test_a_region_is_found_in_the_first_steps_and_then_stays(num_inference_steps: int) -> None:
    """Later steps take no further prediction and do not move the region."""
    region = Region(num_inference_steps, 0.35)
    observed = [region.observes(step_index) for step_index in range(num_inference_steps)]
    num_observed = sum(observed)
    assert observed == [True] * num_observed + [False] * (num_inference_steps - num_observed)
    assert 1 <= num_observed < max(2, num_inference_steps)
    first = torch.zeros(1, 1, 8, 8)
    first[..., :4] = 1.0
    region.add(first)
    before = region.mask()
    region.add(first.flip(3))
    assert torch.equal(region.mask(), before)
