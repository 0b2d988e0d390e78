"""A scorer around a classifier's tower: transformers' model of two towers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPTextModel, VisionTextDualEncoderModel

from pairaug.errors import SettingsError
from pairaug.train.classifier import ClassifierSettings, as_images, train_classifier
from pairaug.train.clip import ClipSettings, train_clip
from pairaug.train.clip.model import PairEncoder
from pairaug.train.denoiser import DenoiserSettings, make_text_encoder
from pairaug.train.tokenizer import load_tokenizer, token_ids

CPU = torch.device("cpu")
LOOP = {"batch_size": 4, "max_minutes": None, "warmup_steps": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def tower(dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tower")
    settings = ClassifierSettings.model_validate(
        {**LOOP, "max_steps": 200, "learning_rate": 1e-2, "ema_decay": 0.9, "augmentation": 0.0}
        | {"architecture": "mobilenet", "width": 0.1, "batch_size": 12}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pairaug.train.classifier.open_dataset", lambda *_: dataset)
        outcome = train_classifier(settings, folder)
    assert outcome.metrics["bright"] > 0.9
    return folder / "classifier"


@pytest.fixture(scope="module")
def scorer(dataset, tower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scorer")
    settings = ClipSettings.model_validate(
        {**LOOP, "max_steps": 40, "learning_rate": 5e-3, "image_encoder": str(tower)}
        | {"text_hidden_size": 16, "text_num_layers": 1, "text_num_heads": 2, "projection_size": 8}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pairaug.train.clip.pairs.open_dataset", lambda *_: dataset)
        outcome = train_clip(settings, folder)
    assert outcome.metrics["auroc"] > 0.65
    return folder / "clip"


def test_the_tower_is_frozen(tower: Path, scorer: Path):
    before = load_file(tower / "model.safetensors")
    after = load_file(scorer / "model.safetensors")
    shared = [name for name in before if name.startswith("mobilenet_v1.")]
    assert shared
    for name in shared:
        kept = after[name.replace("mobilenet_v1.", "vision_model.", 1)]
        assert torch.equal(before[name], kept), name


def test_transformers_loads_it_with_equal_vectors(dataset, scorer: Path):
    model = VisionTextDualEncoderModel.from_pretrained(scorer, dtype=torch.float32).eval()
    tokens = token_ids(load_tokenizer(scorer), ["Bright left half.", "Clear."])
    images = as_images(dataset.images[:2], CPU)
    with torch.inference_mode():
        ours = PairEncoder(model, 0.5, 0.25).pairs(images, tokens)
        theirs = model(input_ids=tokens, pixel_values=(images - 0.5) / 0.25)
    torch.testing.assert_close(ours[0], theirs.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours[1], theirs.text_embeds, atol=1e-5, rtol=0)


def test_stored_states_are_those_of_each_image(dataset, scorer: Path):
    model = VisionTextDualEncoderModel.from_pretrained(scorer, dtype=torch.float32)
    states = PairEncoder(model, 0.5, 0.25).all_image_states(dataset.images, CPU)
    model.eval()
    with torch.inference_mode():
        pixels = (as_images(dataset.images[5:6], CPU) - 0.5) / 0.25
        expected = model.vision_model(pixel_values=pixels).pooler_output
    torch.testing.assert_close(states[5:6], expected, atol=1e-5, rtol=1e-5)


def test_its_report_tower_starts_a_denoiser(scorer: Path):
    settings = DenoiserSettings(init_text_encoder=scorer)
    encoder = make_text_encoder(settings, load_tokenizer(scorer))
    assert isinstance(encoder, CLIPTextModel)
    stored = load_file(scorer / "model.safetensors")
    ours = {key.removeprefix("text_model."): value for key, value in encoder.state_dict().items()}
    names = [name for name in stored if name.startswith("text_model.")]
    assert len(names) == len(ours)
    for name in names:
        plain = name.removeprefix("text_model.").removeprefix("text_model.")
        assert torch.equal(ours[plain], stored[name].float()), name


def test_another_tower_is_refused(dataset, opened_dataset, tmp_path: Path):
    resnet = ClassifierSettings.model_validate(
        {**LOOP, "max_steps": 1, "embedding_size": 8, "hidden_sizes": (8,), "depths": (1,)}
    )
    train_classifier(resnet, tmp_path)
    settings = ClipSettings(max_steps=1, image_encoder=tmp_path / "classifier", device="cpu")
    with pytest.raises(SettingsError, match=r"holds a resnet; .* a mobilenet classifier only"):
        train_clip(settings, tmp_path)
