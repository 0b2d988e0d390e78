"""The fused, batched edit against explicit maps, and the facts that any edit must obey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pairaug.diffusion.alignment import align
from pairaug.diffusion.edit_plan import EditOptions
from pairaug.diffusion.editing import (
    EditedImages,
    edit_images,
    edit_inverted,
    edit_regenerated,
)
from pairaug.diffusion.inversion import invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.sampling import (
    SamplingOptions,
    denoise,
    initial_latents,
    sample_latents,
)
from pairaug.diffusion.schedule import ddim_solver
from pairaug.diffusion.source import RegeneratedSource
from support.edit_texts import EDITED, OPTIONS, SEEDS, SOURCE, assert_close
from support.explicit_maps import Controller, explicit_edit, refine_mapper


def expected_latents(
    pipeline: Pipeline, row: int, options: EditOptions, noise=None, trajectory=None
) -> torch.Tensor:
    source, edited = pipeline.token_ids(SOURCE[row]), pipeline.token_ids(EDITED[row])
    if options.alignment == "refine":
        mapper, alphas = refine_mapper(source, edited, pipeline.window)
    else:
        mapper, alphas = align("replace", source, edited, pipeline.window)
    controller = Controller(
        num_layers=len(pipeline.denoiser.attn_processors),
        mapper=mapper,
        alphas=alphas,
        num_cross_steps=int(options.cross_replace_steps * (options.num_inference_steps + 1)),
        num_self_steps=int(options.self_replace_steps * options.num_inference_steps),
        max_self_positions=options.self_max_positions,
    )
    latents = explicit_edit(
        pipeline,
        SOURCE[row],
        EDITED[row],
        controller,
        options.num_inference_steps,
        options.guidance_scale,
        noise=noise,
        trajectory=trajectory,
        correct_drift=options.correct_drift,
    )
    assert ("self" in controller.calls) == (options.self_replace_steps > 0)
    assert "cross" in controller.calls
    return latents


def edited_from(pipeline: Pipeline, images: np.ndarray, options: EditOptions) -> EditedImages:
    rows = len(images)
    inversion = invert_images(pipeline, images, SOURCE[:rows], options.num_inference_steps)
    return edit_inverted(pipeline, inversion, EDITED[:rows], options, range(rows))


@pytest.mark.parametrize("self_replace_steps", [0.0, 0.5])
@pytest.mark.parametrize("alignment", ["refine", "replace"])
def test_fused_edit_equals_explicit_maps_for_a_regenerated_source(
    pipeline: Pipeline, alignment: str, self_replace_steps: float
) -> None:
    """For seven different pairs in one batch, and for the first of them alone."""
    options = replace(OPTIONS, alignment=alignment, self_replace_steps=self_replace_steps)
    noise, _ = initial_latents(pipeline, SEEDS)
    expected = torch.stack(
        [expected_latents(pipeline, row, options, noise=noise[row]) for row in range(7)]
    )
    assert_close(edit_regenerated(pipeline, SOURCE, EDITED, SEEDS, options).latents, expected)
    alone = edit_regenerated(pipeline, SOURCE[:1], EDITED[:1], SEEDS[:1], options)
    assert_close(alone.latents, expected[:1])


@pytest.mark.parametrize(
    ("alignment", "self_replace_steps", "correct_drift"),
    [
        ("refine", 0.0, True),
        ("refine", 0.5, True),
        ("refine", 0.5, False),
        ("replace", 0.0, True),
        ("replace", 0.5, True),
    ],
)
def test_fused_edit_equals_explicit_maps_for_an_inverted_source(
    pipeline: Pipeline,
    images: np.ndarray,
    alignment: str,
    self_replace_steps: float,
    correct_drift: bool,
) -> None:
    options = replace(
        OPTIONS,
        alignment=alignment,
        self_replace_steps=self_replace_steps,
        correct_drift=correct_drift,
    )
    inversion = invert_images(pipeline, images, SOURCE, options.num_inference_steps)
    paths = inversion.trajectory.unbind(dim=1)
    expected = torch.stack(
        [expected_latents(pipeline, row, options, trajectory=paths[row]) for row in range(7)]
    )
    assert_close(edit_inverted(pipeline, inversion, EDITED, options, range(7)).latents, expected)
    alone = edit_inverted(pipeline, inversion, EDITED[3:4], options, [3])
    assert_close(alone.latents, expected[3:4])


@pytest.mark.parametrize("alignment", ["refine", "replace"])
def test_fused_edit_equals_explicit_maps_with_two_text_encoders(
    sdxl_bundle: Pipeline, images: np.ndarray, alignment: str
) -> None:
    """SDXL: each row, guidance's too, is told its own text's vector."""
    options, rows = replace(OPTIONS, alignment=alignment), [0, 1, 4]
    source, edited = [SOURCE[row] for row in rows], [EDITED[row] for row in rows]
    noise, _ = initial_latents(sdxl_bundle, SEEDS[:3])
    inversion = invert_images(sdxl_bundle, images[:3], source, options.num_inference_steps)
    generated = edit_regenerated(sdxl_bundle, source, edited, SEEDS[:3], options).latents
    held = edit_inverted(sdxl_bundle, inversion, edited, options, range(3)).latents
    for place, row in enumerate(rows):
        path = inversion.trajectory[:, place]
        assert_close(
            generated[place], expected_latents(sdxl_bundle, row, options, noise=noise[place])
        )
        assert_close(held[place], expected_latents(sdxl_bundle, row, options, trajectory=path))


def test_edit_to_the_same_report_returns_the_image_with_two_text_encoders(
    sdxl_bundle: Pipeline, images: np.ndarray
) -> None:
    edited, _ = edit_images(sdxl_bundle, images[:3], SOURCE[:3], SOURCE[:3], OPTIONS)
    round_trip = sdxl_bundle.decode_latents(sdxl_bundle.encode_latents(images[:3]))
    assert np.abs(edited.images - round_trip).max() <= 1e-4


def test_swapping_changes_the_image(velocity_bundle: Pipeline, images: np.ndarray) -> None:
    """Each kind of swap, on its own and in its size limit, has an effect that can be seen."""
    plain, images = replace(OPTIONS, cross_replace_steps=0.0, self_replace_steps=0.0), images[:3]
    without = edited_from(velocity_bundle, images, plain).images
    crossed = edited_from(velocity_bundle, images, replace(plain, cross_replace_steps=0.5)).images
    selfed = edited_from(velocity_bundle, images, replace(plain, self_replace_steps=0.5)).images
    wider = edited_from(
        velocity_bundle, images, replace(plain, self_replace_steps=0.5, self_max_positions=64)
    ).images
    narrower = edited_from(
        velocity_bundle, images, replace(plain, self_replace_steps=0.5, self_max_positions=15)
    ).images
    for changed, unchanged in ((crossed, without), (selfed, without), (wider, selfed)):
        assert np.abs(changed - unchanged).mean() > 1e-3
    assert np.array_equal(narrower, without)


def test_source_rows_that_stay_to_the_end_change_nothing(
    velocity_bundle: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    predict = Pipeline.predict

    def counted(self: Pipeline, latents: torch.Tensor, *rest, **named) -> torch.Tensor:
        counts.append(len(latents))
        return predict(self, latents, *rest, **named)

    monkeypatch.setattr(Pipeline, "predict", counted)
    dropped = edit_regenerated(velocity_bundle, SOURCE[:2], EDITED[:2], SEEDS[:2], OPTIONS)
    assert counts == [8, 8, 4, 4]  # two of four steps swap; then the sources are gone
    counts.clear()
    monkeypatch.setattr(
        "pairaug.diffusion.editing.RegeneratedSource",
        lambda latents, solver, **_: RegeneratedSource(latents, solver, runs_to_end=True),
    )
    kept = edit_regenerated(velocity_bundle, SOURCE[:2], EDITED[:2], SEEDS[:2], OPTIONS)
    assert counts == [8, 8, 8, 8]
    assert_close(dropped.latents, kept.latents)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++2m", "unipc", "pndm"])
def test_edit_to_the_same_report_returns_the_regenerated_source(
    velocity_bundle: Pipeline, scheduler: str
) -> None:
    options = replace(OPTIONS, scheduler=scheduler)
    edited = edit_regenerated(velocity_bundle, SOURCE, SOURCE, SEEDS, options)
    sampling = SamplingOptions(options.num_inference_steps, options.guidance_scale, scheduler)
    assert_close(edited.latents, sample_latents(velocity_bundle, SOURCE, SEEDS, sampling), 2e-5)


@pytest.mark.parametrize("negative_prompt", ["empty", "source"])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_edit_to_the_same_report_returns_the_inverted_image(
    pipeline: Pipeline, images: np.ndarray, guidance_scale: float, negative_prompt: str
) -> None:
    options = replace(OPTIONS, guidance_scale=guidance_scale, negative_prompt=negative_prompt)
    edited, errors = edit_images(pipeline, images[:3], SOURCE[:3], SOURCE[:3], options)
    round_trip = pipeline.decode_latents(pipeline.encode_latents(images[:3]))
    assert np.abs(edited.images - round_trip).max() <= 1e-4
    assert errors.shape == (3,)


def test_without_drift_guidance_leads_away_from_the_image(
    velocity_bundle: Pipeline, images: np.ndarray
) -> None:
    options = replace(OPTIONS, correct_drift=False)
    edited, _ = edit_images(velocity_bundle, images, SOURCE, SOURCE, options)
    round_trip = velocity_bundle.decode_latents(velocity_bundle.encode_latents(images))
    assert np.abs(edited.images - round_trip).mean() > 1e-3


def test_no_swap_is_free_sampling_from_the_same_noise(velocity_bundle: Pipeline) -> None:
    options = replace(OPTIONS, cross_replace_steps=0.0, self_replace_steps=0.0)
    edited = edit_regenerated(velocity_bundle, SOURCE, EDITED, SEEDS, options)
    sampling = SamplingOptions(options.num_inference_steps, options.guidance_scale, "ddim")
    assert_close(edited.latents, sample_latents(velocity_bundle, EDITED, SEEDS, sampling))
    assert edited.self_swapped == 0.0
    assert not edited.cross_swapped.any()


def test_guidance_one_is_the_conditional_prediction(
    velocity_bundle: Pipeline, images: np.ndarray
) -> None:
    """Both ways of guiding end there, and no row is spent on what guidance starts from."""
    options = replace(
        OPTIONS,
        guidance_scale=1.0,
        correct_drift=False,
        cross_replace_steps=0.0,
        self_replace_steps=0.0,
    )
    from_empty = edited_from(velocity_bundle, images, options).latents
    from_source = edited_from(
        velocity_bundle, images, replace(options, negative_prompt="source")
    ).latents
    inversion = invert_images(velocity_bundle, images, SOURCE, options.num_inference_steps)
    solver = ddim_solver(velocity_bundle.scheduler_config, options.num_inference_steps)
    text = velocity_bundle.encode_prompts(EDITED)
    conditional = denoise(velocity_bundle, inversion.trajectory[0], text, solver, 1.0)
    assert_close(from_empty, conditional)
    assert_close(from_source, conditional)


def test_guidance_from_the_source_report(velocity_bundle: Pipeline, images: np.ndarray) -> None:
    """eps(z, y) + g * (eps(z, y') - eps(z, y)), checked against a loop of its own."""
    options = replace(
        OPTIONS,
        negative_prompt="source",
        correct_drift=False,
        cross_replace_steps=0.0,
        self_replace_steps=0.0,
    )
    inversion = invert_images(velocity_bundle, images, SOURCE, options.num_inference_steps)
    solver = ddim_solver(velocity_bundle.scheduler_config, options.num_inference_steps)
    source, edited = velocity_bundle.encode_prompts(SOURCE), velocity_bundle.encode_prompts(EDITED)
    latents = inversion.trajectory[0]
    with torch.inference_mode():
        for index, timestep in enumerate(solver.timesteps):
            base = velocity_bundle.predict(latents, timestep, source)
            conditional = velocity_bundle.predict(latents, timestep, edited)
            output = base + options.guidance_scale * (conditional - base)
            latents = solver.step(output, index, latents)
    assert_close(edited_from(velocity_bundle, images, options).latents, latents)


@pytest.mark.parametrize("method", ["invert", "regenerate"])
def test_batch_mates_and_order_change_an_edit_by_no_more_than_float_noise(
    velocity_bundle: Pipeline, images: np.ndarray, method: str
) -> None:
    def edited(rows: list[int], batch_size: int) -> np.ndarray:
        before, after = [SOURCE[row] for row in rows], [EDITED[row] for row in rows]
        if method == "invert":
            return edit_images(
                velocity_bundle, images[rows], before, after, OPTIONS, batch_size=batch_size
            )[0].images
        seeds = [SEEDS[row] for row in rows]
        return edit_regenerated(velocity_bundle, before, after, seeds, OPTIONS, batch_size).images

    together = edited([0, 1, 2, 3, 4, 5, 6], 7)
    shuffled = edited([6, 2, 0, 4, 5, 1, 3], 3)
    assert np.abs(together[[6, 2, 0, 4, 5, 1, 3]] - shuffled).max() <= 1e-5
    assert np.array_equal(edited([3, 4], 2), edited([3, 4], 2))


def test_many_edits_of_one_image_share_its_inversion(
    velocity_bundle: Pipeline, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = [1, 0, 1, 1, 1]
    inverted = []

    def counted(pipeline: Pipeline, images: np.ndarray, *rest: object):
        inverted.append(len(images))
        return invert_images(velocity_bundle, images, *rest)

    monkeypatch.setattr("pairaug.diffusion.editing.invert_images", counted)
    edited, errors = edit_images(
        velocity_bundle, images[:2], SOURCE[:2], EDITED[:5], OPTIONS, source_of=owners, batch_size=3
    )
    assert sum(inverted) == 2
    assert errors.shape == (2,)
    for row, owner in enumerate(owners):
        alone, _ = edit_images(
            velocity_bundle, images[[owner]], [SOURCE[owner]], [EDITED[row]], OPTIONS
        )
        assert np.abs(alone.images[0] - edited.images[row]).max() <= 1e-5
        assert alone.cross_swapped[0] == edited.cross_swapped[row]


def test_fraction_of_swapped_attention_counts_tokens_and_steps(velocity_bundle: Pipeline) -> None:
    # One of the fourteen tokens is new, and two of the four steps are swapped.
    assert len(velocity_bundle.token_ids(EDITED[0])) == 14
    edited = edit_regenerated(velocity_bundle, SOURCE[:1], EDITED[:1], SEEDS[:1], OPTIONS)
    assert edited.cross_swapped[0] == pytest.approx(13 / 14 * 2 / 4)
    assert edited.self_swapped == pytest.approx(2 / 4)


def test_inverted_edits_refuse_other_solvers(velocity_bundle: Pipeline, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'unipc'; inverted images are edited by ddim"):
        edited_from(velocity_bundle, images, replace(OPTIONS, scheduler="unipc"))


def test_regenerated_sources_refuse_their_report_as_negative_prompt(
    velocity_bundle: Pipeline,
) -> None:
    with pytest.raises(ValueError, match="a regenerated source takes 'empty'"):
        edit_regenerated(
            velocity_bundle, SOURCE, EDITED, SEEDS, replace(OPTIONS, negative_prompt="source")
        )
