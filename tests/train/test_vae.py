from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from pairaug.train.loop import Loop
from pairaug.train.vae import (
    VaeSettings,
    as_vae_input,
    latent_scale,
    make_vae,
    reconstruction_losses,
    train_vae,
)

CPU = torch.device("cpu")


def settings(**changes) -> VaeSettings:
    values = {
        "batch_size": 4,
        "max_steps": 4,
        "max_minutes": None,
        "warmup_steps": 1,
        "log_steps": 2,
        "block_out_channels": (4, 8),
        "latent_channels": 2,
        "norm_num_groups": 2,
        "device": "cpu",
    }
    return VaeSettings(**{**values, **changes})


def weights(folder: Path) -> bytes:
    return (folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()


def test_diffusers_loads_it(dataset, tmp_path: Path):
    outcome = train_vae(settings(), dataset, tmp_path)
    assert outcome.steps == 4
    assert set(outcome.metrics) == {"absolute", "detail"}
    vae = AutoencoderKL.from_pretrained(tmp_path / "vae", low_cpu_mem_usage=False)
    pixels = as_vae_input(dataset.images[:8], CPU)
    latents = vae.encode(pixels).latent_dist.mean
    assert latents.shape == (8, 2, 16, 16)
    assert vae.decode(latents).sample.shape == pixels.shape
    # Latents times the stored scale have a standard deviation of one.
    trained = as_vae_input(dataset.images[: dataset.num_train], CPU)
    spread = vae.encode(trained).latent_dist.mean.std() * vae.config["scaling_factor"]
    assert float(spread.detach()) == pytest.approx(1.0, abs=0.02)


def test_training_brings_the_images_closer(dataset, tmp_path: Path):
    before = train_vae(settings(max_steps=1), dataset, tmp_path / "a").metrics["absolute"]
    after = train_vae(settings(max_steps=30), dataset, tmp_path / "b").metrics["absolute"]
    assert after < 0.8 * before


def test_resumed_training_gives_the_same_bytes(dataset, tmp_path: Path, monkeypatch):
    train_vae(settings(), dataset, tmp_path / "a")
    one_step = Loop._one_step

    def killed_at_two(loop: Loop, progress: float):
        if loop.step == 2:
            raise KeyboardInterrupt
        return one_step(loop, progress)

    monkeypatch.setattr(Loop, "_one_step", killed_at_two)
    with pytest.raises(KeyboardInterrupt):
        train_vae(settings(checkpoint_minutes=0.0), dataset, tmp_path / "b")
    monkeypatch.undo()
    train_vae(settings(), dataset, tmp_path / "b")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_losses_equal_sums_written_out():
    torch.manual_seed(0)
    images, decoded = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    absolute, detail = reconstruction_losses(images, decoded, num_scales=2)
    error = (decoded - images)[:, 0]
    coarse = (
        error[:, ::2, ::2] + error[:, 1::2, ::2] + error[:, ::2, 1::2] + error[:, 1::2, 1::2]
    ) / 4
    expected = sum(
        float(level.diff(dim=axis).abs().mean()) for level in (error, coarse) for axis in (1, 2)
    )
    assert float(absolute) == pytest.approx(float(error.abs().mean()))
    assert float(detail) == pytest.approx(expected, rel=1e-6)


def test_blur_costs_more_detail_than_brightness():
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 1.0
    shaded, blurred = image + 0.125, image.clone()
    blurred[..., 3:5] = 0.5
    absolute_shaded, detail_shaded = reconstruction_losses(image, shaded)
    absolute_blurred, detail_blurred = reconstruction_losses(image, blurred)
    assert float(absolute_shaded) == pytest.approx(float(absolute_blurred))
    assert float(detail_shaded) == pytest.approx(0.0, abs=1e-6)
    assert float(detail_blurred) > 0.1


def test_the_scale_is_over_training_images_only(dataset):
    torch.manual_seed(0)
    vae = make_vae(settings(), 32).eval()
    pixels = as_vae_input(dataset.images[: dataset.num_train], CPU)
    with torch.inference_mode():
        expected = 1.0 / float(vae.encode(pixels).latent_dist.mean.std())
    assert latent_scale(vae, dataset, CPU) == pytest.approx(expected, rel=1e-5)


def test_images_span_minus_one_to_one(dataset):
    pixels = as_vae_input(dataset.images[:2], CPU)
    assert pixels.shape == (2, 1, 32, 32)
    assert float(pixels[0, 0, 3, 5]) == pytest.approx(dataset.images[0, 3, 5] / 127.5 - 1.0)


def test_the_checkpoint_log_lies_beside_the_weights(dataset, tmp_path: Path):
    train_vae(settings(), dataset, tmp_path)
    head = (tmp_path / "vae-training" / "curves.csv").read_text().splitlines()[0]
    assert head == "step,samples,seconds,learning_rate,loss,absolute,detail,squared,kl"
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    assert config["_class_name"] == "AutoencoderKL"


def test_decoder_training_keeps_the_latents(dataset, tmp_path: Path):
    train_vae(settings(), dataset, tmp_path / "first")
    alone = settings(init=tmp_path / "first" / "vae", train_encoder=False, max_steps=6)
    train_vae(alone, dataset, tmp_path / "second")
    first, second = (
        AutoencoderKL.from_pretrained(tmp_path / name / "vae", low_cpu_mem_usage=False)
        for name in ("first", "second")
    )
    pixels = as_vae_input(dataset.images[:4], CPU)
    latents = [vae.encode(pixels).latent_dist.mean for vae in (first, second)]
    assert torch.equal(*latents)
    assert first.config["scaling_factor"] == second.config["scaling_factor"]
    assert not torch.equal(*(vae.decode(latents[0]).sample for vae in (first, second)))


def test_decoder_training_needs_init():
    with pytest.raises(ValueError, match="train_encoder: false needs init"):
        settings(train_encoder=False)
