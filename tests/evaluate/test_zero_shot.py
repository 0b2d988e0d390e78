"""Zero-shot probabilities against a computation written out from model and tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from pairaug.clip.encoders import open_encoder
from pairaug.clip.transform import ImageTransform, image_settings
from pairaug.errors import ModelError, SettingsError
from pairaug.evaluate.prompts import Captions, captions_of, finding_name
from pairaug.evaluate.zero_shot import findings_probabilities
from support.tiny_clip import write_image_model

FINDINGS = ("pleural effusion", "edema")
ENSEMBLE = (("{}", "no {}"), ("there is {}", "the lungs are clear"), ("large {}", "no {}"))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 40, 36), dtype=np.uint8)


def _by_hand(folder: Path, images: np.ndarray, positive: list[str], negative: list[str]):
    """exp(cos +) / (exp(cos +) + exp(cos -)), one image and one caption at a time."""
    model = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    transform = ImageTransform(image_settings(folder), 3)

    def caption(text: str) -> np.ndarray:
        states = model.text_model(**tokenizer(text, return_tensors="pt")).pooler_output
        vector = model.text_projection(states)[0].detach().double().numpy()
        return vector / np.sqrt((vector**2).sum())

    def side(texts: list[str]) -> np.ndarray:
        mean = sum(caption(text) for text in texts) / len(texts)
        return mean / np.sqrt((mean**2).sum())

    sides = side(positive), side(negative)
    found = []
    for image in images:
        pixels = transform([image.astype(np.float32) / 255])
        states = model.vision_model(pixel_values=pixels).pooler_output
        vector = model.visual_projection(states)[0].detach().double().numpy()
        vector /= np.sqrt((vector**2).sum())
        yes, no = (np.exp((vector * each).sum()) for each in sides)
        found.append(yes / (yes + no))
    return np.array(found)


def test_equals_a_direct_computation(tiny_scorer_folder: Path, images: np.ndarray) -> None:
    with torch.inference_mode():
        expected = _by_hand(tiny_scorer_folder, images, ["edema"], ["no edema"])
    encoder = open_encoder(tiny_scorer_folder, batch_size=4)
    found = findings_probabilities(encoder, images, FINDINGS)
    assert found.shape == (11, 2)
    assert found.dtype == np.float32
    assert np.abs(found[:, 1] - expected).max() < 1e-5
    assert np.ptp(expected) > 1e-3


def test_ensembles_average_unit_vectors(tiny_scorer_folder: Path, images: np.ndarray) -> None:
    positive = ["edema", "there is edema", "large edema"]
    with torch.inference_mode():
        expected = _by_hand(
            tiny_scorer_folder, images, positive, ["no edema", "the lungs are clear"]
        )
    encoder = open_encoder(tiny_scorer_folder, batch_size=4)
    found = findings_probabilities(encoder, images, FINDINGS, ENSEMBLE)
    assert np.abs(found[:, 1] - expected).max() < 1e-5


def test_images_may_be_a_stream_of_any_kind(tiny_scorer_folder: Path, images: np.ndarray) -> None:
    encoder = open_encoder(tiny_scorer_folder, batch_size=4)
    whole = findings_probabilities(encoder, images, FINDINGS)
    levels = images.astype(np.float64) / 255
    assert np.array_equal(
        findings_probabilities(encoder, (each for each in levels), FINDINGS), whole
    )
    assert findings_probabilities(encoder, [], FINDINGS).shape == (0, 2)


def test_captions_of_no_finding() -> None:
    captions = captions_of(["no finding", "edema"])
    assert captions["edema"] == Captions(("edema",), ("no edema",))
    assert captions["no finding"].positive == ("no acute cardiopulmonary abnormality",)
    assert captions["no finding"].negative == ("acute cardiopulmonary abnormality",)
    plain = captions_of(["no finding"], own_templates={})
    assert plain["no finding"].negative == ("no no finding",)


def test_names_in_captions() -> None:
    captions = captions_of(["hernia"], ENSEMBLE[:2], names={"hernia": "hiatal hernia"})
    assert captions["hernia"] == Captions(
        ("hiatal hernia", "there is hiatal hernia"), ("no hiatal hernia", "the lungs are clear")
    )
    with pytest.raises(SettingsError, match="same caption for present and absent"):
        captions_of(["edema"], [("{}", "{}")])


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Effusion", "pleural effusion"),
        ("Pleural_Thickening", "pleural thickening"),
        ("No Finding", "no finding"),
        ("Enlarged Cardiomediastinum", "enlarged cardiomediastinum"),
        ("Nodule/Mass", "nodule/mass"),
    ],
)
def test_names_have_one_spelling(written: str, name: str) -> None:
    assert finding_name(written) == name


def test_rejects_image_only_model(tmp_path: Path, images: np.ndarray) -> None:
    encoder = open_encoder(write_image_model(tmp_path / "images"))
    with pytest.raises(ModelError, match="needs a text tower"):
        findings_probabilities(encoder, images, FINDINGS)
