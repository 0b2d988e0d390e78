"""Text beyond the window, end to end: encoded whole, generated from, inverted and edited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pairaug.diffusion.editing import edit_images, edit_inverted, edit_regenerated
from pairaug.diffusion.inversion import invert_images
from pairaug.diffusion.pipeline import Pipeline
from pairaug.diffusion.prompts import ReportTooLongError
from pairaug.diffusion.sampling import SamplingOptions, generate_images, initial_latents
from pairaug.diffusion.windows import align_layouts
from support.edit_texts import OPTIONS, assert_close
from support.explicit_maps import Controller, explicit_edit, mapper_over_windows
from support.tiny_generator import WINDOW

SHORT = "mild edema. no pleural effusion"
LONG = (
    "the heart size is normal. there is a small right pneumothorax. the lungs are clear. "
    "nodule in the upper lobe. large left pleural effusion"
)
# Longer early on: the sentence about the lungs moves to the second window.
EDITED = (
    "the heart size is enlarged. there is a small right pneumothorax with mild edema of the "
    "lobe. the lungs are clear. nodule in the left lobe. large left pleural effusion"
)
SEEDS = [21, 22]


@pytest.fixture(params=["sd", "sdxl"])
def any_bundle(
    request: pytest.FixtureRequest, velocity_bundle: Pipeline, sdxl_bundle: Pipeline
) -> Pipeline:
    return sdxl_bundle if request.param == "sdxl" else velocity_bundle


def test_the_texts_take_two_windows(any_bundle: Pipeline) -> None:
    assert [any_bundle.layout(text).num_windows for text in (SHORT, LONG, EDITED)] == [1, 2, 2]


def test_windows_are_cut_at_sentences_and_words(velocity_bundle: Pipeline) -> None:
    tokenizer = velocity_bundle.text_encoders.tokenizer

    def texts(text: str) -> list[str]:
        return [tokenizer.decode(list(words)) for words in velocity_bundle.layout(text).windows()]

    assert [text.split()[0] for text in texts(LONG)] == ["the", "nodule"]
    assert texts(EDITED)[1].startswith("the lungs are clear")
    # No full stop in it; the last word is of several tokens, and does not fit with the others.
    windows = texts(" ".join(["heart"] * 28) + " xyzxyz clear")
    assert windows == [" ".join(["heart"] * 28), "xyzxyz clear"]


def test_each_window_is_encoded_as_a_text_of_its_own(any_bundle: Pipeline) -> None:
    layout = any_bundle.layout(LONG)
    tokenizer = any_bundle.text_encoders.tokenizer
    windows = [tokenizer.decode(list(words)) for words in layout.windows()]
    whole, alone = any_bundle.encode_prompts([LONG]), any_bundle.encode_prompts(windows)
    assert whole.tokens.shape[1] == 2 * WINDOW
    assert_close(whole.tokens[0], torch.cat(list(alone.tokens)))
    if whole.pooled is not None:
        assert alone.pooled is not None
        assert_close(whole.pooled[0], alone.pooled[0])


def test_all_texts_of_a_batch_get_windows_of_the_empty_text(any_bundle: Pipeline) -> None:
    together = any_bundle.encode_prompts([SHORT, LONG, ""])
    short, empty = any_bundle.encode_prompts([SHORT]), any_bundle.encode_prompts([""])
    begin, end = any_bundle.token_ids("")
    assert together.tokens.shape[1] == 2 * WINDOW
    assert_close(together.tokens[0, :WINDOW], short.tokens[0])
    assert_close(together.tokens[2], empty.tokens[0].repeat(2, 1))
    encoded = replace(any_bundle.text_encoders, zeroes_empty=False)
    assert_close(together.tokens[0, WINDOW:], encoded.encode([""], any_bundle.device).tokens[0])
    assert (begin, end) == (any_bundle.token_ids(SHORT)[0], any_bundle.token_ids(SHORT)[-1])
    if together.pooled is not None:
        assert short.pooled is not None
        assert_close(together.pooled[0], short.pooled[0])
        assert not together.pooled[2].any()


def test_policies(any_bundle: Pipeline) -> None:
    chunked = any_bundle.fit_prompt(LONG, "chunk")
    num_tokens = len(any_bundle.token_ids(LONG))
    assert (chunked.text, chunked.num_tokens, chunked.num_windows) == (LONG, num_tokens, 2)
    assert (chunked.truncated, chunked.left_out_sentences) == (False, 0)
    shortened = any_bundle.fit_prompt(LONG)
    assert shortened == any_bundle.fit_prompt(LONG, "shorten")
    assert shortened.truncated
    assert (shortened.num_windows, shortened.left_out_sentences) == (1, 3)
    message = f"the report has {num_tokens} tokens, the text encoder's window {WINDOW}"
    with pytest.raises(ReportTooLongError, match=message):
        any_bundle.fit_prompt(LONG, "error")
    for policy in ("chunk", "shorten", "error"):
        assert any_bundle.fit_prompt(SHORT, policy) == any_bundle.fit_prompt(SHORT)


def test_every_word_counts(any_bundle: Pipeline) -> None:
    """Each word in turn is another one: the image is another one, to the very last."""
    options, words = SamplingOptions(2, 3.0), LONG.split()
    image = generate_images(any_bundle, [LONG], [5], options)[0]
    for place in (0, len(words) // 2, len(words) - 3, len(words) - 1):
        changed = [*words[:place], "mild", *words[place + 1 :]]
        other = generate_images(any_bundle, [" ".join(changed)], [5], options)[0]
        assert np.abs(image - other).mean() > 1e-5, words[place]


def test_long_neighbours_do_not_change_a_image(any_bundle: Pipeline) -> None:
    """Padding with windows would: texts of other lengths are not generated in one batch."""
    options = SamplingOptions(2, 3.0)
    prompts, seeds = [SHORT, LONG, "no edema", EDITED, SHORT], [1, 2, 3, 4, 5]
    together = generate_images(any_bundle, prompts, seeds, options, batch_size=5)
    for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        alone = generate_images(any_bundle, [prompt], [seed], options)[0]
        assert np.abs(alone - together[row]).max() <= 1e-5


def test_long_neighbours_do_not_change_an_inversion(
    any_bundle: Pipeline, images: np.ndarray
) -> None:
    prompts = [LONG, SHORT, EDITED]
    together = invert_images(any_bundle, images[:3], prompts, 3)
    assert together.prompts == tuple(prompts)
    for row, prompt in enumerate(prompts):
        alone = invert_images(any_bundle, images[[row]], [prompt], 3)
        assert_close(alone.trajectory[:, 0], together.trajectory[:, row])
        assert alone.errors[0] == pytest.approx(together.errors[row], abs=1e-5)


@pytest.mark.parametrize("method", ["invert", "regenerate"])
def test_long_neighbours_do_not_change_an_edit(
    velocity_bundle: Pipeline, images: np.ndarray, method: str
) -> None:
    before, after = [SHORT, LONG, SHORT], ["mild edema", EDITED, LONG]

    def edited(rows: list[int]) -> np.ndarray:
        texts = [before[row] for row in rows], [after[row] for row in rows]
        if method == "invert":
            return edit_images(velocity_bundle, images[rows], *texts, OPTIONS)[0].images
        return edit_regenerated(velocity_bundle, *texts, [31 + row for row in rows], OPTIONS).images

    together = edited([0, 1, 2])
    for row in range(3):
        assert np.abs(edited([row])[0] - together[row]).max() <= 1e-5
    assert np.abs(together[0] - together[2]).mean() > 1e-3


def test_short_and_long_edits_of_one_image_share_its_inversion(
    velocity_bundle: Pipeline, images: np.ndarray
) -> None:
    owners, texts = [0, 0, 1], ["mild edema", LONG, "no edema"]
    edited, errors = edit_images(
        velocity_bundle, images[:2], [SHORT, SHORT], texts, OPTIONS, source_of=owners
    )
    assert errors.shape == (2,)
    for row, owner in enumerate(owners):
        alone, _ = edit_images(velocity_bundle, images[[owner]], [SHORT], [texts[row]], OPTIONS)
        assert np.abs(alone.images[0] - edited.images[row]).max() <= 1e-5
        assert alone.cross_swapped[0] == edited.cross_swapped[row]


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_an_equal_long_text_returns_the_image(
    any_bundle: Pipeline, images: np.ndarray, guidance_scale: float
) -> None:
    options = replace(OPTIONS, guidance_scale=guidance_scale)
    edited, _ = edit_images(any_bundle, images[:2], [LONG, EDITED], [LONG, EDITED], options)
    round_trip = any_bundle.decode_latents(any_bundle.encode_latents(images[:2]))
    assert np.abs(edited.images - round_trip).max() <= 1e-4
    assert edited.cross_swapped.tolist() == [0.5, 0.5]


def test_an_equal_long_text_has_no_region(velocity_bundle: Pipeline, images: np.ndarray) -> None:
    options = replace(OPTIONS, local_blend="difference")
    inversion = invert_images(velocity_bundle, images[:1], [LONG], options.num_inference_steps)
    same = edit_inverted(velocity_bundle, inversion, [LONG], options, [0])
    assert torch.equal(same.latents, inversion.trajectory[-1])
    other = edit_inverted(velocity_bundle, inversion, [EDITED], options, [0])
    assert float((other.latents - inversion.trajectory[-1]).abs().max()) > 1e-3


@pytest.mark.parametrize("alignment", ["refine", "replace"])
@pytest.mark.parametrize(("source", "edited"), [(LONG, EDITED), (LONG, SHORT), (SHORT, LONG)])
def test_fused_edit_of_two_windows_equals_explicit_maps(
    any_bundle: Pipeline, images: np.ndarray, source: str, edited: str, alignment: str
) -> None:
    """From an image and from noise, where either side may be the longer."""
    options = replace(OPTIONS, alignment=alignment)
    before, after = (any_bundle.layout(text).padded(2) for text in (source, edited))
    if alignment == "refine":
        maps = mapper_over_windows(before.windows(), after.windows(), WINDOW)
    else:
        maps = align_layouts("replace", before, after)

    def expected(**start: torch.Tensor) -> torch.Tensor:
        controller = Controller(
            num_layers=len(any_bundle.denoiser.attn_processors),
            mapper=maps[0],
            alphas=maps[1],
            num_cross_steps=2,
            num_self_steps=2,
            max_self_positions=options.self_max_positions,
        )
        latents = explicit_edit(
            any_bundle,
            source,
            edited,
            controller,
            options.num_inference_steps,
            3.0,
            correct_drift=True,
            **start,
        )
        assert {"cross", "self"} <= set(controller.calls)
        return latents

    inversion = invert_images(any_bundle, images[:1], [source], options.num_inference_steps)
    actual = edit_inverted(any_bundle, inversion, [edited], options, [0]).latents[0]
    assert_close(actual, expected(trajectory=inversion.trajectory[:, 0]))
    noise, _ = initial_latents(any_bundle, SEEDS[:1])
    generated = edit_regenerated(any_bundle, [source], [edited], SEEDS[:1], options).latents[0]
    assert_close(generated, expected(noise=noise[0]))


def test_images_of_texts_of_other_lengths_keep_their_order(
    velocity_bundle: Pipeline, images: np.ndarray
) -> None:
    """Groups are inverted one after the other; three in a circle, so that the way back differs."""
    prompts = [LONG, SHORT, SHORT]
    together = invert_images(velocity_bundle, images[:3], prompts, 2)
    for row, prompt in enumerate(prompts):
        alone = invert_images(velocity_bundle, images[row : row + 1], [prompt], 2)
        assert torch.allclose(together.trajectory[:, row], alone.trajectory[:, 0], atol=1e-5)
        assert together.prompts[row] == prompt
