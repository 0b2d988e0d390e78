"""The generate stage on a tiny model: images, seeds, traces and drops."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pairaug.diffusion.folder import weights_sha256
from pairaug.errors import ModelError
from pairaug.generate import DROP_REASONS, Generate, GenerateSettings
from pairaug.pair import Branch, Drop, ImageRef, Pair, Report
from pairaug.stage import RunContext, seed_for
from support.generate_pairs import PAIRS, image


@pytest.fixture(scope="module")
def settings(tiny_generator_folder: Path) -> GenerateSettings:
    return GenerateSettings(model=str(tiny_generator_folder), num_inference_steps=2, batch_size=2)


@pytest.fixture(scope="module")
def finished(settings: GenerateSettings) -> list[Pair]:
    return list(Generate(settings, RunContext(seed=3))(PAIRS))


def test_inter_pairs_get_images_and_everything_else_passes_through(finished: list[Pair]) -> None:
    assert [pair.id for pair in finished] == [pair.id for pair in PAIRS]
    for before, after in zip(PAIRS, finished, strict=True):
        if before.branch is not Branch.INTER:
            assert after is before
            continue
        assert after.drop is None
        assert after.image is not None
        assert (after.image.height, after.image.width) == (16, 16)
        assert image(after).shape == (16, 16)
        assert replace(after, image=None, trace={}) == before


def test_trace_has_no_report_text(
    finished: list[Pair], settings: GenerateSettings, tiny_generator_folder: Path
) -> None:
    pair = finished[1]
    assert pair.trace["generate"] == {
        "seed": seed_for(3, "made/0~inter-0", "generate"),
        "model": settings.model,
        "revision": None,
        "weights": weights_sha256(tiny_generator_folder),
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
        "scheduler": "default",
        "prompt_characters": len("mild edema"),
        "num_tokens": 4,
        "num_windows": 1,
        "truncated": False,
        "left_out_sentences": 0,
        "candidate": 0,
    }


def test_batches_and_runs_change_nothing(finished: list[Pair], settings: GenerateSettings) -> None:
    """Beyond float noise, which may move a grey level by one."""
    inter = [pair for pair in PAIRS if pair.branch is Branch.INTER][::-1]
    larger = GenerateSettings(**{**settings.model_dump(), "batch_size": 4})
    images = {pair.id: image(pair) for pair in Generate(larger, RunContext(seed=3))(inter)}
    again = list(Generate(settings, RunContext(seed=3))(PAIRS))
    for first, second in zip(finished, again, strict=True):
        assert first == second
        if first.branch is Branch.INTER:
            assert np.abs(image(first) - images[first.id]).max() <= 1.01 / 255


def test_seeds_follow_from_run_and_pair(finished: list[Pair], settings: GenerateSettings) -> None:
    twin = replace(PAIRS[1], id="made/0~inter-1")
    other_run = next(iter(Generate(settings, RunContext(seed=4))([PAIRS[1]])))
    other_pair = next(iter(Generate(settings, RunContext(seed=3))([twin])))
    assert np.abs(image(other_run) - image(finished[1])).mean() > 0.01
    assert np.abs(image(other_pair) - image(finished[1])).mean() > 0.01


def test_pairs_with_an_image_or_a_drop_are_left_alone(settings: GenerateSettings) -> None:
    dropped = PAIRS[1].dropped("rewrite", "unchanged")
    generated = PAIRS[1].with_image(ImageRef(path="/images/x.png"))
    stage = Generate(settings, RunContext(seed=3))
    assert list(stage([dropped, generated, PAIRS[0]])) == [dropped, generated, PAIRS[0]]


def test_no_model_is_loaded_without_work() -> None:
    stage = Generate(GenerateSettings(model="/no/such/model"), RunContext(seed=3))
    assert list(stage([PAIRS[0]])) == [PAIRS[0]]


def test_report_of_punctuation_is_dropped(settings: GenerateSettings) -> None:
    empty = replace(PAIRS[1], report=Report(findings="___ XXXX"))
    assert next(iter(Generate(settings, RunContext(seed=3))([empty, PAIRS[4]]))).drop == Drop(
        "generate", "empty_report"
    )


def test_long_reports_are_shortened(settings: GenerateSettings) -> None:
    text = "Large right nodule. " + "No pneumothorax. " * 9
    long = replace(PAIRS[1], report=Report(findings=text))
    trace = next(iter(Generate(settings, RunContext(seed=3))([long]))).trace["generate"]
    assert trace["truncated"]
    assert trace["left_out_sentences"] > 0
    assert trace["num_tokens"] <= 32
    assert trace["num_windows"] == 1


LONG = "Large right nodule. " + "No pneumothorax. " * 5 + "Mild edema."


def test_long_reports_in_several_windows(settings: GenerateSettings) -> None:
    long = replace(PAIRS[1], report=Report(findings=LONG))
    chunked = settings.model_copy(update={"long_report": "chunk"})
    (whole,) = Generate(chunked, RunContext(seed=3))([long])
    trace = whole.trace["generate"]
    assert trace["num_tokens"] > 32
    assert trace["num_windows"] == 2
    assert (trace["truncated"], trace["left_out_sentences"]) == (False, 0)
    last_word = replace(long, report=Report(findings=LONG.replace("edema", "nodule")))
    (other,) = Generate(chunked, RunContext(seed=3))([last_word])
    (shortened,) = Generate(settings, RunContext(seed=3))([long])
    # Generated one by one on a CPU, so that grey levels are exact.
    assert not np.array_equal(image(whole), image(other))
    assert not np.array_equal(image(whole), image(shortened))
    # A short report is generated as ever, also beside a long one.
    beside = list(Generate(chunked, RunContext(seed=3))([long, PAIRS[4]]))
    (alone,) = Generate(settings, RunContext(seed=3))([PAIRS[4]])
    assert np.abs(image(beside[0]) - image(whole)).max() <= 1.01 / 255
    assert np.abs(image(beside[1]) - image(alone)).max() <= 1.01 / 255


def test_long_reports_as_errors(settings: GenerateSettings) -> None:
    long = replace(PAIRS[1], report=Report(findings=LONG))
    strict = settings.model_copy(update={"long_report": "error"})
    dropped, generated = Generate(strict, RunContext(seed=3))([long, PAIRS[4]])
    assert dropped.drop is not None
    assert dropped.drop.reason == "report_too_long"
    assert re.fullmatch(
        r"the report has \d\d tokens, the text encoder's window 32", dropped.drop.detail
    )
    assert generated.drop is None
    assert generated.image is not None


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "image_not_finite"), (0.5, "image_constant"), (None, "image_saturated")],
)
def test_defective_images_are_dropped(
    settings: GenerateSettings,
    value: float | None,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second of the batch goes wrong; the first is none the worse for it."""
    from pairaug.diffusion.pipeline import Pipeline

    decode = Pipeline.decode_latents

    def spoilt(self: Pipeline, latents: object) -> np.ndarray:
        images = decode(self, latents)
        images[1] = images[1].round() if value is None else value
        return images

    monkeypatch.setattr(Pipeline, "decode_latents", spoilt)
    first, second = Generate(settings, RunContext(seed=3))([PAIRS[1], PAIRS[4]])
    assert first.drop is None
    assert second.drop == Drop("generate", reason)
    assert second.image is None
    assert second.trace["generate"]["num_tokens"] > 2
    assert reason in DROP_REASONS


def test_nan_weights_end_as_drops(tiny_generator_folder: Path, settings: GenerateSettings) -> None:
    """A model that went astray, end to end: no error, no image, a reason."""
    stage = Generate(settings, RunContext(seed=3))
    stage._pipeline.denoiser.conv_out.bias.data.fill_(np.nan)
    assert [pair.drop for pair in stage([PAIRS[1]])] == [Drop("generate", "image_not_finite")]


def test_progress(settings: GenerateSettings) -> None:
    seen: list[int] = []
    stage = Generate(settings, RunContext(seed=3, report_progress=seen.append))
    list(stage(PAIRS))
    assert sum(seen) == 5


def test_weights_are_named_by_model(settings: GenerateSettings, finished: list[Pair]) -> None:
    weights = Generate.weights(settings)
    assert weights == {settings.model: finished[1].trace["generate"]["weights"]}
    with pytest.raises(ModelError, match="/no/such/model"):
        Generate.weights(GenerateSettings(model="/no/such/model"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_inference_steps": 0},
        {"long_report": "cut"},
        {"guidance_scale": 0.5},
        {"scheduler": "euler"},
        {"steps": 3},
    ],
)
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        GenerateSettings(**wrong)
