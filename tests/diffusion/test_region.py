"""The region that an edit may change: found on the source's latents, and kept to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pairaug.diffusion.alignment import unmatched
from pairaug.diffusion.attention import Watch, watch_attention
from pairaug.diffusion.control import EditOptions
from pairaug.diffusion.editing import EditedImages, edit_inverted, edit_regenerated
from pairaug.diffusion.inversion import invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.region import Region, region_mask
from support.edit_texts import EDITED, OPTIONS, SEEDS, SOURCE

# High: an untrained model makes some difference everywhere.
BLEND = replace(OPTIONS, alignment="blend", num_steps=6, blend_threshold=0.9)


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


def test_watched_steps_count_alike_whatever_their_scale():
    region = Region(num_steps=4, threshold=0.5)
    first, second = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    first[..., :4, :4] = 1e-4
    second[..., 12:, 12:] = 10.0
    region.watch(first)
    region.watch(second)
    mask = region.mask()
    torch.testing.assert_close(mask[0, 0, :4, :4], mask[0, 0, 12:, 12:])
    assert mask[0, 0, 8, 0] == 0


def test_nothing_is_held_before_the_region_is_known():
    region = Region(num_steps=4, threshold=0.5)
    latents, source = torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    assert region.hold(latents, source, 0) is latents
    region.watch(patch(16, 0, 4))
    held = region.hold(latents, source, 1)
    assert held[0, 0, 0, 0] == 1
    assert held[0, 0, 15, 15] == 0


def blended(pipeline: Pipeline, images: np.ndarray, edited: list[str], options: EditOptions):
    rows = len(images)
    inversion = invert_images(pipeline, images, SOURCE[:rows], options.num_steps)
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
def test_a_drawn_source_can_be_held_on_too(pipeline: Pipeline):
    edited = edit_regenerated(pipeline, SOURCE, EDITED, SEEDS, BLEND)
    same = edit_regenerated(pipeline, SOURCE, SOURCE, SEEDS, BLEND)
    moved = (edited.latents - same.latents).abs()
    half = moved.shape[-1] // 2
    assert moved[..., half:].amax() < 1e-5
    assert moved[..., :half].amax(dim=(1, 2, 3)).gt(1e-3).all()


def test_without_blend_all_of_the_image_may_change(pipeline: Pipeline, images: np.ndarray):
    whole = replace(BLEND, alignment="refine")
    inversion, edited = blended(pipeline, images, EDITED[: len(images)], whole)
    assert edited.changed_area.tolist() == [1.0] * len(images)
    assert (edited.latents != inversion.trajectory[-1]).float().mean() > 0.9


@pytest.mark.parametrize("drift", [True, False])
def test_an_equal_report_returns_the_source_at_any_guidance(
    velocity_bundle: Pipeline, images: np.ndarray, drift: bool
):
    options = replace(BLEND, guidance_scale=9.0, drift=drift)
    inversion, edited = blended(velocity_bundle, images, SOURCE[: len(images)], options)
    assert torch.equal(edited.latents, inversion.trajectory[-1])
    assert edited.changed_area.tolist() == [0.0] * len(images)


def test_rounding_between_rows_of_a_batch_is_no_change(
    velocity_bundle: Pipeline, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    """As on machines whose matrix products round otherwise from one row to the next."""
    inversion = invert_images(velocity_bundle, images, SOURCE[: len(images)], BLEND.num_steps)
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


def test_by_attention_words_that_only_one_report_has_decide(pipeline: Pipeline, images: np.ndarray):
    options = replace(BLEND, blend_by="attention", blend_threshold=0.2, drift=False)
    inversion, edited = blended(pipeline, images, EDITED[: len(images)], options)
    assert ((edited.changed_area > 0) & (edited.changed_area <= 1)).all()
    _, same = blended(pipeline, images, SOURCE[: len(images)], options)
    assert same.changed_area.tolist() == [0.0] * len(images)
    assert torch.equal(same.latents, inversion.trajectory[-1])


def test_watched_attention_equals_the_map_written_out():
    generator = torch.Generator().manual_seed(0)
    query = torch.randn((3, 2, 16, 4), generator=generator)
    key = torch.randn((3, 2, 5, 4), generator=generator)
    words = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    total = torch.full((2, 1, 4, 4), 0.5)
    watch = Watch(torch.tensor([2, 0]), words, total, max_positions=16)
    watch_attention(query, key, watch)
    for place, row in enumerate((2, 0)):
        maps = torch.softmax(query[row] @ key[row].transpose(1, 2) / 2.0, dim=-1)
        expected = (maps.mean(dim=0) @ words[place]).reshape(4, 4) + 0.5
        torch.testing.assert_close(total[place, 0], expected)
    watch_attention(query, key, watch._replace(max_positions=15))
    assert float(total.mean()) < 1.5  # a layer that is too large adds nothing


def test_words_without_a_counterpart_are_marked():
    removed, added = unmatched([1, 5, 6, 9], [1, 6, 7, 8, 9], window=7)
    assert removed.tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert added.tolist() == [0, 0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("num_steps", [1, 4, 10, 20])
def test_a_region_is_watched_in_the_first_steps_and_then_stays(num_steps: int) -> None:
    """Steps after the watched ones cost no further prediction and do not move the region."""
    region = Region(num_steps, 0.35)
    asked = [region.asks(step_index) for step_index in range(num_steps)]
    num_watched = asked.count("difference")
    assert asked == ["difference"] * num_watched + [None] * (num_steps - num_watched)
    assert 1 <= num_watched < max(2, num_steps)
    first = torch.zeros(1, 1, 8, 8)
    first[..., :4] = 1.0
    region.watch(first)
    before = region.mask()
    region.watch(first.flip(3))
    assert torch.equal(region.mask(), before)
