from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer, VisionTextDualEncoderModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from pairaug.clip.encoders import ImageTransform, image_settings, open_encoder
from pairaug.errors import ModelError
from support.clip_forward_pass import image_vector, text_vector
from support.tiny_clip import DEVIATION, MEAN, WINDOW, write_clip, write_dual_encoder

REPORTS = [
    "no pleural effusion.",
    "the heart is enlarged. small left pleural effusion",
    "lungs are clear",
    "severe edema in the right lung, and a large effusion.",
    "there is no pneumothorax",
]


def _images(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(32, 32), (40, 57), (64, 48), (31, 90)]
    # Eight-bit levels, as images on disk have.
    return [
        (rng.integers(0, 256, shapes[index % len(shapes)]) / 255).astype(np.float32)
        for index in range(count)
    ]


def test_image_vectors_equal_a_forward_pass_written_out(tiny_scorer_folder: Path) -> None:
    weights = load_file(tiny_scorer_folder / "model.safetensors")
    images = _images(6)
    vectors = open_encoder(tiny_scorer_folder, batch_size=4).encode_images(images)
    for image, vector in zip(images, vectors, strict=True):
        levels = np.rint(image * 255).astype(np.uint8)
        expected = image_vector(weights, levels, MEAN, DEVIATION).numpy()
        assert np.abs(vector - expected).max() < 2e-6
    assert np.abs(vectors @ vectors.T - np.eye(6)).max() > 1e-3  # they differ from each other


def test_report_vectors_equal_a_forward_pass_written_out(tiny_scorer_folder: Path) -> None:
    weights = load_file(tiny_scorer_folder / "model.safetensors")
    tokenizer = CLIPTokenizer.from_pretrained(tiny_scorer_folder)
    vectors = open_encoder(tiny_scorer_folder, batch_size=2).encode_reports(REPORTS)
    for report, vector in zip(REPORTS, vectors, strict=True):
        expected = text_vector(weights, tokenizer(report)["input_ids"]).numpy()
        assert np.abs(vector - expected).max() < 2e-6
    assert np.linalg.norm(vectors[:, None] - vectors[None], axis=-1).max() > 0.1


def test_vectors_are_unit_float32_and_none_for_none(tiny_scorer_folder: Path) -> None:
    encoder = open_encoder(tiny_scorer_folder)
    for vectors in (encoder.encode_images(_images(3)), encoder.encode_reports(REPORTS)):
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert encoder.encode_images([]).shape == (0, 12)
    assert encoder.encode_reports([]).shape == (0, 12)


def test_batch_composition_changes_nothing(tiny_scorer_folder: Path) -> None:
    encoder = open_encoder(tiny_scorer_folder, batch_size=4)
    images, long_report = _images(7), " ".join(REPORTS)
    reports = [*REPORTS, long_report]
    together = encoder.encode_images(images), encoder.encode_reports(reports)
    for index, image in enumerate(images):
        assert np.array_equal(encoder.encode_images([image])[0], together[0][index])
    for index, report in enumerate(reports):
        assert np.array_equal(encoder.encode_reports([report])[0], together[1][index])


def test_transform_equals_transformers_on_the_same_png(tiny_scorer_folder: Path) -> None:
    images = _images(4)
    pictures = [Image.fromarray(np.rint(image * 255).astype(np.uint8)) for image in images]
    expected = CLIPImageProcessorPil.from_pretrained(tiny_scorer_folder)(
        images=pictures, return_tensors="pt"
    )["pixel_values"]
    assert torch.equal(ImageTransform(image_settings(tiny_scorer_folder))(images), expected)


def test_transform_clips_what_is_out_of_range(tiny_scorer_folder: Path) -> None:
    transform = ImageTransform(image_settings(tiny_scorer_folder))
    image = np.full((32, 32), 0.5, dtype=np.float32)
    image[0, 0], image[0, 1] = 1.7, -0.3
    clipped = image.clip(0, 1)
    assert torch.equal(transform([image]), transform([clipped]))


def test_one_channel_models_work(tmp_path: Path) -> None:
    encoder = open_encoder(write_clip(tmp_path / "grey", num_channels=1))
    vectors = encoder.encode_images(_images(2))
    assert vectors.shape == (2, 12)
    assert not np.allclose(vectors[0], vectors[1])


def test_grey_models_take_a_mean_that_is_the_same_for_all_channels(
    tiny_scorer_folder: Path,
) -> None:
    settings = image_settings(tiny_scorer_folder)
    grey = {**settings, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (image,) = _images(1)
    pixels = ImageTransform(grey, num_channels=1)([image])
    assert torch.equal(pixels[0, 0], ImageTransform(grey)([image])[0, 2])
    assert pixels.shape == (1, 1, 32, 32)
    with pytest.raises(ModelError, match="3 values of image_mean, but the model has 1 channels"):
        ImageTransform(settings, num_channels=1)


def test_a_dual_encoder_of_any_two_towers_loads(tmp_path: Path) -> None:
    folder = write_dual_encoder(tmp_path / "dual")
    model = VisionTextDualEncoderModel.from_pretrained(folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    encoder = open_encoder(folder)
    images = _images(2)
    with torch.no_grad():
        pixels = ImageTransform(image_settings(folder), num_channels=1)(images)
        states = model.vision_model(pixel_values=pixels).pooler_output
        image = model.visual_projection(states)[0].numpy()
        tokens = tokenizer([REPORTS[0]], return_tensors="pt")
        text = model.text_projection(model.text_model(**tokens).pooler_output)[0].numpy()
    assert encoder.encode_images(images)[0] == pytest.approx(
        image / np.linalg.norm(image), abs=2e-6
    )
    assert encoder.encode_reports(REPORTS)[0] == pytest.approx(
        text / np.linalg.norm(text), abs=2e-6
    )


def test_long_report_is_the_average_of_its_windows(tiny_scorer_folder: Path) -> None:
    encoder = open_encoder(tiny_scorer_folder)
    report = " ".join(REPORTS)
    windows = encoder.windows(report)
    assert len(windows.texts) > 1
    assert not windows.truncated
    assert " ".join(windows.texts) == report
    rows = encoder.encode_reports(windows.texts)
    mean = (np.array(windows.num_tokens)[:, None] * rows.astype(np.float64)).sum(axis=0)
    expected = mean / np.linalg.norm(mean)
    assert np.abs(encoder.encode_reports([report])[0] - expected).max() < 1e-6


def test_last_sentence_of_a_long_report_counts_only_when_averaged(tiny_scorer_folder: Path) -> None:
    start = " ".join(REPORTS[:4])
    one, other = f"{start} {REPORTS[4]}", f"{start} the heart is normal"
    averaged = open_encoder(tiny_scorer_folder).encode_reports([one, other])
    cut = open_encoder(tiny_scorer_folder, window_policy="truncate")
    truncated = cut.encode_reports([one, other])
    assert not np.array_equal(averaged[0], averaged[1])
    assert np.array_equal(truncated[0], truncated[1])
    assert cut.windows(one).truncated
    assert cut.windows(one).num_tokens_in_report > WINDOW - 2 >= cut.windows(one).num_tokens[0]


def test_fingerprint_follows_transform_tokenizer_and_policy(
    tiny_scorer_folder: Path, tmp_path: Path
) -> None:
    fingerprint = open_encoder(tiny_scorer_folder).fingerprint
    same = tmp_path / "same"
    shutil.copytree(tiny_scorer_folder, same)
    encoder = open_encoder(same)
    encoder.encode_reports(REPORTS)
    assert open_encoder(same).fingerprint == fingerprint
    assert open_encoder(same, window_policy="truncate").fingerprint != fingerprint
    path = same / "preprocessor_config.json"
    path.write_text(path.read_text().replace("0.48", "0.49"))
    assert open_encoder(same).fingerprint != fingerprint


def test_image_settings_are_found_in_processor_config_too(
    tiny_scorer_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "newer"
    shutil.copytree(tiny_scorer_folder, folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    image = _images(1)
    expected = open_encoder(tiny_scorer_folder).encode_images(image)
    assert np.array_equal(open_encoder(folder).encode_images(image), expected)


def test_missing_weights_are_an_error_not_random_numbers(
    tiny_scorer_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lacking"
    shutil.copytree(tiny_scorer_folder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weight; the first is text_projection\.weight"):
        open_encoder(folder)


def test_wrong_shape_is_one_clear_error(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "misshapen"
    shutil.copytree(tiny_scorer_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["text_projection.weight"] = weights["text_projection.weight"][:, :5].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"text_projection\.weight has the shape 12 × 5"):
        open_encoder(folder)


def test_damaged_weights_are_an_error(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_scorer_folder, folder)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        open_encoder(folder)


def test_weights_that_are_not_finite_are_an_error(tiny_scorer_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "nan"
    shutil.copytree(tiny_scorer_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"][0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="not finite"):
        open_encoder(folder).encode_images(_images(1))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", '{"model_type": "blip"}', "of type 'blip'; supported scorers: clip"),
        ("config.json", "{", r"config\.json cannot be read: not JSON"),
        ("config.json", "[]", "has no JSON object"),
        ("preprocessor_config.json", None, r"has no preprocessor_config\.json"),
        (
            "preprocessor_config.json",
            '{"image_processor_type": "SamImageProcessor"}',
            "is for SamImageProcessor",
        ),
    ],
)
def test_rejects_other_models(
    tiny_scorer_folder: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_scorer_folder, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ModelError, match=message):
        open_encoder(folder)


def test_unknown_dtype_names_the_choices(tiny_scorer_folder: Path) -> None:
    with pytest.raises(ModelError, match="float32, bfloat16, float16"):
        open_encoder(tiny_scorer_folder, dtype="int8")


def test_half_precision_gives_nearly_the_same_vectors(tiny_scorer_folder: Path) -> None:
    images = _images(3)
    exact = open_encoder(tiny_scorer_folder).encode_images(images)
    half = open_encoder(tiny_scorer_folder, dtype="bfloat16").encode_images(images)
    assert half.dtype == np.float32
    assert np.linalg.norm(half, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert (exact * half).sum(axis=1).min() > 0.98


def test_nothing_imports_torchvision(tiny_scorer_folder: Path) -> None:
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from pathlib import Path; from pairaug.clip.encoders import open_encoder\n"
        f"encoder = open_encoder(Path({str(tiny_scorer_folder)!r}))\n"
        "assert encoder.encode_reports(['no effusion']).shape == (1, 12)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
