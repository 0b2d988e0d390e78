"""open_clip's checkpoints have CheXzero's names and shapes, and give their own vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pairaug.clip.chexzero import model_of_openai_weights
from pairaug.clip.convert import convert_weights
from pairaug.clip.encoders import open_encoder
from pairaug.clip.folder import model_folder
from pairaug.errors import ModelError
from support.original_forward_passes import open_clip_image, open_clip_text
from support.original_layouts import generated, openai_clip_shapes, openai_tokenizer

REPORTS = ["no pleural effusion.", "the heart is enlarged. small left pleural effusion"]


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return generated(openai_clip_shapes(1, 1, vocabulary=len(openai_tokenizer())))


@pytest.fixture
def words(tmp_path: Path) -> Path:
    openai_tokenizer().save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def hub_folder(folder: Path, weights: dict[str, Tensor], **model: object) -> Path:
    folder.mkdir()
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    openai_tokenizer().save_pretrained(folder)
    config = {"model_cfg": {"embed_dim": 512, **model}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def trained(path: Path, weights: dict[str, Tensor]) -> Path:
    named = {f"module.{name}": value for name, value in weights.items()}
    torch.save({"epoch": 3, "name": "model_ViT-B-32", "state_dict": named, "optimizer": {}}, path)
    return path


@pytest.mark.parametrize("layout", ["hub", "trainer"])
def test_vectors_are_open_clips_own(
    layout: str, weights: dict[str, Tensor], words: Path, tmp_path: Path
) -> None:
    if layout == "hub":
        source = hub_folder(tmp_path / "hub", weights, quick_gelu=False)
    else:
        source = trained(tmp_path / "epoch_3.pt", weights)
    out = convert_weights(source, tmp_path / "out", tokenizer=words, allow_pickle=True)
    encoder = open_encoder(out, batch_size=2)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((300, 260), (240, 400))]
    vectors = encoder.encode_images([(image / 255).astype(np.float32) for image in images])
    for image, vector in zip(images, vectors, strict=True):
        assert np.abs(vector - open_clip_image(weights, image)).max() < 1e-5
    for report, vector in zip(REPORTS, encoder.encode_reports(REPORTS), strict=True):
        ids = openai_tokenizer()(report)["input_ids"]
        assert np.abs(vector - open_clip_text(weights, ids)).max() < 1e-5


def test_its_configuration_may_say_quick_gelu(weights: dict[str, Tensor], tmp_path: Path) -> None:
    folder = convert_weights(
        hub_folder(tmp_path / "hub", weights, quick_gelu=True), tmp_path / "out"
    )
    config = json.loads((folder / "config.json").read_text())
    assert config["text_config"]["hidden_act"] == "quick_gelu"


def test_rejected_as_openai_weights_for_training(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = trained(tmp_path / "epoch_3.pt", weights)
    with pytest.raises(ModelError, match=r"an open_clip checkpoint.*pairaug convert"):
        model_of_openai_weights(path, torch.float32, allow_pickle=True)


def test_open_clip_folder_message(weights: dict[str, Tensor], tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", weights)
    with pytest.raises(ModelError, match=r"an open_clip folder.*pairaug convert"):
        model_folder(str(folder))
    other = hub_folder(tmp_path / "bio", weights, text_cfg={"hf_model_name": "someone/PubMedBERT"})
    with pytest.raises(ModelError, match=r"around someone/PubMedBERT, as BiomedCLIP is"):
        convert_weights(other, tmp_path / "out")
