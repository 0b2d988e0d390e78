"""Trainings start from the bundled models as from a folder, or say in one line why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor

from pairaug import bundled
from pairaug.diffusion.pipeline import load_pipeline
from pairaug.errors import PairAugError
from pairaug.train.clip.model import load_given_model, make_clip
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.denoiser import DenoiserSettings, make_denoiser, make_text_encoder
from pairaug.train.generator import GeneratorSettings, train_generator
from pairaug.train.tokenizer import load_tokenizer
from pairaug.train.vae import VaeSettings, load_vae, make_vae

GENERATOR = bundled.folder("generator")
BUNDLED = Path("bundled")
LOOP: dict[str, Any] = {"device": "cpu", "batch_size": 4, "max_steps": 2, "max_minutes": None}


def stored_in(folder: Path) -> dict[str, Tensor]:
    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def assert_holds(model: Any, stored: dict[str, Tensor], prefix: str = "") -> None:
    """All of `stored` under `prefix` is in `model`."""
    own = {name.removeprefix("text_model."): each for name, each in model.state_dict().items()}
    named = {
        name.removeprefix("text_model."): each
        for name, each in stored.items()
        if name.startswith(prefix)
    }
    assert named
    for name, value in named.items():
        assert torch.equal(own[name], value.to(own[name].dtype)), name


def denoiser(**changes: Any) -> DenoiserSettings:
    return DenoiserSettings.model_validate({**LOOP, **changes})


def test_train_clip_starts_from_the_bundled_scorer() -> None:
    model = load_given_model(ClipSettings(init=BUNDLED))
    assert_holds(model, stored_in(bundled.folder("scorer")))


def test_a_bundled_configuration_makes_new_weights() -> None:
    model: Any = load_given_model(ClipSettings(config=BUNDLED))
    stored = stored_in(bundled.folder("scorer"))
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in stored.items()
    }


def test_a_denoiser_starts_from_the_bundled_generator() -> None:
    vae = load_vae(BUNDLED)
    assert_holds(vae, stored_in(GENERATOR / "vae"))
    start = denoiser(init="bundled")
    unet = make_denoiser(start, latent_size=16, channels=int(vae.config["latent_channels"]))
    assert_holds(unet, stored_in(GENERATOR / "unet"))
    tokenizer = load_tokenizer(GENERATOR)
    assert_holds(make_text_encoder(start, tokenizer), stored_in(GENERATOR / "text_encoder"))
    from_scorer = make_text_encoder(denoiser(init_text_encoder="bundled"), tokenizer)
    assert_holds(from_scorer, stored_in(bundled.folder("scorer")), "text_model.")


def test_an_autoencoder_starts_from_the_bundled_one() -> None:
    assert_holds(make_vae(VaeSettings(init=BUNDLED), 96), stored_in(GENERATOR / "vae"))


def test_the_bundled_classifier_has_no_tower_for_train_clip() -> None:
    with pytest.raises(PairAugError, match=r"holds a resnet; .* mobilenet") as caught:
        make_clip(ClipSettings(image_encoder=BUNDLED), 96, load_tokenizer(GENERATOR))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: load_given_model(ClipSettings(init=model)),
        lambda model: make_vae(VaeSettings(init=model), 96),
        lambda model: make_denoiser(denoiser(init=model), 12, 4),
        lambda model: denoiser(init_text_encoder=model).text_folder,
    ],
)
def test_hub_id_message(call: Any) -> None:
    with pytest.raises(PairAugError, match="hf download someone/a-model --local-dir") as caught:
        call(Path("someone/a-model"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shift", [None, 0.3])
def test_three_channel_autoencoder(
    opened_dataset: Any, tmp_path: Path, shift: float | None
) -> None:
    """Its shift is left out of training and of what is saved, as Stable Diffusion's own are."""
    torch.manual_seed(0)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        norm_num_groups=2,
        latent_channels=2,
        sample_size=32,
        shift_factor=shift,
    ).save_pretrained(tmp_path / "vae-3")
    small = {"block_out_channels": (8, 16), "head_size": 4, "norm_num_groups": 4}
    text = {"text_hidden_size": 16, "text_num_layers": 1, "text_num_heads": 2}
    settings = GeneratorSettings.model_validate(
        {
            "phase": "denoiser",
            "vae_folder": tmp_path / "vae-3",
            "denoiser": {**LOOP, "warmup_steps": 1, "log_steps": 2, **small, **text},
        }
    )
    train_generator(settings, tmp_path / "out")
    pipeline = load_pipeline(tmp_path / "out")
    image = opened_dataset.images[:1].astype(np.float32) / 255
    pixels = torch.from_numpy(2 * image - 1)[:, None].expand(-1, 3, -1, -1)
    mean = pipeline.vae.encode(pixels).latent_dist.mean
    expected = mean * pipeline.vae.config["scaling_factor"]
    assert torch.allclose(pipeline.encode_latents(image), expected, atol=1e-5)
    assert pipeline.decode_latents(pipeline.encode_latents(image)).shape == (1, 32, 32)
