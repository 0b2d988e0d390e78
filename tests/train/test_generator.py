from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file

from pairaug.errors import ModelError
from pairaug.train.clip import ClipSettings, train_clip
from pairaug.train.denoiser import (
    DenoiserSettings,
    Denoising,
    encode_latents,
    loss_weights,
    make_denoiser,
    make_scheduler,
    make_text_encoder,
)
from pairaug.train.generator import GeneratorSettings, train_generator
from pairaug.train.loop import Loop
from pairaug.train.tokenizer import load_tokenizer, token_ids, train_tokenizer
from pairaug.train.vae import VaeSettings, as_vae_input, make_vae

CPU = torch.device("cpu")
LOOP = {"batch_size": 4, "max_steps": 3, "max_minutes": None, "warmup_steps": 1, "device": "cpu"}
VAE = {**LOOP, "block_out_channels": (4, 8), "latent_channels": 2, "norm_num_groups": 2}
DENOISER = {
    **LOOP,
    "block_out_channels": (8, 16),
    "head_size": 4,
    "norm_num_groups": 4,
    "text_hidden_size": 16,
    "text_num_layers": 1,
    "text_num_heads": 2,
}
PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")


def settings(**changes) -> GeneratorSettings:
    return GeneratorSettings.model_validate({"vae": VAE, "denoiser": DENOISER, **changes})


@pytest.fixture(scope="module")
def generator(dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generator")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pairaug.train.generator.open_dataset", lambda *_: dataset)
        train_generator(settings(), folder)
    return folder


# Its own processors and schedulers give notice of their coming versions.
@pytest.mark.filterwarnings("ignore")
def test_diffusers_loads_the_folder_and_generates(generator: Path):
    pipeline = StableDiffusionPipeline.from_pretrained(
        generator, torch_dtype=torch.float32, low_cpu_mem_usage=False
    )
    pipeline.set_progress_bar_config(disable=True)
    torch.manual_seed(0)
    sampled = pipeline(
        "Bright left half.", num_inference_steps=2, height=32, width=32, output_type="latent"
    )
    assert sampled.images.shape == (1, 2, 16, 16)
    assert torch.isfinite(sampled.images).all()
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    assert pipeline.tokenizer.model_max_length == 77


def test_every_part_is_float16_and_the_index_names_them(generator: Path):
    index = json.loads((generator / "model_index.json").read_text())
    assert all(index[part][0] in ("diffusers", "transformers") for part in PARTS)
    for path in generator.glob("*/*.safetensors"):
        assert {value.dtype for value in load_file(path).values()} == {torch.float16}, path


def test_record_of_the_training(generator: Path):
    record = json.loads((generator / "training.json").read_text())
    assert record["steps"] == 3
    assert record["samples"] == 12
    assert record["recipe"]["denoiser"]["seed"] == 0
    assert set(record["metrics"]) == {"error", "error_no_prompt", "prompt_gain"}


def test_a_killed_denoiser_ends_with_the_same_bytes(
    generator: Path, opened_dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    only = {"phase": "denoiser", "vae_folder": str(generator / "vae")}
    one_step = Loop._one_step

    def killed_at_two(loop: Loop, progress: float):
        if loop.step == 2:
            raise KeyboardInterrupt
        return one_step(loop, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_one_step", killed_at_two)
        often = {**DENOISER, "checkpoint_minutes": 0.0}
        with pytest.raises(KeyboardInterrupt):
            train_generator(settings(**{**only, "denoiser": often}), tmp_path)
    train_generator(settings(**only), tmp_path)
    for part in ("unet", "text_encoder"):
        (ours,), (theirs,) = (
            list((folder / part).glob("*.safetensors")) for folder in (generator, tmp_path)
        )
        assert ours.read_bytes() == theirs.read_bytes(), part


def test_starts_from_the_text_tower_of_a_clip_folder(opened_dataset, tmp_path: Path):
    clip = ClipSettings.model_validate(
        {**LOOP, "vision_hidden_size": 16, "vision_num_layers": 1, "vision_num_heads": 2}
        | {"text_hidden_size": 16, "text_num_layers": 1, "text_num_heads": 2, "projection_size": 8}
    )
    train_clip(clip, tmp_path)
    start = {"init_text_encoder": str(tmp_path / "clip")}
    encoder = make_text_encoder(
        DenoiserSettings.model_validate({**DENOISER, **start}), load_tokenizer(tmp_path / "clip")
    )
    stored = load_file(tmp_path / "clip" / "model.safetensors")
    name = "text_model.embeddings.token_embedding.weight"
    ours = {key.removeprefix("text_model."): value for key, value in encoder.state_dict().items()}
    assert torch.equal(ours[name.removeprefix("text_model.")], stored[name].float())
    train_generator(settings(denoiser={**DENOISER, **start}), tmp_path / "generator")
    shared = [path / "vocab.json" for path in (tmp_path / "clip", tmp_path / "generator/tokenizer")]
    assert shared[0].read_bytes() == shared[1].read_bytes()


def test_missing_autoencoder(opened_dataset, tmp_path: Path):
    with pytest.raises(ModelError, match="train phase vae first, or set vae_folder"):
        train_generator(settings(phase="denoiser"), tmp_path)


def test_the_schedule_ends_without_signal():
    levels = make_scheduler().alphas_cumprod
    assert float(levels[-1]) == pytest.approx(0.0, abs=1e-7)
    assert float(levels[0]) > 0.99
    scheduler = make_scheduler()
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0] == 999


def test_loss_weights_equal_their_equation():
    alpha_bar = torch.tensor([0.0, 0.3, 0.9, 0.99])
    snr = alpha_bar / (1 - alpha_bar)
    expected = torch.minimum(snr + 1, torch.tensor(5.0)) / (snr + 1)
    torch.testing.assert_close(loss_weights(alpha_bar, 5.0), expected)
    assert loss_weights(alpha_bar, 5.0)[0] == 1.0


@pytest.fixture
def denoising(tmp_path: Path) -> Denoising:
    torch.manual_seed(0)
    small = DenoiserSettings.model_validate({**DENOISER, "empty_prompt_rate": 0.0})
    tokenizer = train_tokenizer(["a bright left half"], tmp_path)
    return Denoising(
        small,
        make_denoiser(small, 16, 2),
        make_text_encoder(small, tokenizer),
        make_scheduler(),
        token_ids(tokenizer, [""]),
    )


def test_the_target_is_v(denoising: Denoising):
    # A denoiser that says nothing is wrong by the mean square of v itself.
    for parameter in denoising.unet.parameters():
        torch.nn.init.zeros_(parameter)
    torch.manual_seed(1)
    clean, noise = torch.randn(2, 4, 2, 16, 16)
    positions = torch.tensor([0.0, 0.3, 0.6, 0.999])
    errors, alpha_bar = denoising._errors(
        clean, noise, positions, denoising.empty_prompt.expand(4, -1)
    )
    velocity = DDIMScheduler.get_velocity(make_scheduler(), clean, noise, (positions * 1000).long())
    torch.testing.assert_close(errors, velocity.square().mean(dim=(1, 2, 3)))
    assert alpha_bar.tolist() == sorted(alpha_bar.tolist(), reverse=True)


def test_prompt_dropout_rate(denoising: Denoising, monkeypatch):
    seen: list[torch.Tensor] = []
    original = Denoising._errors

    def watched(self, clean, noise, positions, prompts):
        seen.append(prompts)
        return original(self, clean, noise, positions, prompts)

    monkeypatch.setattr(Denoising, "_errors", watched)
    prompts = torch.full((200, 77), 7)
    clean = torch.zeros(200, 2, 4, 4)
    for rate in (0.0, 0.25):
        chosen = denoising.settings.model_copy(update={"empty_prompt_rate": rate})
        changed = Denoising(
            chosen,
            denoising.unet,
            denoising.text_encoder,
            denoising.scheduler,
            denoising.empty_prompt,
        )
        changed.loss(clean, prompts, torch.Generator().manual_seed(0))
    fractions = [float((tokens != 7).any(dim=1).float().mean()) for tokens in seen]
    assert fractions[0] == 0.0
    assert 0.15 < fractions[1] < 0.35


def test_latents_are_encoded_once_and_again_for_another_autoencoder(dataset, tmp_path: Path):
    torch.manual_seed(0)
    first = make_vae(VaeSettings.model_validate(VAE), 32).eval()
    latents = encode_latents(first, dataset, tmp_path, CPU)
    with torch.inference_mode():
        expected = first.encode(as_vae_input(dataset.images, CPU)).latent_dist
    np.testing.assert_allclose(latents.mean, expected.mean.numpy(), atol=2e-3)
    np.testing.assert_allclose(latents.std, expected.std.numpy(), atol=2e-3)
    stamp = (tmp_path / "mean.npy").stat().st_mtime_ns
    encode_latents(first, dataset, tmp_path, CPU)
    assert (tmp_path / "mean.npy").stat().st_mtime_ns == stamp
    done = json.loads((tmp_path / "done.json").read_text())
    for wrong in (99, -1, True, "5", None, 1.5):
        (tmp_path / "done.json").write_text(json.dumps({**done, "num_images": wrong}))
        np.save(tmp_path / "mean.npy", np.zeros_like(latents.mean))
        encoded = encode_latents(first, dataset, tmp_path, CPU)
        np.testing.assert_allclose(encoded.mean, expected.mean.numpy(), atol=2e-3)
    other = make_vae(VaeSettings.model_validate(VAE), 32).eval()
    again = encode_latents(other, dataset, tmp_path, CPU)
    assert not np.allclose(again.mean, expected.mean.numpy(), atol=2e-3)


def test_denoiser_starts_from_a_trained_one(generator: Path):
    start = DenoiserSettings.model_validate({**DENOISER, "init": generator})
    unet = make_denoiser(start, latent_size=16, channels=2)
    stored = load_file(generator / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(
        torch.equal(unet.state_dict()[name], value.float()) for name, value in stored.items()
    )
    encoder = make_text_encoder(start, load_tokenizer(generator))
    stored = load_file(generator / "text_encoder" / "model.safetensors")
    ours = {name.removeprefix("text_model."): each for name, each in encoder.state_dict().items()}
    for name, value in stored.items():
        assert torch.equal(ours[name.removeprefix("text_model.")], value.float()), name


def test_a_denoiser_for_other_latents_is_refused(generator: Path):
    start = DenoiserSettings.model_validate({**DENOISER, "init": generator})
    with pytest.raises(ModelError, match=r"size 16 and 2 channels; the autoencoder has size 8 and"):
        make_denoiser(start, latent_size=8, channels=2)
