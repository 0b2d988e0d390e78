"""The bundled scorer's scores mean something on phantoms, whose right answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pairaug.bundled import folder
from pairaug.clip.encoders import Encoder, open_encoder
from pairaug.clip.similarity import directional_similarity
from pairaug.evaluate.counterfactual import rules_rewriter, sample_edits
from pairaug.evaluate.edits import CounterfactualEdit
from pairaug.findings import extract
from pairaug.metrics import auroc, paired_auroc
from pairaug.phantom.render import render
from pairaug.phantom.study import sample_study
from pairaug.phantom.truth import changed_findings

SIZE = 128
SEED = 4711
NUM_PAIRS, NUM_EDITS = 192, 96


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return open_encoder(Path(folder("scorer")))


@pytest.fixture(scope="module")
def edits() -> list[CounterfactualEdit]:
    return sample_edits(SEED, NUM_EDITS, SIZE, rules_rewriter(SEED))[0]


def test_own_reports_score_above_shuffled_ones(encoder: Encoder) -> None:
    studies = [sample_study(SEED, index) for index in range(NUM_PAIRS)]
    images = encoder.encode_images([study.render(SIZE).image for study in studies])
    reports = encoder.encode_reports([study.text for study in studies])
    own = (images * reports).sum(axis=1)
    shuffled = (images * np.roll(reports, 1, axis=0)).sum(axis=1)
    assert paired_auroc(own, shuffled).value >= 0.95


def _changes(
    encoder: Encoder, edits: list[CounterfactualEdit], images: list[np.ndarray]
) -> np.ndarray:
    """`directional` of each edit, were its edited image the one given."""
    sources = encoder.encode_images([edit.source for edit in edits])
    edited = encoder.encode_images(images)
    before = encoder.encode_reports([edit.before for edit in edits])
    after = encoder.encode_reports([edit.after for edit in edits])
    rows = zip(edited, sources, after, before, strict=True)
    values = [directional_similarity(*row) for row in rows]
    assert None not in values
    return np.array(values, dtype=np.float64)


def test_a_right_edit_scores_above_one_in_the_wrong_direction(
    encoder: Encoder, edits: list[CounterfactualEdit]
) -> None:
    """Wrong: the image of the same patient with the change that another patient's edit asks for."""
    wrong, indices = [], []
    for index, edit in enumerate(edits):
        other = edits[(index + 1) % len(edits)]
        findings = changed_findings(
            edit.study.findings,
            extract(other.before),
            extract(other.after),
            edit.study.anatomy.seed,
        )
        # Skipped if the other change does not change this patient.
        if set(findings) not in (set(edit.study.findings), set(edit.findings)):
            wrong.append(render(edit.study.anatomy, findings, SIZE).image)
            indices.append(index)
    chosen = [edits[index] for index in indices]
    assert len(chosen) > NUM_EDITS // 3
    right = _changes(encoder, chosen, [edit.truth for edit in chosen])
    other = _changes(encoder, chosen, wrong)
    assert _auroc(right, other) >= 0.85
    assert _auroc(right, -right) >= 0.85  # the image changed back while the report went on


def _auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    labels = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    return auroc(labels, np.r_[positive, negative]).value
