"""Images and reports as users have them, and the one line that each wrong one gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pairaug
from pairaug import bundled
from pairaug.api.images import read_image
from support import dicom_images

LEVELS = np.add.outer(np.arange(40) * 3, np.arange(50) * 2).astype(np.uint8)
IMAGE = LEVELS / np.float32(255)
COLOURS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pipe() -> pairaug.Generator:
    return pairaug.load_generator(device="cpu")


@pytest.fixture(scope="module")
def scorer() -> pairaug.Scorer:
    return pairaug.load_scorer(device="cpu")


@pytest.mark.parametrize(
    "image",
    [
        LEVELS,
        IMAGE,
        IMAGE.astype(np.float64),
        LEVELS[..., None],
        np.stack([LEVELS] * 3, axis=-1),
        torch.from_numpy(IMAGE),
        torch.from_numpy(LEVELS)[None],
        torch.from_numpy(IMAGE).requires_grad_(),
        Image.fromarray(LEVELS),
        Image.fromarray(LEVELS).convert("RGB"),
        Image.fromarray(LEVELS).convert("RGBA"),
        Image.fromarray(IMAGE),
    ],
    ids=lambda image: f"{type(image).__name__} {np.shape(image)} {getattr(image, 'dtype', '')}",
)
def test_all_kinds_of_images_are_the_same_image(image: Any):
    np.testing.assert_allclose(read_image(image), IMAGE, atol=1e-7)


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.tif", "grey-as-colour.jpg"])
def test_files_are_read(name: str, tmp_path: Path):
    image = Image.fromarray(LEVELS).convert("RGB" if "colour" in name else "L")
    image.save(tmp_path / name, quality=100)
    for path in (tmp_path / name, str(tmp_path / name)):
        np.testing.assert_allclose(read_image(path), IMAGE, atol=0.02)


def test_sixteen_bits_are_read_alike_from_files_and_arrays(tmp_path: Path):
    levels = dicom_images.LEVELS
    Image.fromarray(levels).save(tmp_path / "image.png")
    expected = levels / np.float32(4095)
    for image in (levels, Image.fromarray(levels), tmp_path / "image.png"):
        np.testing.assert_allclose(read_image(image), expected, atol=1e-6)


def test_dicom_is_read_with_or_without_its_ending(tmp_path: Path):
    for name in ("image.dcm", "image"):
        (tmp_path / name).write_bytes(dicom_images.saved(dicom_images.dataset_of()))
        assert read_image(tmp_path / name).shape == (80, 60)


def test_an_image_of_any_size_is_edited_at_the_models(pipe: pairaug.Generator):
    edit = pipe.edit(LEVELS, "Clear lungs.", "Edema.", num_inference_steps=1)
    assert edit.source.size == edit.image.size == (128, 128)
    padded = pipe.edit(LEVELS, "Clear lungs.", "Edema.", num_inference_steps=1, fit="pad")
    assert not np.asarray(padded.source)[0].any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.png", "there is no image file at the given path"),
        (Path("SECRET-ID"), "there is no image file at the given path"),
        (Path("/"), "there is a folder in the place of the image"),
        (__file__, "the image cannot be read"),
        (None, "an image is None; pass a path, a PIL image, a NumPy array or a torch tensor"),
        ({"path": "x"}, "an image is dict; pass"),
        (COLOURS, "the image is in colour"),
        (Image.fromarray(COLOURS), r'convert it with PIL: image.convert\("L"\)'),
        (np.zeros((16, 40, 50)), "an array of shape 16 × 40 × 50 is not one image"),
        (np.zeros((1, 1, 40, 50)), "an array of shape 1 × 1 × 40 × 50 is not one image"),
        (np.zeros(40), "an array of shape 40 is not one image"),
        (np.zeros((0, 40)), "the image has no pixels"),
        (np.where(IMAGE > 0.3, np.nan, IMAGE), "pixels that are NaN or infinite"),
        (IMAGE * 255, r"values from 0 to 215, and floats must be in \[0, 1\]"),
        (torch.from_numpy(IMAGE) * 2048 - 1024, r"floats must be in \[0, 1\]; scale them"),
        (LEVELS.astype(np.int64), "pixels of type int64; pass uint8, uint16 or floats"),
        (IMAGE > 0.5, "pixels of type bool"),
    ],
)
def test_a_wrong_image_is_one_line(scorer: pairaug.Scorer, image: Any, message: str):
    with pytest.raises(pairaug.PairAugError, match=message) as caught:
        scorer.encode_images(image)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_colour_photograph_in_a_file_is_refused(tmp_path: Path):
    Image.fromarray(COLOURS).save(tmp_path / "photo.jpg")
    with pytest.raises(pairaug.PairAugError, match="the image is in colour"):
        read_image(tmp_path / "photo.jpg")


def test_of_several_images_the_wrong_one_is_named(scorer: pairaug.Scorer):
    with pytest.raises(pairaug.PairAugError, match="image 2 of 3: there is no image file"):
        scorer.encode_images([LEVELS, "nowhere.png", LEVELS])


@pytest.mark.parametrize("report", [None, "", " ", float("nan"), 3])
def test_a_missing_report_is_one_line(pipe: pairaug.Generator, scorer: pairaug.Scorer, report: Any):
    calls = [
        lambda: pipe.generate(report),
        lambda: pipe.edit(LEVELS, report, "Edema."),
        lambda: pipe.edit(LEVELS, "Edema.", report),
        lambda: scorer.score(LEVELS, report),
        lambda: pairaug.rewrite(report),
        lambda: pairaug.extract_findings(report),
    ]
    for call in calls:
        with pytest.raises(pairaug.PairAugError, match=r"the report is (missing|int)"):
            call()
    with pytest.raises(pairaug.PairAugError, match=r"report 2 of 2 is (missing|int)"):
        scorer.encode_reports(["Edema.", report])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pairaug.load_generator(bundled.folder("scorer")), " model, not a generator"),
        (
            lambda: pairaug.load_scorer(bundled.folder("generator")),
            "is a generator .* not a scorer",
        ),
        (lambda: pairaug.load_scorer(bundled.folder("classifier")), "type 'resnet'; supported"),
        (lambda: pairaug.load_generator("no/such/model"), "no folder no/such/model"),
        (lambda: pairaug.load_generator(device="tpu"), "choose cpu, cuda, cuda:N or mps"),
        (lambda: pairaug.load_scorer(dtype="int8"), "unknown dtype int8; choose one of float32"),
    ],
)
def test_a_wrong_model_is_one_line(call: Any, message: str):
    with pytest.raises(pairaug.PairAugError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 0}, "steps in generate is 0"),
        ({"guidance_scale": 0.5}, "guidance_scale in generate is 0.5"),
        ({"scheduler": "euler"}, "scheduler in generate is 'euler'; choose one of"),
        ({"num_images": 0}, "in generate is 0"),
        ({"seed": "a"}, "a seed must be an integer"),
        ({"seed": -1}, "a seed must be an integer"),
        ({"seed": [1, 2]}, "got 2 seeds for 1 images"),
    ],
)
def test_a_wrong_option_of_generate_is_one_line(
    pipe: pairaug.Generator, options: dict[str, Any], message: str
):
    with pytest.raises(pairaug.PairAugError, match=message):
        pipe.generate("Edema.", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cross_replace_steps": 2}, "in edit is 2"),
        ({"local_blend": "attention"}, "local_blend in edit is 'attention'; choose one of"),
        ({"blend_threshold": 1.0}, "blend_threshold in edit is 1.0"),
        ({"fit": "stretch"}, "fit in edit is 'stretch'; choose one of"),
    ],
)
def test_a_wrong_option_of_edit_is_one_line(
    pipe: pairaug.Generator, options: dict[str, Any], message: str
):
    with pytest.raises(pairaug.PairAugError, match=message):
        pipe.edit(LEVELS, "Clear lungs.", "Edema.", **options)


def test_lists_of_other_lengths_are_refused(pipe: pairaug.Generator, scorer: pairaug.Scorer):
    with pytest.raises(pairaug.PairAugError, match="got 3 images, 1 reports, 2 new reports"):
        pipe.edit([LEVELS] * 3, "Clear lungs.", ["Edema.", "Effusion."])
    with pytest.raises(pairaug.PairAugError, match="got 2 images and 3 reports"):
        scorer.score([LEVELS] * 2, ["Edema."] * 3)
    with pytest.raises(pairaug.PairAugError, match="score_edit takes what edit returned"):
        scorer.score_edit(LEVELS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pairaug.rewrite("Edema."), r"not rewritten \(report_too_short\)"),
        (lambda: pairaug.rewrite("A very kind patient."), r"not rewritten \(nothing_to_change\)"),
        (lambda: pairaug.rewrite("Mild edema.", "new"), "is 'new'; choose one of: 'inter'"),
        (
            lambda: pairaug.rewrite("Mild edema.", backend="gpt"),
            "backend in rewrite is 'gpt'",
        ),
        (lambda: pairaug.rewrite("Mild edema.", settings={"modelx": "x"}), "mean model?"),
    ],
)
def test_a_rewrite_that_cannot_be_is_one_line(call: Any, message: str):
    with pytest.raises(pairaug.PairAugError, match=message):
        call()


def test_no_report_leaves_the_machine_unasked():
    settings = {"model": "m", "base_url": "https://api.example.com/v1"}
    with pytest.raises(pairaug.PairAugError, match=r"send report text to api\.example\.com"):
        pairaug.rewrite("Mild edema is seen.", backend="openai", settings=settings)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("I", (0, 0)), "the image has no pixels"),
        (Image.new("RGB", (0, 4)), "the image has no pixels"),
        (b"\x89PNG", "an image is bytes; pass"),
        (torch.eye(8).to_sparse(), "the tensor is sparse"),
        (torch.empty(8, 8, device="meta"), "has no values"),
        (np.array(0.5), r"an array of shape \(\) is not one image"),
    ],
)
def test_an_image_without_pixels_is_one_line(image: Any, message: str):
    with pytest.raises(pairaug.PairAugError, match=message):
        read_image(image)


def test_a_result_in_the_place_of_an_image_names_its_attribute(pipe: pairaug.Generator):
    result = pipe.generate("Edema.", seed=0, num_inference_steps=1)
    for given in (result, result[0]):
        with pytest.raises(pairaug.PairAugError, match=r"GeneratedImages?; pass its \.image"):
            read_image(given)


def test_sixteen_bits_of_either_byte_order_are_the_same_image():
    levels = LEVELS.astype(np.uint16) * 16
    np.testing.assert_array_equal(read_image(levels.astype(">u2")), read_image(levels))


def test_numpy_integers_are_seeds(pipe: pairaug.Generator):
    def seeds(seed: Any) -> list[int]:
        return pipe.generate(["Edema.", "Edema."], seed=seed, num_inference_steps=1).seeds

    assert seeds(np.int64(3)) == [3, 4]
    assert seeds(np.uint8(255)) == [255, 256]
    assert seeds(np.array([5, 7])) == [5, 7]
    report = "Moderate right pleural effusion. No pneumothorax."
    again = pairaug.rewrite(report, seed=np.int64(9)).report  # type: ignore[arg-type]
    assert again == pairaug.rewrite(report, seed=9).report


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", 2**63, [True, 1], [1, -1], float("nan")])
def test_a_wrong_seed_is_one_line(pipe: pairaug.Generator, seed: Any):
    with pytest.raises(pairaug.PairAugError, match="a seed must be an integer"):
        pipe.generate(["Edema.", "Edema."], seed=seed, num_inference_steps=1)
    with pytest.raises(pairaug.PairAugError, match="a seed must be an integer"):
        pairaug.rewrite("Moderate right pleural effusion.", seed=seed)


def test_an_array_of_reports_is_several_reports(scorer: pairaug.Scorer):
    reports = ["Edema.", "Clear lungs."]
    expected = scorer.score(LEVELS, reports)
    for kind in (object, str):
        np.testing.assert_array_equal(scorer.score(LEVELS, np.array(reports, kind)), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size in load_scorer is 0"), ({"long_report": "x"}, "choose one")],
)
def test_a_wrong_option_of_the_scorer_is_one_line(options: dict[str, Any], message: str):
    with pytest.raises(pairaug.PairAugError, match=message):
        pairaug.load_scorer(**options)


def test_scoring_no_image_is_one_line(scorer: pairaug.Scorer):
    with pytest.raises(pairaug.PairAugError, match="there is no image"):
        scorer.score([], "Edema.")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "the table is NoneType; pass a run or a pandas DataFrame"),
        ({"branch": "inter", "score_image_report": ["a"]}, "the scores must be numbers"),
        ({"branch": "inter", "scores": ["{}"]}, "must have a dictionary in each row"),
    ],
)
def test_a_wrong_table_is_one_line(table: Any, message: str):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(pairaug.PairAugError, match=message):
        pairaug.prune(table if table is None else pandas.DataFrame(table))


@pytest.mark.parametrize("rule", [pairaug.MeanMargin(), pairaug.Quantile(), pairaug.Threshold()])
def test_pairs_without_any_score_are_not_kept(rule: Any):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"branch": "intra", "score_image_report": [float("nan")] * 3})
    pruned = pairaug.prune(table, intra=rule)
    assert pruned["drop_reason"].tolist() == ["no_score"] * 3


@pytest.mark.parametrize("given", [None, 3, ""])
def test_no_path_is_one_line(given: Any):
    with pytest.raises(pairaug.PairAugError, match="pass a path"):
        pairaug.load_run(given)
    with pytest.raises(pairaug.PairAugError, match="pass a path"):
        pairaug.run({"preset": "demo"}, given if given is not None else "")
    with pytest.raises(pairaug.PairAugError, match="pass a path"):
        pairaug.run(given, "folder")


def test_a_setting_with_dots_in_a_mapping_is_one_line():
    with pytest.raises(pairaug.PairAugError, match="write a section as a mapping"):
        pairaug.run({"preset": "demo", "read.num_patients": 2}, "folder")


def test_a_file_is_no_run():
    with pytest.raises(pairaug.PairAugError, match="is a file, not a run"):
        pairaug.load_run(__file__)


def test_lists_of_unequal_length_are_one_line(scorer: pairaug.Scorer):
    with pytest.raises(pairaug.PairAugError, match="2 images and 3 reports; pass one of either"):
        scorer.score([LEVELS, LEVELS], ["Edema."] * 3)


def test_each_image_is_edited_from_its_own_pixels(pipe: pairaug.Generator):
    images = [LEVELS, np.ascontiguousarray(LEVELS[::-1])]
    edits = pipe.edit(images, "Clear lungs.", ["Edema.", "Edema."], num_inference_steps=1)
    for image, edit in zip(images, edits, strict=True):
        alone = pipe.edit(image, "Clear lungs.", "Edema.", num_inference_steps=1)
        assert edit.source.tobytes() == alone.source.tobytes()
    assert edits[0].source.tobytes() != edits[1].source.tobytes()


def test_a_shortened_new_report_is_noted(pipe: pairaug.Generator):
    long = "Small left pleural effusion. " * 60
    edit = pipe.edit(LEVELS, "Clear lungs.", long, num_inference_steps=1)
    assert edit.trace["truncated"]


def test_a_faintly_coloured_photograph_is_refused():
    faint = np.stack([LEVELS] * 3, axis=-1)
    faint[..., 2] += 30  # of 215 at most: no overflow
    with pytest.raises(pairaug.PairAugError, match="the image is in colour"):
        read_image(Image.fromarray(faint))
