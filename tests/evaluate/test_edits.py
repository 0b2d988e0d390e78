"""Scores of edited images: for the true counterfactual, for the source, and between."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pairaug.evaluate.edits import (
    CounterfactualEdit,
    Rewritten,
    distances,
    make_edit,
    progress,
    score_edits,
    successes,
)
from pairaug.phantom.findings import LABELS, Finding, label_vector
from pairaug.phantom.study import sample_study

SIZE = 64


def _study(*kinds):
    """A phantom with findings of exactly these kinds."""
    wanted = sorted(kinds)
    studies = (sample_study(1, index) for index in range(20_000))
    return next(s for s in studies if sorted(f.kind for f in s.findings) == wanted)


def _edit(study, *sentences, drops=()):
    text = " ".join([*(_without(study.text, drops)), *sentences])
    edit = make_edit(study, Rewritten(study.text, text), SIZE)
    assert isinstance(edit, CounterfactualEdit)
    return edit


def _without(text, words):
    return [s + "." for s in text.rstrip(".").split(". ") if not any(w in s.lower() for w in words)]


@pytest.fixture(scope="module")
def edits():
    return [
        _edit(_study("cardiomegaly"), "Large right pleural effusion.", drops=("effusion",)),
        _edit(_study(), "Moderate left lower lobe consolidation.", drops=("lungs", "consolid")),
        _edit(_study("pneumothorax"), "No pneumothorax.", drops=("pneumothora",)),
    ]


@pytest.fixture(scope="module")
def altered():
    study = next(
        s
        for s in (sample_study(1, index) for index in range(20_000))
        if [(f.kind, f.severity) for f in s.findings] == [("pleural effusion", "mild")]
    )
    side = study.findings[0].side
    return _edit(study, f"Large {side} pleural effusion.", drops=("effusion",))


def _images(edits, name):
    return np.stack([getattr(edit, name) for edit in edits])


def _read(edits, name):
    return np.stack([label_vector(_findings(edit, name)) for edit in edits]) > 0


def _findings(edit, name):
    return edit.findings if name == "truth" else edit.study.findings


def test_kinds_of_change(edits, altered):
    assert [edit.change for edit in edits] == ["added", "added", "removed"]
    asked = dict(zip(LABELS, edits[0].asked, strict=True))
    assert {label for label, value in asked.items() if value} == {"right pleural effusion"}
    assert (altered.change, altered.asked.any()) == ("altered", False)


def test_scores_of_the_true_counterfactual(edits, altered):
    every = [*edits, altered]
    images, read = _images(every, "truth"), _read(every, "truth")
    scores = score_edits(images, read, every, np.full(4, 0.2))
    assert scores.distance.value == 0.0
    assert scores.ratio.value == 0.0
    assert scores.skill.value == 1.0
    assert scores.each_distance == (0.0,) * 4
    assert scores.each_success == (True, True, True, None)
    assert scores.success_rate.value == 1.0
    assert scores.success_rate.num == 3
    assert {change: rate.value for change, rate in scores.success_rate_by_change.items()} == {
        "added": 1.0,
        "removed": 1.0,
    }
    assert scores.partial_success.value == 1.0
    assert (scores.preserved.value, scores.hallucinated.value) == (1.0, 0.0)
    assert progress(images, every) == pytest.approx(np.ones(4))


def test_scores_of_the_unchanged_source(edits, altered):
    every = [*edits, altered]
    images, read = _images(every, "source"), _read(every, "source")
    scores = score_edits(images, read, every, distances(images, every))
    assert scores.ratio.value == 1.0
    assert scores.skill.value == 0.0
    assert scores.success_rate.value == 0.0
    assert scores.partial_success.value == 0.0
    assert scores.preserved.value == 1.0
    assert scores.distance.value > 0
    assert progress(images, every) == pytest.approx(np.zeros(4), abs=1e-9)


def test_half_way_is_half(edits):
    images = (_images(edits, "source") + _images(edits, "truth")) / 2
    scores = score_edits(images, _read(edits, "truth"), edits, np.ones(3))
    assert scores.skill.value == pytest.approx(0.75, abs=1e-4)
    assert progress(images, edits) == pytest.approx(np.full(3, 0.5), abs=1e-5)
    assert distances(images, edits) == pytest.approx(
        distances(_images(edits, "source"), edits) / 2, rel=1e-4
    )


def test_change_elsewhere(edits):
    """Another tone on the other side of the image costs distance, not progress."""
    edit = edits[0]
    image = edit.truth.copy()
    # The right effusion is at the left of the image.
    image[:, SIZE // 2 + 8 :] = np.clip(image[:, SIZE // 2 + 8 :] + 0.1, 0, 1)
    assert progress(image[None], [edit]) == pytest.approx([1.0], abs=0.02)
    assert distances(image[None], [edit])[0] > 0.01


def test_every_changed_label_must_follow():
    study = _study("cardiomegaly")
    edit = _edit(
        study,
        "Large right pleural effusion.",
        "The heart is normal in size.",
        drops=("cardi", "heart", "enlarge", "effusion"),
    )
    assert edit.change == "added and removed"
    both = label_vector(edit.findings) > 0
    half = label_vector([*study.findings, *edit.findings]) > 0
    assert successes(both[None], [edit]).tolist() == [True]
    assert successes(half[None], [edit]).tolist() == [False]


def test_preserved_and_hallucinated_count_unchanged_findings(edits):
    read = _read(edits, "truth")
    read[0, LABELS.index("cardiomegaly")] = False  # was to stay: the only one that was
    read[1, LABELS.index("pacemaker")] = True
    scores = score_edits(_images(edits, "truth"), read, edits, np.ones(3))
    assert scores.preserved.value == 0.0
    absent = sum(
        int(((edit.asked == 0) & (label_vector(edit.study.findings) == 0)).sum()) for edit in edits
    )
    assert scores.hallucinated.value == pytest.approx(1 / absent)


def test_undefined_without_alterations(edits):
    scores = score_edits(_images(edits, "truth"), _read(edits, "truth"), edits, np.ones(3))
    assert math.isnan(scores.partial_success.value)
    assert scores.partial_success.as_dict()["value"] is None


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (None, "no_rewrite"),
        ("{text}", "nothing_changed"),
        ("{text} Displaced left rib fracture.", "foreign"),
        ("{text} Large left pneumothorax.", "not_renderable"),
    ],
)
def test_unused_reports(after, reason):
    studies = (sample_study(1, index) for index in range(20_000))
    study = next(
        s
        for s in studies
        if [(f.kind, f.side) for f in s.findings] == [("pleural effusion", "left")]
    )
    rewritten = after and Rewritten(study.text, after.format(text=study.text))
    assert make_edit(study, rewritten, SIZE) == reason


def test_side_of_a_device_is_an_alteration():
    study = _study("pacemaker")
    side = study.findings[0].side
    other = "right" if side == "left" else "left"
    edit = _edit(study, f"{other.title()} pacemaker.", drops=("pacemaker",))
    assert edit.findings == (Finding("pacemaker", other),)
    assert edit.change == "altered"
