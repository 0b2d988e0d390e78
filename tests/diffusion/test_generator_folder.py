"""Which folders are generators that can be used, and the hash over one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pairaug.diffusion.folder import model_folder, variant_of, weights_sha256
from pairaug.errors import ModelError


@pytest.fixture
def copied(generator_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generator_folder, tmp_path / "model"))


def rewrite_index(folder: Path, class_name: str, **changes: object) -> None:
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "_class_name": class_name, **changes}))


def test_a_local_folder_is_used_as_it_is(generator_folder: Path) -> None:
    assert model_folder(str(generator_folder)) == generator_folder


@pytest.mark.parametrize(
    "class_name",
    ["StableDiffusion3Pipeline", "FluxPipeline", "PixArtSigmaPipeline", "SanaPipeline"],
)
def test_transformer_denoisers_are_refused_by_name(copied: Path, class_name: str) -> None:
    rewrite_index(copied, class_name, transformer=["diffusers", "Transformer2DModel"])
    with pytest.raises(ModelError, match=f"is a {class_name}, whose denoiser is a transformer"):
        model_folder(str(copied))


def test_models_with_two_text_encoders_are_refused_by_name(copied: Path) -> None:
    rewrite_index(copied, "StableDiffusionXLPipeline", text_encoder_2=["transformers", "CLIP"])
    with pytest.raises(ModelError, match="StableDiffusionXLPipeline, which has two text encoders"):
        model_folder(str(copied))


def test_a_folder_that_is_no_generator_is_refused(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model_index\.json"):
        model_folder(str(tmp_path))
    shutil.rmtree(copied / "scheduler")
    with pytest.raises(ModelError, match="lacks scheduler"):
        model_folder(str(copied))


def test_a_damaged_index_is_one_clear_line(copied: Path) -> None:
    (copied / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match=r"model_index\.json cannot be read as JSON"):
        model_folder(str(copied))


def test_pickled_weights_need_permission(copied: Path) -> None:
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match=r"pickled weights only in unet.*allow_pickle: true"):
        model_folder(str(copied))
    assert model_folder(str(copied), allow_pickle=True) == copied
    weights.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match="has no weights in unet"):
        model_folder(str(copied), allow_pickle=True)


def test_a_model_that_is_nowhere_says_where_was_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="nobody/no-such-model at revision v2: it is no local"):
        model_folder("nobody/no-such-model", revision="v2")


def test_weights_stored_as_a_half_precision_variant_are_found(copied: Path) -> None:
    assert variant_of(copied, "vae") is None
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert variant_of(copied, "vae") == "fp16"


def test_the_hash_covers_weights_and_configurations_and_nothing_else(copied: Path) -> None:
    before = weights_sha256(copied)
    (copied / "safety_checker").mkdir()
    (copied / "safety_checker" / "model.safetensors").write_bytes(b"x")
    (copied / "README.md").write_text("words")
    assert weights_sha256(copied) == before
    config = copied / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("epsilon", "v_prediction"))
    changed = weights_sha256(copied)
    assert changed != before
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert weights_sha256(copied) not in (before, changed)
