from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from pairaug.train.clip import ClipSettings, train_clip
from pairaug.train.clip.model import PairEncoder, make_clip
from pairaug.train.loop import Loop
from pairaug.train.tokenizer import load_tokenizer, token_ids, train_tokenizer


def settings(**changes) -> ClipSettings:
    values = {
        "batch_size": 4,
        "max_steps": 4,
        "max_minutes": None,
        "warmup_steps": 1,
        "vision_hidden_size": 16,
        "vision_num_layers": 1,
        "vision_num_heads": 2,
        "text_hidden_size": 16,
        "text_num_layers": 1,
        "text_num_heads": 2,
        "projection_size": 8,
        "augmentation": 0.5,
        "device": "cpu",
    }
    return ClipSettings(**{**values, **changes})


def test_transformers_loads_the_folder(opened_dataset, tmp_path: Path):
    outcome = train_clip(settings(), tmp_path)
    assert set(outcome.metrics) == {
        "loss", "auroc", "recall_at_1", "cosine_true", "cosine_shuffled",
    }  # fmt: skip
    folder = tmp_path / "clip"
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {
        torch.float16
    }
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    image = opened_dataset.images[0]
    text = "Bright left half."
    tokens = tokenizer([text], padding="max_length", return_tensors="pt")
    pixels = processor([np.stack([image] * 3, axis=-1)], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        theirs = model(input_ids=tokens["input_ids"], pixel_values=pixels)
        images = torch.from_numpy(image).float()[None, None] / 255
        ours = PairEncoder(model, 0.5, 0.25).pairs(images, token_ids(tokenizer, [text]))
    torch.testing.assert_close(ours[0], theirs.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours[1], theirs.text_embeds, atol=1e-5, rtol=0)


def test_learns_to_separate_bright_from_clear(opened_dataset, tmp_path: Path):
    outcome = train_clip(settings(max_steps=60, learning_rate=5e-3, augmentation=0.0), tmp_path)
    # Half of the shuffled reports say the same as the own one, so that no model exceeds 0.75 much.
    assert outcome.metrics["auroc"] > 0.65
    assert outcome.metrics["cosine_true"] > outcome.metrics["cosine_shuffled"] + 0.1


def test_resumed_training_gives_the_same_bytes(opened_dataset, tmp_path: Path, monkeypatch):
    train_clip(settings(), tmp_path / "a")
    one_step = Loop._one_step

    def killed_at_two(loop: Loop, progress: float):
        if loop.step == 2:
            raise KeyboardInterrupt
        return one_step(loop, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_one_step", killed_at_two)
        with pytest.raises(KeyboardInterrupt):
            train_clip(settings(checkpoint_minutes=0.0), tmp_path / "b")
    train_clip(settings(), tmp_path / "b")
    ours, theirs = (tmp_path / name / "clip" / "model.safetensors" for name in "ab")
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_temperature_stays_within_clips_bound(opened_dataset, tmp_path: Path):
    train_clip(settings(learning_rate=50.0, max_steps=2, gradient_clip=1e6), tmp_path)
    stored = load_file(tmp_path / "clip" / "model.safetensors")["logit_scale"]
    assert 0.0 <= float(stored) <= 4.61


def test_tokens_after_the_end_change_nothing(tmp_path: Path):
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["the left half is bright"], tmp_path)
    encoder = PairEncoder(make_clip(settings(), 32, tokenizer).eval(), 0.5, 0.25)
    tokens = token_ids(tokenizer, ["Bright.", "The left half is bright."])
    with torch.inference_mode():
        together = encoder.reports(tokens)
        alone = encoder.reports(tokens[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_openais_published_configuration_names_another_end(tmp_path: Path):
    """With eos_token_id 2, transformers reads a report off the largest id; so does training."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["the left half is bright"], tmp_path)
    model = make_clip(settings(), 32, tokenizer).eval()
    tokens = token_ids(tokenizer, ["Bright.", "The left half is # bright."])
    expected = PairEncoder(model, 0.5, 0.25).reports(tokens)
    config = model.config
    config.text_config.eos_token_id = 2
    legacy = CLIPModel(config).eval()
    legacy.load_state_dict(model.state_dict())
    with torch.inference_mode():
        theirs = legacy.get_text_features(input_ids=tokens).pooler_output
        ours = PairEncoder(legacy, 0.5, 0.25).reports(tokens)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
    theirs = torch.nn.functional.normalize(theirs, dim=-1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_tokenizer_is_shared(opened_dataset, tmp_path: Path):
    train_tokenizer(["some other words"], tmp_path / "shared")
    train_clip(settings(max_steps=1, tokenizer=tmp_path / "shared"), tmp_path)
    shared = load_tokenizer(tmp_path / "shared").get_vocab()
    assert load_tokenizer(tmp_path / "clip").get_vocab() == shared
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    assert config["text_config"]["vocab_size"] == len(shared)
