"""Models in the layouts in which others publish them, against forward passes written out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipModel

from pairaug.clip.encoders import open_encoder
from pairaug.clip.medclip import open_medclip
from pairaug.errors import ModelError
from support.original_forward_passes import (
    chexzero_image,
    chexzero_text,
    medclip_image,
    medclip_text,
    rad_dino_image,
    siglip_image,
    siglip_text,
)
from support.original_layouts import (
    bert_tokenizer,
    generated,
    medclip_shapes,
    medclip_weights,
    openai_clip_shapes,
    openai_tokenizer,
    write_folder,
    write_rad_dino,
)
from support.tiny_clip import WORDS

REPORTS = [
    "No pleural effusion.",
    "the heart is enlarged. small left pleural effusion",
    "severe edema in the right lung, and a large effusion. " * 4,
]


def _images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(300, 260), (90, 400), (120, 100)]
    return [(rng.integers(0, 256, shape) / 255).astype(np.float32) for shape in shapes]


def _levels(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def medclip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = bert_tokenizer()
    weights = medclip_weights(depths=(2, 1, 2, 1), num_layers=4, vocabulary=len(tokenizer))
    return write_folder(
        tmp_path_factory.mktemp("models") / "medclip", "medclip", weights, tokenizer
    )


@pytest.fixture(scope="module")
def chexzero(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = openai_tokenizer()
    weights = generated(openai_clip_shapes(2, 2, vocabulary=len(tokenizer)))
    weights["input_resolution"] = torch.tensor(224)
    folder = tmp_path_factory.mktemp("models") / "chexzero"
    return write_folder(folder, "chexzero", weights, tokenizer)


def test_medclip_images_equal_its_forward_pass(medclip: Path) -> None:
    weights = load_file(medclip / "model.safetensors")
    vectors = open_encoder(medclip, batch_size=2).encode_images(_images())
    for image, vector in zip(_images(), vectors, strict=True):
        assert np.abs(vector - medclip_image(weights, _levels(image))).max() < 1e-5
    assert np.linalg.norm(vectors[0] - vectors[1]) > 0.05


def test_medclip_single_text_equals_the_original(medclip: Path) -> None:
    weights = load_file(medclip / "model.safetensors")
    tokenizer = bert_tokenizer()
    encoder = open_encoder(medclip, batch_size=4)
    vectors = encoder.encode_reports(REPORTS)
    for report, vector in zip(REPORTS, vectors, strict=True):
        expected = medclip_text(weights, tokenizer(report)["input_ids"])
        assert np.abs(vector - expected).max() < 1e-5
        # Whatever the company: another batch gives the same bits.
        assert np.array_equal(encoder.encode_reports([report])[0], vector)
    assert np.linalg.norm(vectors[0] - vectors[1]) > 0.05


def test_medclip_saved_by_a_new_transformers_is_the_same(medclip: Path, tmp_path: Path) -> None:
    model = open_medclip(medclip, torch.float32, allow_pickle=False).model
    published = load_file(medclip / "model.safetensors")
    weights = {
        f"{tower}_model.model.{name}": value
        for tower in ("vision", "text")
        for name, value in getattr(model, tower).state_dict().items()
    }
    weights |= {name: published[name] for name in published if "projection_head" in name}
    weights["logit_scale"] = published["logit_scale"]
    assert not {name for name in weights if "_proj." in name} & published.keys()
    folder = write_folder(tmp_path / "new", "medclip", weights, bert_tokenizer())
    old, new = (open_encoder(each, batch_size=2) for each in (medclip, folder))
    assert np.array_equal(new.encode_images(_images()), old.encode_images(_images()))
    assert np.array_equal(new.encode_reports(REPORTS), old.encode_reports(REPORTS))
    name = next(name for name in weights if "q_proj" in name)
    write_folder(
        tmp_path / "cut", "medclip", {n: weights[n] for n in weights if n != name}, bert_tokenizer()
    )
    with pytest.raises(ModelError, match="lacks 1 weight; the first is"):
        open_encoder(tmp_path / "cut")


def test_medclip_scale_stands_apart(medclip: Path) -> None:
    assert open_encoder(medclip).logit_scale == pytest.approx(np.exp(2.0))


@pytest.mark.slow
def test_medclip_at_its_published_shapes(tmp_path: Path) -> None:
    weights = medclip_weights()
    folder = write_folder(tmp_path / "full", "medclip", weights, bert_tokenizer())
    encoder = open_encoder(folder)
    ids = bert_tokenizer()(REPORTS[1])["input_ids"]
    assert np.abs(encoder.encode_reports(REPORTS[1:2])[0] - medclip_text(weights, ids)).max() < 1e-4
    image = _images()[0]
    expected = medclip_image(weights, _levels(image))
    assert np.abs(encoder.encode_images([image])[0] - expected).max() < 1e-4


def test_chexzero_equals_its_forward_pass(chexzero: Path) -> None:
    weights = load_file(chexzero / "model.safetensors")
    tokenizer = openai_tokenizer()
    encoder = open_encoder(chexzero, batch_size=2)
    for image, vector in zip(_images(), encoder.encode_images(_images()), strict=True):
        assert np.abs(vector - chexzero_image(weights, _levels(image))).max() < 1e-5
    for report, vector in zip(REPORTS[:2], encoder.encode_reports(REPORTS[:2]), strict=True):
        expected = chexzero_text(weights, tokenizer(report)["input_ids"])
        assert np.abs(vector - expected).max() < 1e-5
    assert len(encoder.windows(REPORTS[2] * 2).texts) > 1


@pytest.mark.slow
def test_chexzero_at_its_published_shapes(tmp_path: Path) -> None:
    shapes = dict(openai_clip_shapes())
    assert len(shapes) == 302  # weights of OpenAI's ViT-B/32
    weights = generated(iter(shapes.items()))
    folder = write_folder(tmp_path / "full", "chexzero", weights, openai_tokenizer())
    image = _images()[0]
    vector = open_encoder(folder).encode_images([image])[0]
    assert np.abs(vector - chexzero_image(weights, _levels(image))).max() < 1e-4


def test_rad_dino_equals_its_forward_pass_and_has_no_reports(tmp_path: Path) -> None:
    folder = write_rad_dino(tmp_path / "rad-dino")
    weights = load_file(folder / "model.safetensors")
    image = (np.random.default_rng(1).integers(0, 256, (518, 518)) / 255).astype(np.float32)
    encoder = open_encoder(folder, batch_size=1)
    vector = encoder.encode_images([image])[0]
    assert np.abs(vector - rad_dino_image(weights, _levels(image))).max() < 1e-5
    assert not encoder.encodes_reports
    assert encoder.logit_scale is None
    with pytest.raises(ModelError, match="encodes images only"):
        encoder.encode_reports(["no effusion"])


def _write_siglip(folder: Path) -> tuple[Path, PreTrainedTokenizerFast]:
    words = ["</s>", "<unk>", *WORDS, "."]
    plain = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, "<unk>"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
    )
    tower = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2}
    torch.manual_seed(0)
    model = SiglipModel(
        SiglipConfig(
            vision_config={**tower, "num_attention_heads": 2, "image_size": 32, "patch_size": 8},
            text_config={
                **tower,
                "num_attention_heads": 3,
                "vocab_size": len(words),
                "max_position_embeddings": 16,
                "projection_size": 24,
            },
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        model.logit_scale.fill_(1.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transform = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "resample": 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(transform))
    return folder, tokenizer


def test_siglip_equals_its_forward_pass(tmp_path: Path) -> None:
    folder, tokenizer = _write_siglip(tmp_path / "siglip")
    weights = load_file(folder / "model.safetensors")
    encoder = open_encoder(folder, batch_size=2)
    image = (np.random.default_rng(1).integers(0, 256, (32, 32)) / 255).astype(np.float32)
    pixels = torch.tensor((image - 0.5) / 0.5).expand(3, -1, -1)
    expected = siglip_image(weights, pixels, num_heads=2)
    assert np.abs(encoder.encode_images([image])[0] - expected).max() < 2e-6
    reports = [REPORTS[1], "no edema in the left lung"]
    for report, vector in zip(reports, encoder.encode_reports(reports), strict=True):
        ids = tokenizer(report)["input_ids"]
        expected = siglip_text(weights, ids + [0] * (16 - len(ids)), num_heads=3)
        assert np.abs(vector - expected).max() < 2e-6
    assert encoder.logit_scale == pytest.approx(np.exp(1.5))
    # A whole image is squeezed into the square, not cropped.
    wide = np.zeros((32, 64), dtype=np.float32)
    wide[:, :4] = 1.0
    assert not np.allclose(*encoder.encode_images([wide, np.zeros_like(wide)]), atol=1e-4)


def test_a_tokenizer_that_needs_another_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = _write_siglip(tmp_path / "siglip")

    def lacking(*args: object, **options: object) -> None:
        raise ImportError("SiglipTokenizer requires the SentencePiece library\nand so on")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lacking)
    with pytest.raises(ModelError, match=r"needs sentencepiece: pip install sentencepiece$"):
        open_encoder(folder)


def test_a_missing_weight_and_a_wrong_shape_are_named(medclip: Path, tmp_path: Path) -> None:
    weights = load_file(medclip / "model.safetensors")
    tokenizer = bert_tokenizer()
    lacking = {name: value for name, value in weights.items() if name != "logit_scale"}
    folder = write_folder(tmp_path / "lacking", "medclip", lacking, tokenizer)
    with pytest.raises(ModelError, match=r"lacks the weight logit_scale"):
        open_encoder(folder)
    name = "text_model.projection_head.weight"
    weights[name] = weights[name][:, :700].contiguous()
    folder = write_folder(tmp_path / "misshapen", "medclip", weights, tokenizer)
    with pytest.raises(ModelError, match=rf"{name} has the shape 512 × 700, .* needs 512 × 768"):
        open_encoder(folder)


def test_a_wrong_shape_inside_a_tower_is_named(chexzero: Path, tmp_path: Path) -> None:
    weights = load_file(chexzero / "model.safetensors")
    weights["visual.ln_pre.bias"] = weights["visual.ln_pre.bias"][:700].clone()
    folder = write_folder(tmp_path / "misshapen", "chexzero", weights, openai_tokenizer())
    with pytest.raises(ModelError, match=r"pre_layrnorm\.bias has the shape 700, .* needs 768"):
        open_encoder(folder)
    weights["unknown"] = torch.zeros(1)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match="a weight unknown to OpenAI's CLIP: unknown"):
        open_encoder(folder)


def test_medclip_layout_is_the_published_one() -> None:
    shapes = dict(medclip_shapes())
    num_weights = sum(int(np.prod(shape)) for shape in shapes.values())
    assert shapes["vision_model.projection_head.weight"] == (512, 768)
    # 27.5 million in Swin-tiny, 108.3 in BERT-base, 0.8 in both projections.
    assert num_weights == pytest.approx(136.6e6, rel=0.002)
