"""The edit stage on a tiny model: sources, candidates, gates, traces and drops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pairaug.diffusion.folder import weights_sha256
from pairaug.diffusion.pipeline import load_pipeline
from pairaug.edit import DROP_REASONS, Edit, EditSettings
from pairaug.imaging.io import encode_png, fit_square
from pairaug.pair import Branch, Drop, ImageRef, Pair, Report
from pairaug.stage import RunContext
from support.edit_pairs import PAIRS, SOURCES, image_of, intra, pixels


@pytest.fixture(scope="module")
def model(tiny_generator_folder: Path) -> dict:
    return {"model": str(tiny_generator_folder), "num_inference_steps": 3, "batch_size": 2}


@pytest.fixture(scope="module")
def made(model: dict) -> list[Pair]:
    return edited(model, PAIRS)


def edited(settings: dict, pairs: list[Pair], seed: int = 3) -> list[Pair]:
    return list(Edit(EditSettings(**settings), RunContext(seed=seed))(pairs))


def test_intra_pairs_get_images_and_everything_else_passes_through(made: list[Pair]) -> None:
    assert [pair.id for pair in made] == [pair.id for pair in PAIRS]
    for before, after in zip(PAIRS, made, strict=True):
        if before.branch is not Branch.INTRA:
            assert after is before
            continue
        assert after.drop is None
        assert pixels(after).shape == (16, 16)
        assert replace(after, image=None, trace={}) == before


def test_the_trace_of_an_inverted_edit(made: list[Pair], model: dict) -> None:
    trace = dict(made[2].trace["edit"])
    assert trace.pop("inversion_error") > 0
    assert trace.pop("cross_swapped") == pytest.approx(6 / 7 * 2 / 3, abs=1e-6)
    assert trace.pop("weights") == weights_sha256(Path(model["model"]))
    assert trace == {
        "model": model["model"],
        "revision": None,
        "method": "invert",
        "seed": None,
        "candidate": 0,
        "keep": "all",
        "noise_strength": 0.3,
        "num_inference_steps": 3,
        "guidance_scale": 4.0,
        "negative_prompt": "empty",
        "correct_drift": True,
        "scheduler": "default",
        "alignment": "refine",
        "cross_replace_steps": 0.5,
        "self_replace_steps": 0.2,
        "self_max_positions": 256,
        "local_blend": "none",
        "blend_threshold": 0.35,
        "fit": "crop",
        "long_report": "shorten",
        "changed_area": 1.0,
        "self_swapped": 0.0,
        "num_tokens": 7,
        "num_windows": 1,
        "truncated": False,
        "left_out_sentences": 0,
        "source_num_tokens": 7,
        "source_num_windows": 1,
        "source_truncated": False,
        "source_left_out_sentences": 0,
        "left_out_of_both": 0,
    }


def test_an_unchanged_report_returns_the_image_of_the_pair_it_was_made_from(model: dict) -> None:
    """Not a neighbour's: every image comes back to within the VAE's own loss."""
    pipeline = load_pipeline(Path(model["model"]))
    pairs = [
        pair
        for parent in SOURCES
        for pair in (
            parent,
            parent.child(
                "intra-0",
                branch=Branch.INTRA,
                source_report=parent.report.text,
                report=parent.report,
            ),
        )
    ]
    round_trip = pipeline.decode_latents(
        pipeline.encode_latents(np.stack([pixels(parent) for parent in SOURCES]))
    )
    for parent, after in zip(round_trip, edited(model, pairs)[1::2], strict=True):
        assert np.abs(pixels(after) - parent).max() <= 1.01 / 255


def test_batch_size_and_company_change_nothing(made: list[Pair], model: dict) -> None:
    assert edited(model, PAIRS) == made
    larger = edited({**model, "batch_size": 8}, PAIRS[3:])
    for first, second in zip(made[3:], larger, strict=True):
        if first.branch is Branch.INTRA:
            assert np.abs(pixels(first) - pixels(second)).max() <= 1.01 / 255


def test_all_edits_of_one_image_share_one_inversion(
    model: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pairaug.diffusion.inversion as inversion

    counts: list[int] = []
    invert = inversion.invert_images

    def counted(pipeline: object, images: np.ndarray, *rest: object) -> object:
        counts.append(len(images))
        return invert(pipeline, images, *rest)

    monkeypatch.setattr(inversion, "invert_images", counted)
    children = [intra(SOURCES[0], number, f"intra-{number}") for number in range(3)]
    after = edited(model, [SOURCES[0], *children, SOURCES[1], intra(SOURCES[1], 1)])
    assert counts == [1, 1]
    alone = edited(model, [SOURCES[0], children[2]])
    assert np.abs(pixels(after[3]) - pixels(alone[1])).max() <= 1.01 / 255


def test_images_that_cannot_be_held_are_dropped_with_the_number(model: dict) -> None:
    errors = [pair.trace["edit"]["inversion_error"] for pair in edited(model, PAIRS)[2::3]]
    limit = sorted(errors)[1]
    after = edited({**model, "max_inversion_error": limit + 1e-6}, PAIRS)[2::3]
    assert [pair.drop is None for pair in after] == [error <= limit for error in errors]
    (drop,) = [pair.drop for pair in after if pair.drop]
    assert drop.reason == "inversion_error"
    assert drop.detail.startswith(f"{max(errors):.4f} above ")


@pytest.mark.parametrize(
    ("image", "reason", "detail"),
    [
        (None, "unreadable_image", "the source has no image"),
        (ImageRef(path="/no/such/image.png"), "missing_image", "the image file is missing"),
        (
            ImageRef(png=b"x"),
            "unreadable_image",
            "the image cannot be read (UnidentifiedImageError)",
        ),
    ],
)
def test_an_unreadable_image_drops_its_edits_alone(
    model: dict, image: ImageRef | None, reason: str, detail: str
) -> None:
    broken = replace(SOURCES[0], image=image)
    pairs = [broken, intra(broken, 0), SOURCES[1], intra(SOURCES[1], 1)]
    after = edited(model, pairs)
    assert after[0] is broken
    assert after[1].drop == Drop("edit", reason, detail)
    assert after[3].drop is None


def test_a_pair_whose_source_is_gone_is_dropped(model: dict) -> None:
    after = edited(model, [SOURCES[1], PAIRS[2]])
    assert after[1].drop == Drop("edit", "source_missing")


@pytest.mark.parametrize("which", ["source", "edit"])
def test_a_report_of_marks_alone_is_dropped(model: dict, which: str) -> None:
    marks = Report(findings="___")
    changes = {"source_report": "___"} if which == "source" else {"report": marks}
    child = replace(PAIRS[2], **changes)
    assert edited(model, [SOURCES[0], child])[1].drop == Drop("edit", "empty_report")


def test_an_edit_starts_from_the_text_that_was_rewritten(model: dict) -> None:
    """Whatever else the source's report says, the image is the same, bit for bit."""
    longer = Report("PA and lateral views. the lungs are clear", "Compared with May. Follow up.")
    _, child = edited(model, [SOURCES[0], PAIRS[2]])
    _, other = edited(model, [replace(SOURCES[0], report=longer), PAIRS[2]])
    assert child == other
    _, unknown = edited(model, [SOURCES[0], replace(PAIRS[2], source_report=None)])
    assert unknown.drop == Drop("edit", "empty_report")


LONG = Report(findings="Large right nodule. " + "No pneumothorax. " * 5 + "Mild edema.")
CHANGED = Report(findings="Large right nodule. " + "No pneumothorax. " * 5 + "Severe edema.")


def test_long_reports_edit_whole_in_several_windows(model: dict) -> None:
    parent = replace(SOURCES[0], report=LONG)
    same, other = (
        parent.child(name, branch=Branch.INTRA, source_report=parent.report.text, report=report)
        for name, report in (("intra-0", LONG), ("intra-1", CHANGED))
    )
    chunked = {**model, "long_report": "chunk"}
    unchanged, changed = edited(chunked, [parent, same, other])[1:]
    trace = changed.trace["edit"]
    assert (trace["num_windows"], trace["source_num_windows"]) == (2, 2)
    assert not trace["truncated"]
    assert trace["num_tokens"] > 32
    pipeline = load_pipeline(Path(model["model"]))
    round_trip = pipeline.decode_latents(pipeline.encode_latents(pixels(parent)[None]))[0]
    assert np.abs(pixels(unchanged) - round_trip).max() <= 1.01 / 255
    assert np.abs(pixels(changed) - round_trip).max() > 1.01 / 255
    # Beside short ones, of the same image and of another, each is what it is alone.
    short = parent.child(
        "intra-2",
        branch=Branch.INTRA,
        source_report=parent.report.text,
        report=Report(findings="No edema."),
    )
    together = edited(chunked, [parent, same, short, other, *PAIRS[3:6]])
    assert np.abs(pixels(together[3]) - pixels(changed)).max() <= 1.01 / 255
    (_, alone) = edited(chunked, [PAIRS[3], PAIRS[5]])
    assert np.abs(pixels(together[-1]) - pixels(alone)).max() <= 1.01 / 255


@pytest.mark.parametrize("which", ["source", "edited"])
def test_long_reports_are_dropped_where_that_is_asked_for(model: dict, which: str) -> None:
    changes = {"source_report": LONG.text} if which == "source" else {"report": LONG}
    child = replace(PAIRS[2], **changes)
    after = edited({**model, "long_report": "error"}, [SOURCES[0], child, *PAIRS[3:6]])
    assert after[1].drop is not None
    assert after[1].drop.reason == "report_too_long"
    assert after[1].drop.detail.startswith(f"{which}: the report has ")
    assert after[1].drop.detail.endswith(" tokens, the text encoder's window 32")
    assert after[-1].drop is None


def test_nan_weights_end_as_drops(model: dict) -> None:
    stage = Edit(EditSettings(**model), RunContext(seed=3))
    stage._pipeline.denoiser.conv_out.bias.data.fill_(np.nan)
    after = list(stage(PAIRS[:3]))
    assert after[2].drop == Drop("edit", "image_not_finite")
    gated = Edit(EditSettings(**model, max_inversion_error=0.5), RunContext(seed=3))
    gated._pipeline.denoiser.conv_out.bias.data.fill_(np.nan)
    dropped = list(gated(PAIRS[:3]))[2].drop
    assert dropped is not None
    assert dropped.reason == "inversion_error"
    assert {"image_not_finite", "inversion_error"} < set(DROP_REASONS)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_images_of_any_shape_are_fitted_to_the_models_window(
    model: dict, fit: str, tmp_path: Path
) -> None:
    """A report that stays gives the fitted image back, which tells the two ways apart."""
    (tmp_path / "image.png").write_bytes(encode_png(image_of(7, 48, 64)))
    parent = replace(SOURCES[0], image=ImageRef(path=str(tmp_path / "image.png")))
    child = parent.child(
        "intra-0", branch=Branch.INTRA, source_report=parent.report.text, report=parent.report
    )
    after = edited({**model, "fit": fit}, [parent, child])[1]
    pipeline = load_pipeline(Path(model["model"]))
    fitted = fit_square(pixels(parent), 16, fit)
    round_trip = pipeline.decode_latents(pipeline.encode_latents(fitted[None]))[0]
    assert np.abs(pixels(after) - round_trip).max() <= 1.01 / 255


def test_no_model_is_loaded_when_there_is_nothing_to_edit() -> None:
    stage = Edit(EditSettings(model="/no/such/model"), RunContext(seed=3))
    assert list(stage(PAIRS[:2])) == PAIRS[:2]


def test_progress_is_reported_by_pairs_edited(model: dict) -> None:
    seen: list[int] = []
    list(Edit(EditSettings(**model), RunContext(seed=3, report_progress=seen.append))(PAIRS))
    assert sum(seen) == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_images": 2, "keep": "first-accepted"}, "needs a bound"),
        ({"accept": {"margin": 0.1}}, "margin"),
        ({"scheduler": "unipc"}, "scheduler unipc needs method: regenerate"),
        (
            {"method": "regenerate", "negative_prompt": "source"},
            "negative_prompt: source needs method: invert",
        ),
        ({"cross_replace_steps": 1.5}, "cross_replace_steps"),
        ({"eta": 0.5}, "eta"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EditSettings(**wrong)
