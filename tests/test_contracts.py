"""What every stage must keep: nothing disappears, and batches, order and company change nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairaug.edit import DROP_REASONS as EDIT_REASONS
from pairaug.edit import Edit, EditSettings
from pairaug.generate import DROP_REASONS as GENERATE_REASONS
from pairaug.generate import Generate, GenerateSettings
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.prune import DROP_REASONS as PRUNE_REASONS
from pairaug.prune import Prune, PruneRule, PruneSettings
from pairaug.readers.phantom import PhantomReader, PhantomSource
from pairaug.rewrite import MEANINGS, Rewrite, RewriteSettings
from pairaug.score import DROP_REASONS as SCORE_REASONS
from pairaug.score import Score, ScoreSettings
from pairaug.stage import RunContext, Stage, apply

NAMES = ("rewrite", "generate", "edit", "score", "prune")
REASONS = {
    "rewrite": set(MEANINGS),
    "generate": set(GENERATE_REASONS),
    "edit": set(EDIT_REASONS),
    "score": set(SCORE_REASONS),
    "prune": set(PRUNE_REASONS),
}
CONTEXT = RunContext(seed=5)

Make = Callable[..., Stage]


@pytest.fixture(scope="session")
def make(tiny_generator_folder: Path, tiny_scorer_folder: Path) -> Make:
    """A stage by name, with tiny models and a batch size."""

    def make_stage(name: str, batch_size: int = 2, context: RunContext = CONTEXT) -> Stage:
        generator = {
            "model": str(tiny_generator_folder),
            "num_inference_steps": 2,
            "batch_size": batch_size,
        }
        match name:
            case "rewrite":
                return Rewrite(RewriteSettings(), context)
            case "generate":
                return Generate(GenerateSettings(**generator), context)
            case "edit":
                return Edit(EditSettings(**generator), context)
            case "score":
                settings = ScoreSettings(model=str(tiny_scorer_folder), batch_size=batch_size)
                return Score(settings, context)
            case _:
                rules = PruneSettings()
                return Prune(rules, PruneRule(rules).fit([]), context)

    return make_stage


@pytest.fixture(scope="session")
def inputs(make: Make) -> dict[str, list[Pair]]:
    """What each stage is given in a run of five phantoms, with a few awkward pairs among them."""
    reader = PhantomReader(PhantomSource(num_patients=5, size=32), CONTEXT)
    pairs = [*reader, *_awkward(next(iter(reader)))]
    given: dict[str, list[Pair]] = {}
    for name in NAMES:
        given[name] = pairs
        pairs = apply(make(name), pairs)
    return given


def _awkward(pair: Pair) -> list[Pair]:
    """An empty report, an unreadable image, a pair that was dropped, and one without findings."""
    pairs = [
        Pair("odd/empty", Branch.REAL, "p1", Report(), image=pair.image),
        Pair("odd/image", Branch.REAL, "p2", pair.report, image=ImageRef(path="/nowhere.png")),
        Pair("odd/bytes", Branch.REAL, "p3", pair.report, image=ImageRef(png=b"no image")),
        Pair("odd/words", Branch.REAL, "p4", Report(impression="As discussed by telephone today.")),
    ]
    return [*pairs, Pair("odd/gone", Branch.REAL, "p5", pair.report).dropped("read", "why")]


def families(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Each real pair with its children."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.parent_id or pair.id, []).append(pair)
    return list(groups.values())


def assert_same(made: Sequence[Pair], expected: Sequence[Pair]) -> None:
    """Equal but for float noise: a grey level in images, the sixth place of a score."""
    by_id = {pair.id: pair for pair in made}
    assert by_id.keys() == {pair.id for pair in expected}
    for pair in expected:
        other = by_id[pair.id]
        assert (other.report, other.labels, other.split) == (pair.report, pair.labels, pair.split)
        assert (other.drop and other.drop.reason) == (pair.drop and pair.drop.reason)
        assert other.scores == pytest.approx(dict(pair.scores), abs=1e-5)
        # Images that a stage passed on are the same bytes, readable or not; generated ones are
        # compared.
        if pair.drop is None and other.image != pair.image:
            assert other.image is not None and pair.image is not None  # noqa: PT018
            assert np.abs(_levels(other.image) - _levels(pair.image)).max() <= 1


def _levels(image: ImageRef) -> np.ndarray:
    assert image.png is not None
    return np.asarray(Image.open(io.BytesIO(image.png))).astype(int)


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_in_comes_out_and_has_a_reason_if_it_is_dropped(
    name: str, make: Make, inputs: dict[str, list[Pair]]
) -> None:
    given = inputs[name]
    made = apply(make(name), given)
    assert {pair.id for pair in given} <= {pair.id for pair in made}
    before = {pair.id: pair for pair in given}
    for pair in made:
        if pair.drop is not None and pair.drop.stage == name:
            assert pair.drop.reason in REASONS[name]
        if pair.id in before and before[pair.id].drop is not None:
            assert pair == before[pair.id]


@pytest.mark.parametrize("name", NAMES)
def test_the_stage_does_something_here(
    name: str, make: Make, inputs: dict[str, list[Pair]]
) -> None:
    assert apply(make(name), inputs[name]) != inputs[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_output(
    name: str, make: Make, inputs: dict[str, list[Pair]]
) -> None:
    assert apply(make(name), inputs[name]) == apply(make(name), inputs[name])


@pytest.mark.parametrize("name", ["generate", "edit", "score"])
def test_batch_size_changes_nothing(name: str, make: Make, inputs: dict[str, list[Pair]]) -> None:
    expected = apply(make(name, batch_size=1), inputs[name])
    assert_same(apply(make(name, batch_size=4), inputs[name]), expected)


@pytest.mark.parametrize("name", NAMES)
def test_order_and_company_change_nothing(
    name: str, make: Make, inputs: dict[str, list[Pair]]
) -> None:
    expected = apply(make(name), inputs[name])
    stage = make(name)
    made = [pair for family in reversed(families(inputs[name])) for pair in apply(stage, family)]
    assert_same(made, expected)


@pytest.mark.parametrize("name", ["rewrite", "generate"])
def test_another_seed_makes_other_pairs(
    name: str, make: Make, inputs: dict[str, list[Pair]]
) -> None:
    made = apply(make(name), inputs[name])
    other = apply(make(name, context=RunContext(seed=6)), inputs[name])
    if name == "rewrite":
        assert [pair.report for pair in made] != [pair.report for pair in other]
    else:
        generated = [pair.image for pair in made if "generate" in pair.trace]
        assert generated
        assert all(
            image != pair.image
            for image, pair in zip(
                generated, [pair for pair in other if "generate" in pair.trace], strict=True
            )
        )


@pytest.mark.parametrize("name", NAMES)
def test_no_reason_or_detail_holds_a_report_or_a_patient(
    name: str, make: Make, inputs: dict[str, list[Pair]]
) -> None:
    patients = {pair.patient_id for pair in inputs[name]}
    for pair in apply(make(name), inputs[name]):
        if pair.drop is None or pair.drop.stage != name:
            continue
        said = f"{pair.drop.reason} {pair.drop.detail}"
        assert not any(patient in said for patient in patients)
        sentences = [part.strip() for part in pair.report.text.split(".")]
        assert not any(part in said for part in sentences if len(part.split()) > 2)


def test_stages_are_imported_without_a_tensor_library() -> None:
    stages = ("readers", "rewrite", "generate", "edit", "score", "prune", "export", "summary")
    names = (*stages, "config", "run", "api.generator", "api.reports", "api.rules", "api.scorer")
    modules = ", ".join(f"pairaug.{name}" for name in names)
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_records_need_nothing_but_pyarrow() -> None:
    code = (
        "import sys, pairaug, pairaug.manifest; "
        "print([m for m in ('numpy', 'pydantic', 'PIL', 'torch', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # pyarrow itself loads NumPy where it is installed.
    assert done.stdout.strip() in ("[]", "['numpy']")
