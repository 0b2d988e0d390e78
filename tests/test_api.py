"""The Python API: what it gives, and that it does what a run does."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pairaug

ROOT = Path(__file__).parent.parent
REPORT = "Moderate right pleural effusion. No pneumothorax. The heart is not enlarged."
NEW_REPORT = "Small right pleural effusion. No pneumothorax. The heart is not enlarged."
SMALL_RUN: dict[str, Any] = {
    "preset": "demo",
    "part_size": 2,
    "generate": {"num_inference_steps": 4},
    "edit": {"num_inference_steps": 4},
}


@pytest.fixture(scope="module")
def pipe() -> pairaug.Generator:
    return pairaug.load_generator("bundled", device="cpu")


@pytest.fixture(scope="module")
def scorer() -> pairaug.Scorer:
    return pairaug.load_scorer("bundled", device="cpu")


@pytest.fixture(scope="module")
def image(pipe: pairaug.Generator) -> Image.Image:
    return pipe.generate(REPORT, seed=0, num_inference_steps=4).image


@pytest.fixture(scope="module")
def edit(pipe: pairaug.Generator, image: Image.Image) -> pairaug.EditedImage:
    return pipe.edit(image, REPORT, NEW_REPORT, num_inference_steps=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pairaug.Run:
    folder = tmp_path_factory.mktemp("runs") / "small"
    return pairaug.run(SMALL_RUN, folder, limit=3, progress=False)


def test_importing_is_quick_and_loads_no_library():
    code = (
        "import sys, time; began = time.perf_counter(); import pairaug; dir(pairaug); "
        "print(time.perf_counter() - began, *sorted(sys.modules))"
    )
    seconds, loaded = [], set()
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        words = done.stdout.split()
        seconds.append(float(words[0]))
        loaded = set(words[1:])
    assert not loaded & {"torch", "numpy", "PIL", "pydantic", "transformers", "diffusers"}
    assert min(seconds) < 0.3


def test_every_name_is_there_and_documented():
    assert set(dir(pairaug)) == {*pairaug.__all__, "__version__"}
    for name in pairaug.__all__:
        assert inspect.getdoc(getattr(pairaug, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'load_film'"):
        pairaug.load_film  # noqa: B018


def test_what_type_checkers_see_is_what_loads():
    text = Path(pairaug.__file__).read_text(encoding="utf-8")
    block = text[text.index("if TYPE_CHECKING:") : text.index("__all__")]
    named = set(re.findall(r"\b\w+\b", re.sub(r"from \S+ import|if TYPE_CHECKING:", "", block)))
    assert named == set(pairaug.__all__)


def test_functions_stand_before_packages_of_the_same_name():
    for name in ("run", "prune", "rewrite"):
        importlib.import_module(f"pairaug.{name}")
        assert inspect.isfunction(getattr(pairaug, name))


def test_defaults_are_those_of_the_default_preset():
    from pairaug.config import load_settings

    settings = load_settings(preset="default", overrides=["read.layout=phantom"])
    generate = inspect.signature(pairaug.Generator.generate).parameters
    edit = inspect.signature(pairaug.Generator.edit).parameters
    prune = inspect.signature(pairaug.prune).parameters
    assert generate["num_inference_steps"].default == settings.generate.num_inference_steps
    assert generate["guidance_scale"].default == settings.generate.guidance_scale
    assert generate["scheduler"].default == settings.generate.scheduler
    assert edit["num_inference_steps"].default == settings.edit.num_inference_steps
    assert edit["guidance_scale"].default == settings.edit.guidance_scale
    assert edit["cross_replace_steps"].default == settings.edit.cross_replace_steps
    assert edit["self_replace_steps"].default == settings.edit.self_replace_steps
    assert edit["blend_threshold"].default == settings.edit.blend_threshold
    assert edit["noise_strength"].default == settings.edit.noise_strength
    assert edit["local_blend"].default == settings.edit.local_blend
    assert settings.edit.alignment == "refine"
    assert edit["fit"].default == settings.edit.fit
    assert prune["inter"].default == settings.prune.inter
    assert prune["intra"].default == settings.prune.intra


def _doctests() -> list[doctest.DocTest]:
    modules = {getattr(pairaug, name).__module__ for name in pairaug.__all__}
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in sorted(modules)
        if name.startswith("pairaug.api")
        for test in finder.find(importlib.import_module(name), extraglobs={"pairaug": pairaug})
    ]
    return [test for test in found if test.examples]


@pytest.mark.parametrize("test", _doctests(), ids=lambda test: test.name)
def test_examples_in_docstrings(test: doctest.DocTest):
    lines: list[str] = []
    doctest.DocTestRunner().run(test, out=lines.append)
    assert not lines, "".join(lines)


def test_every_public_function_has_an_example():
    with_examples = {test.name for test in _doctests()}
    functions = [getattr(pairaug, name) for name in pairaug.__all__]
    named = {f"{f.__module__}.{f.__name__}" for f in functions if inspect.isfunction(f)}
    assert named <= with_examples


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    if found is None:
        pytest.skip("README.md shows no Python")
    monkeypatch.chdir(tmp_path)
    exec(compile(found[1], "README.md", "exec"), {})


# Generating and editing


def test_seeds_count_up_and_repeat(pipe: pairaug.Generator):
    two = pipe.generate(REPORT, seed=5, num_images=2, num_inference_steps=2)
    again = pipe.generate(REPORT, seed=6, num_inference_steps=2)
    assert two.seeds == [5, 6]
    assert np.abs(_levels(two[1].image) - _levels(again.image)).max() <= 1
    assert two.images[0].tobytes() != two.images[1].tobytes()
    drawn = pipe.generate(REPORT, num_inference_steps=2)
    repeated = pipe.generate(REPORT, seed=drawn.seed, num_inference_steps=2)
    assert drawn.image.tobytes() == repeated.image.tobytes()


def test_images_are_what_the_stage_generates(pipe: pairaug.Generator, run: pairaug.Run):
    pair = next(pair for pair in run._part(run._parts(None)[0]).values() if pair.branch == "inter")
    trace = pair.trace["generate"]
    result = pipe.generate(pair.report.text, seed=trace["seed"], num_inference_steps=4)
    assert np.abs(_levels(result.image) - _levels(run.image(pair.id))).max() <= 1


def test_several_reports_give_their_images_in_order(pipe: pairaug.Generator):
    result = pipe.generate(
        ["Clear lungs.", REPORT], num_images=2, seed=[1, 2, 3, 4], num_inference_steps=1
    )
    assert [each.report for each in result] == ["Clear lungs."] * 2 + [REPORT] * 2
    assert (len(result), result.prompt, result.seeds) == (4, "Clear lungs.", [1, 2, 3, 4])
    assert result.image.mode == "L"
    assert result.image.size == (pipe.image_size, pipe.image_size)
    assert result[2:].seeds == [3, 4]


def test_a_report_beyond_the_window_is_shortened_and_says_so(
    pipe: pairaug.Generator, caplog: pytest.LogCaptureFixture
):
    result = pipe.generate("Small left pleural effusion. " * 40, seed=0, num_inference_steps=1)
    assert result[0].is_shortened
    assert len(result.prompt) < 500
    assert "1 of 1 reports exceed the text encoder's window" in caplog.text


def test_an_edit_has_source_difference_region_and_trace(
    edit: pairaug.EditedImage, image: Image.Image
):
    assert edit.source.tobytes() == image.tobytes()
    assert edit.difference.shape == edit.region.shape == (128, 128)
    assert edit.difference.dtype == np.float32
    assert 0 < np.abs(edit.difference).max() <= 1
    assert 0 <= edit.region.min() < edit.region.max() <= 1
    assert 0 < edit.trace["inversion_error"] < 0.2
    assert 0 < edit.trace["cross_swapped"] < 1


def test_several_edits_of_one_image_are_as_each_alone(
    pipe: pairaug.Generator, image: Image.Image, edit: pairaug.EditedImage
):
    reports = [NEW_REPORT, "Clear lungs."]
    edits = pipe.edit(image, REPORT, reports, num_inference_steps=4)
    assert [each.new_report for each in edits] == reports
    assert np.abs(_levels(edits[0].image) - _levels(edit.image)).max() <= 1
    assert edits[0].image.tobytes() != edits[1].image.tobytes()


def test_a_seed_gives_another_version_of_an_edit(
    pipe: pairaug.Generator, image: Image.Image, edit: pairaug.EditedImage
):
    other = pipe.edit(image, REPORT, NEW_REPORT, seed=3, num_inference_steps=4)
    again = pipe.edit(image, REPORT, NEW_REPORT, seed=3, num_inference_steps=4)
    assert other.image.tobytes() == again.image.tobytes()
    assert other.image.tobytes() != edit.image.tobytes()
    assert other.trace["seed"] == 3


def test_an_edits_page_shows_before_after_and_difference(
    pipe: pairaug.Generator, image: Image.Image
):
    page = pipe.edit(image, "<b>old", "new & <i>", num_inference_steps=1)._repr_html_()
    assert page.count("<img") == 3
    assert [word in page for word in ("before", "after", "difference")] == [True] * 3
    assert "&lt;b&gt;old" in page
    assert "<i>" not in page


# Scoring


def test_scores_are_those_of_the_run(scorer: pairaug.Scorer, run: pairaug.Run):
    table = run.to_pandas()
    images = [run.image(id) for id in table.id]
    scores = scorer.score(images, table.report)
    np.testing.assert_allclose(scores, table.score_image_report, atol=1e-5)
    assert scorer.score(images[0], table.report[0]) == pytest.approx(scores[0], abs=1e-6)


def test_an_edits_scores_are_those_of_the_run(scorer: pairaug.Scorer, run: pairaug.Run):
    child = run.to_pandas().query("branch == 'intra'").iloc[0]
    image, source = run.image(child.id), run.image(child.parent_id)
    region = np.ones((128, 128), np.float32)
    edit = pairaug.EditedImage(image, source, child.source_report, child.report, region, {})
    found = scorer.score_edit(edit)
    names = [f"score_{name}" for name in run.pair(child.id).scores]
    np.testing.assert_allclose(found, child[names].astype(float), atol=1e-5)


def test_vectors_have_length_one(scorer: pairaug.Scorer, image: Image.Image):
    vectors = [scorer.encode_images([image, image]), scorer.encode_reports(REPORT)]
    assert [each.shape for each in vectors] == [(2, 128), (1, 128)]
    for each in vectors:
        assert each.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1, atol=1e-6)


# Reports


def test_rewriting_says_what_changed():
    result = pairaug.rewrite(REPORT, variants=3, seed=0)
    assert len(result) == 3
    assert result.reports[0] == result.report != result.source_report
    assert result.changes
    new = pairaug.rewrite(REPORT, branch="inter")
    assert pairaug.extract_findings(new.report)["pleural effusion"] is False


def test_findings_are_present_denied_uncertain_or_left_out():
    found = pairaug.extract_findings("No effusion. Mild edema. Possible pneumonia.")
    assert found.pop("no finding") is False
    assert found == {"edema": True, "pneumonia": None, "pleural effusion": False}


def _levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)
