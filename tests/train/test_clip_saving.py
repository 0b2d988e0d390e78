"""Saved models: a folder for scorers, and a file for CheXzero's code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from pairaug.clip.encoders import open_encoder
from pairaug.errors import ModelError, SettingsError
from pairaug.imaging.io import fit_square
from pairaug.train.clip import ClipSettings, train_clip
from pairaug.train.processes import Processes
from support.openai_clip import OpenAIClip
from support.original_layouts import generated, openai_clip_shapes, openai_tokenizer

READ = {"layout": "phantom", "num_patients": 10, "size": 64, "seed": 4}
SMALL = {
    "sources": [{"read": READ}],
    "device": "cpu",
    "batch_size": 4,
    "max_steps": 2,
    "warmup_steps": 1,
    "max_validation_pairs": 0,
    "save_dtype": "float32",
}
VIT = {
    "tokenizer": "bundled",
    "image_size": 32,
    "vision_hidden_size": 64,
    "vision_num_layers": 2,
    "vision_num_heads": 1,
    "text_hidden_size": 128,
    "text_num_layers": 2,
    "text_num_heads": 2,
    "projection_size": 8,
}


def settings(**changes: object) -> ClipSettings:
    return ClipSettings.model_validate({**SMALL, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train_clip(settings(**VIT), out)
    return out


def test_chexzeros_own_model_loads_the_file_and_sees_the_same(trained: Path):
    weights = torch.load(trained / "chexzero.pt", weights_only=True)
    model = OpenAIClip(
        size=32, patch=16, width=64, layers=2, text_width=128, text_layers=2,
        vocabulary=len(weights["token_embedding.weight"]), dimension=8,
    )  # fmt: skip
    model.load_state_dict(weights, strict=True)
    ours = CLIPModel.from_pretrained(trained / "clip").eval()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 3, 32, 32, generator=generator)
    end = len(weights["token_embedding.weight"]) - 1
    tokens = torch.randint(0, end - 1, (3, 77), generator=generator)
    tokens[0, 20:], tokens[1, 76], tokens[2, 5:] = end, end, end
    with torch.inference_mode():
        images = ours.get_image_features(pixel_values=pixels).pooler_output
        reports = ours.get_text_features(input_ids=tokens).pooler_output
        torch.testing.assert_close(model.eval().encode_image(pixels), images, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model.encode_text(tokens), reports, atol=1e-5, rtol=1e-4)


def test_the_file_starts_another_training_with_the_same_weights(trained: Path, tmp_path: Path):
    chosen = {**VIT, "tokenizer": trained / "clip", "allow_pickle": True}
    del chosen["image_size"]
    start = settings(**chosen, init=trained / "chexzero.pt", learning_rate=1e-12, weight_decay=0.0)
    train_clip(start, tmp_path)
    before = load_file(trained / "clip" / "model.safetensors")
    after = load_file(tmp_path / "clip" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=0, msg=name)


def test_pickle_needs_consent(trained: Path, tmp_path: Path):
    start = settings(init=trained / "chexzero.pt", tokenizer=trained / "clip")
    with pytest.raises(ModelError, match=r"chexzero\.pt is a pickle"):
        train_clip(start, tmp_path)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("architecture", ["vit", "resnet"])
def test_scorer_equals_training(fit: str, architecture: str, tmp_path: Path):
    chosen = {**VIT, "architecture": architecture, "hidden_sizes": (8, 16), "fit": fit}
    train_clip(settings(**chosen), tmp_path)
    encoder = open_encoder(tmp_path / "clip")
    rows, columns = np.mgrid[0:96, 0:64].astype(np.float32) / 64
    image = np.clip(0.6 * rows + 0.3 * np.sin(9 * columns) * rows, 0.0, 1.0)
    as_trained = fit_square(image, 32, fit)  # type: ignore[arg-type]
    ours, theirs = encoder.encode_images([image, as_trained])
    assert float(ours @ theirs) > 0.995
    assert encoder.encode_reports(["No edema."]).shape == (1, 8)
    other = fit_square(image, 32, "pad" if fit == "crop" else "crop")
    assert float(ours @ encoder.encode_images([other])[0]) < float(ours @ theirs)


def test_the_paper_recipe_starts_from_openais_weights(tmp_path: Path):
    """ViT-B/32's widths with one layer each; the folder keeps OpenAI's window and end token."""
    tokenizer = openai_tokenizer()
    start = tmp_path / "openai"
    start.mkdir()
    tokenizer.save_pretrained(start)
    (start / "config.json").write_text('{"model_type": "chexzero"}')
    weights = generated(openai_clip_shapes(1, 1, len(tokenizer)))
    save_file(weights, start / "model.safetensors", metadata={"format": "pt"})
    chosen = ClipSettings.model_validate({
        **SMALL, "preset": "chexzero", "init": start, "max_steps": 1, "batch_size": 2,
    })  # fmt: skip
    assert (chosen.optimizer, chosen.momentum, chosen.learning_rate) == ("sgd", 0.9, 1e-4)
    train_clip(chosen, tmp_path / "out")
    saved = torch.load(tmp_path / "out" / "chexzero.pt", weights_only=True)
    assert {name: tuple(value.shape) for name, value in saved.items()} == {
        name: tuple(value.shape) for name, value in weights.items()
    }
    assert not torch.equal(saved["visual.conv1.weight"], weights["visual.conv1.weight"])
    torch.testing.assert_close(
        saved["text_projection"], weights["text_projection"], atol=0.05, rtol=0
    )


def test_a_siglip_model_is_trained_with_the_sigmoid_loss(tmp_path: Path):
    from transformers import SiglipConfig, SiglipModel

    tokenizer = openai_tokenizer()
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    tower["num_attention_heads"] = 2
    text = {**tower, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    text["projection_size"] = 16
    config = SiglipConfig(
        text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 16}
    )
    torch.manual_seed(0)
    SiglipModel(config).save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    train_clip(settings(init=tmp_path / "start"), tmp_path)
    before = load_file(tmp_path / "start" / "model.safetensors")
    after = load_file(tmp_path / "clip" / "model.safetensors")
    assert not torch.equal(before["logit_bias"], after["logit_bias"])
    assert open_encoder(tmp_path / "clip").encode_reports(["No edema."]).shape == (1, 16)
    assert not (tmp_path / "chexzero.pt").exists()


def test_settings_override_the_preset():
    assert (ClipSettings().max_minutes, ClipSettings().max_steps) == (40.0, None)
    paper = ClipSettings.model_validate({"preset": "chexzero", "learning_rate": 5e-5})
    assert (paper.learning_rate, paper.epochs, paper.batch_size) == (5e-5, 4, 64)
    timed = ClipSettings.model_validate({"preset": "tiny", "epochs": 2})
    assert (timed.max_steps, timed.epochs, timed.image_size) == (None, 2, 64)
    again = ClipSettings.model_validate(timed.model_dump())
    assert again == timed


def test_rejects_conflicting_settings(trained: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="init and config exclude each other"):
        settings(init=trained / "clip", config=trained / "clip")
    with pytest.raises(ModelError, match="image_size is 64, but the model that training starts"):
        train_clip(settings(init=trained / "clip", image_size=64), tmp_path)
    tokenizer = openai_tokenizer()
    tokenizer.add_tokens([f"new{number}" for number in range(3000)])
    tokenizer.save_pretrained(tmp_path / "words")
    with pytest.raises(ModelError, match=r"the tokenizer has \d+ tokens, the model embeddings for"):
        train_clip(settings(init=trained / "clip", tokenizer=tmp_path / "words"), tmp_path)
    with pytest.raises(ValueError, match="patience needs best_by"):
        settings(patience=2)
    with pytest.raises(SettingsError, match="which 3 processes cannot share evenly"):
        Processes(0, 3).slice_of(4)
