"""Loading a model folder, and what the models are asked for."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pairaug.diffusion.folder import model_folder
from pairaug.diffusion.pipeline import Pipeline, load_pipeline
from pairaug.errors import ModelError
from support.tiny_generator import WINDOW, write_generator


def test_sizes_come_from_the_folder(pipeline: Pipeline) -> None:
    assert pipeline.window == WINDOW
    assert pipeline.vae_factor == 2
    assert pipeline.image_size == 16
    assert pipeline.latent_shape() == (4, 8, 8)


def test_models_are_frozen_and_deterministic(pipeline: Pipeline) -> None:
    for model in (pipeline.vae, pipeline.denoiser, *pipeline.text_encoders.models):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_half_precision_on_disk_is_cast_up(tmp_path: Path) -> None:
    write_generator(tmp_path / "half", dtype=torch.float16)
    pipeline = load_pipeline(model_folder(str(tmp_path / "half")))
    for model in (pipeline.vae, pipeline.denoiser, *pipeline.text_encoders.models):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert pipeline.encode_prompts(["normal heart"]).tokens.dtype == torch.float32


def test_lower_precision_keeps_latents_in_float32(generator_folder: Path) -> None:
    pipeline = load_pipeline(generator_folder, dtype="bfloat16")
    text = pipeline.encode_prompts(["normal heart"])
    assert text.tokens.dtype == torch.bfloat16
    with torch.inference_mode():
        prediction = pipeline.predict(torch.zeros(1, 4, 8, 8), torch.tensor(10), text)
    assert prediction.dtype == torch.float32
    assert pipeline.decode_latents(prediction).dtype == np.float32


def test_the_vae_stays_in_float32_where_the_rest_is_float16(generator_folder: Path) -> None:
    pipeline = load_pipeline(generator_folder, dtype="float16")
    assert pipeline.vae.dtype == torch.float32
    assert pipeline.denoiser.dtype == torch.float16


def test_latents_are_the_scaled_mean_of_the_posterior(
    pipeline: Pipeline, images: np.ndarray
) -> None:
    latents = pipeline.encode_latents(images)
    assert latents.shape == (7, 4, 8, 8)
    pixels = 2.0 * torch.from_numpy(images)[:, None] - 1.0
    with torch.no_grad():
        mean = pipeline.vae.encode(pixels).latent_dist.mean
        decoded = pipeline.vae.decode(latents / 0.7).sample
    assert torch.allclose(latents, 0.7 * mean, atol=1e-5)
    expected = (decoded[:, 0] / 2 + 0.5).clamp(0, 1).numpy()
    assert np.allclose(pipeline.decode_latents(latents), expected, atol=1e-5)


def test_large_images_go_through_the_vae_in_slices(
    pipeline: Pipeline, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline.encode_latents(images)
    monkeypatch.setattr("pairaug.diffusion.pipeline._MAX_VAE_POSITIONS", 2 * 64)
    assert torch.allclose(pipeline.encode_latents(images), whole, atol=1e-5)
    assert pipeline.decode_latents(whole).shape == images.shape


def test_a_vae_of_three_channels_takes_and_makes_grey_images(
    tmp_path: Path, images: np.ndarray
) -> None:
    folder = write_generator(tmp_path / "colour", vae_channels=3)
    pipeline = load_pipeline(folder)
    latents = pipeline.encode_latents(images)
    grey = 2.0 * torch.from_numpy(images)[:, None].repeat(1, 3, 1, 1) - 1.0
    with torch.no_grad():
        mean = pipeline.vae.encode(grey).latent_dist.mean
        colour = pipeline.vae.decode(latents / 0.7).sample
    assert torch.allclose(latents, 0.7 * mean, atol=1e-5)
    expected = (colour.mean(dim=1) / 2 + 0.5).clamp(0, 1).numpy()
    assert np.allclose(pipeline.decode_latents(latents), expected, atol=1e-5)


def test_nan_latents_stay_visible(pipeline: Pipeline) -> None:
    latents = torch.zeros(2, 4, 8, 8)
    latents[1, 0, 0, 0] = torch.nan
    images = pipeline.decode_latents(latents)
    assert np.isfinite(images[0]).all()
    assert np.isnan(images[1]).any()


def test_prompts_are_encoded_each_on_its_own(pipeline: Pipeline) -> None:
    prompts = ["normal heart size", "no edema", "normal heart size", ""]
    states = pipeline.encode_prompts(prompts).tokens
    assert states.shape == (4, WINDOW, 16)
    assert torch.equal(states[0], states[2])
    alone = torch.cat([pipeline.encode_prompts([prompt]).tokens for prompt in prompts])
    assert float((states - alone).abs().max()) <= 1e-5


def test_one_window_is_the_tokenizers_padding_and_the_encoders_last_states(
    pipeline: Pipeline,
) -> None:
    """To the last bit: what fits one window must not be encoded by way of several."""
    prompts = ["normal heart size", "no edema", "", " ".join(["heart"] * (WINDOW - 2))]
    tokens = pipeline.text_encoders.tokenizer(
        prompts, padding="max_length", max_length=WINDOW, return_tensors="pt"
    )
    (text_encoder,) = pipeline.text_encoders.models
    with torch.inference_mode():
        expected = text_encoder(tokens.input_ids).last_hidden_state
    assert torch.equal(pipeline.encode_prompts(prompts).tokens, expected)


def test_fitted_prompts_use_the_models_own_tokens(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    report = "Large right pleural edema. " + "No pneumothorax. " * 8 + "Mild edema."
    with caplog.at_level(logging.WARNING):
        prompt = pipeline.fit_prompt(report)
    assert prompt.truncated
    assert prompt.num_tokens == len(pipeline.token_ids(prompt.text)) <= WINDOW
    assert prompt.text.startswith("Large right pleural edema.")
    assert prompt.text.endswith("Mild edema.")
    assert not caplog.records


def test_parts_of_different_models_are_refused(generator_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(generator_folder, folder)
    config = folder / "unet" / "config.json"
    wide = config.read_text().replace('"in_channels": 4', '"in_channels": 9')
    config.write_text(wide)
    with pytest.raises(ModelError, match=r"conv_in\.weight has the shape 16 × 4 × .* 16 × 9"):
        load_pipeline(folder)


def test_a_truncated_weight_file_is_one_clear_line(generator_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(generator_folder, folder)
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"\.safetensors is damaged") as caught:
        load_pipeline(folder)
    assert "\n" not in str(caught.value)


def test_an_unknown_dtype_is_refused(generator_folder: Path) -> None:
    with pytest.raises(ModelError, match="unknown dtype float8; choose one of float32"):
        load_pipeline(generator_folder, dtype="float8")


def test_each_distinct_text_is_encoded_once_and_alone(
    tiny_generator_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = load_pipeline(tiny_generator_folder)
    model = pipeline.text_encoders.models[0]
    forward, rows = model.forward, []

    def counted(ids: torch.Tensor, **rest: Any) -> Any:
        rows.append(len(ids))
        return forward(ids, **rest)

    monkeypatch.setattr(model, "forward", counted)
    texts = ["mild edema", "", "no edema", "mild edema"]
    first = pipeline.encode_prompts(texts)
    assert rows == [1, 1, 1]
    again = pipeline.encode_prompts(["no edema", "large nodule", ""])
    assert rows == [1, 1, 1, 1]
    # To the last bit, whatever it is encoded beside.
    assert torch.equal(again.tokens[0], first.tokens[2])
    assert torch.equal(first.tokens[0], first.tokens[3])
    alone = load_pipeline(tiny_generator_folder).encode_prompts(["no edema"])
    assert torch.equal(alone.tokens[0], first.tokens[2])


def test_the_states_of_old_texts_are_let_go(tiny_generator_folder: Path) -> None:
    encoders = load_pipeline(tiny_generator_folder).text_encoders
    for number in range(300):
        encoders.encode([f"nodule {number}"], torch.device("cpu"))
    assert encoders._cached.cache_info().currsize == 256
