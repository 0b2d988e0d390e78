"""A finished run, written through the project's own records: phantoms and their children."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from pairaug.imaging.io import png_ref
from pairaug.manifest import write_part
from pairaug.pair import Branch, Pair, Report
from pairaug.phantom.study import sample_study
from pairaug.phantom.truth import counterfactual
from pairaug.readers.phantom import PhantomReader, PhantomSource
from pairaug.record import RunRecord
from pairaug.stage import RunContext, batched
from pairaug.summary import SummarySettings, write_summary

BOUNDS = {"inter": {"image_report": 0.30}, "intra": {"image_report": 0.28, "directional": 0.1}}
SIZE = 48  # pixels; these tests are about the page, not the images
CHANGES = (
    ("There is a large left pleural effusion.", {"pleural effusion": True}),
    ("Severe cardiomegaly.", {"cardiomegaly": True}),
    ("There is a right pneumothorax.", {"pneumothorax": True}),
)


def _vector(rng: np.random.Generator, centre: float) -> list[float]:
    values = rng.normal(size=16) + centre
    return (values / np.linalg.norm(values)).tolist()


def _inter(pair: Pair, number: int, rng: np.random.Generator) -> Pair:
    other = sample_study(99, number)
    report = Report(other.findings_text, other.impression_text)
    child = pair.child(
        "inter-0",
        branch=Branch.INTER,
        source_report=pair.report.text,
        report=report,
        labels=dict(pair.labels),
    )
    if number % 9 == 4:
        return child.dropped("rewrite", "no_finding_changed")
    score = float(rng.normal(0.36, 0.07))
    child = child.with_image(png_ref(other.render(SIZE).image)).with_scores(image_report=score)
    child = child.with_embeddings(image=_vector(rng, 0.5), report=_vector(rng, 0.3))
    return child if score > 0.30 else child.dropped("prune", "below_threshold")


def _intra(pair: Pair, number: int, rng: np.random.Generator) -> Pair:
    study = sample_study(pair.trace["read"]["seed"], pair.trace["read"]["index"])
    sentence, labels = CHANGES[number % len(CHANGES)]
    report = Report(f"{sentence} {pair.report.findings}", pair.report.impression)
    child = pair.child(
        "intra-0",
        branch=Branch.INTRA,
        source_report=pair.report.text,
        report=report,
        labels={**pair.labels, **labels},
    )
    image = counterfactual(study, pair.report.text, report.text, SIZE).image
    blurred = (image + np.roll(image, 1, 0) + np.roll(image, 1, 1) + np.roll(image, -1, 1)) / 4
    scores = rng.normal((0.35, 0.9, 0.25), (0.06, 0.03, 0.12)).tolist()
    child = child.with_trace("edit", fit="crop")
    child = child.with_image(png_ref(blurred.astype(np.float32))).with_scores(
        image_report=scores[0], image_image=scores[1], directional=scores[2]
    )
    child = child.with_embeddings(
        image=_vector(rng, 0.2), report=_vector(rng, 0.6), source_report=_vector(rng, 0.0)
    )
    if scores[0] <= 0.28:
        return child.dropped("prune", "below_mean")
    return child if scores[2] > 0.1 else child.dropped("prune", "below_mean")


def _family(pair: Pair, number: int) -> Iterator[Pair]:
    rng = np.random.default_rng(number)
    if number % 12 == 7:
        yield pair.dropped("rewrite", "report_too_short")
        return
    pair = pair.with_scores(image_report=float(rng.normal(0.42, 0.05)))
    yield pair.with_embeddings(image=_vector(rng, 0.0), report=_vector(rng, 0.0))
    yield _inter(pair, number, rng)
    yield _intra(pair, number, rng)


FACTS = {
    "pairaug": RunRecord().as_json()["pairaug"],
    "seed": 3,
    "device": "cpu",
    "dtype": "float32",
    "source": {
        "layout": "phantom",
        "name": "phantom",
        "license": "Apache-2.0",
        "access": "public",
    },
    "versions": {"pairaug": "0.1.0", "torch": "2.13.0"},
    "weights": {"generate": {"bundled": "0123456789abcdef" * 4}},
    "fingerprints": {},
    "rule": {branch: {"bounds": bounds} for branch, bounds in BOUNDS.items()},
    "counts": {},
    "seconds": {"read": 0.4, "rewrite": 1.2, "generate": 43.0, "edit": 71.5, "score": 6.1},
}


def _write(run: Path, pairs: list[Pair], **facts: object) -> Path:
    for index, group in enumerate(batched(pairs, 6)):
        write_part(run / "prune", index, group, "0" * 64)
    (run / "run.json").write_text(json.dumps({**FACTS, **facts}), encoding="utf-8")
    return run


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run folder of these pairs, six pairs per part, with the facts given."""
    return partial(_write, tmp_path / "demo")


@pytest.fixture(scope="session")
def make_pairs() -> Callable[[int], list[Pair]]:
    """The first N phantoms with the synthetic pairs that a run could generate from them."""

    reader = PhantomReader(PhantomSource(num_patients=30, size=SIZE), RunContext(seed=3))
    phantoms = list(reader)

    @cache
    def family(number: int) -> tuple[Pair, ...]:
        return tuple(_family(phantoms[number], number))

    return lambda num_patients: [pair for n in range(num_patients) for pair in family(n)]


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, make_pairs: Callable[[int], list[Pair]]) -> str:
    """The page about a run of 14 phantoms, with three examples per gallery."""
    run = _write(tmp_path_factory.mktemp("run"), make_pairs(14))
    settings = SummarySettings(max_examples=3, max_points=40)
    return write_summary(run, settings).read_text(encoding="utf-8")


@pytest.fixture
def without_drops(make_pairs: Callable[[int], list[Pair]]) -> list[Pair]:
    """A small run without drops."""
    return [replace(pair, drop=None) for pair in make_pairs(4)]
