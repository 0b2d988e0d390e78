"""The true counterfactual: the findings of the changed report, and no other changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairaug.findings import extract, labels_of
from pairaug.phantom.findings import Finding
from pairaug.phantom.study import sample_study
from pairaug.phantom.truth import (
    changed_findings,
    counterfactual,
    counterfactual_findings,
    foreign_changes,
    is_drawable,
    true_labels,
)

LEFT = Finding("pleural effusion", "left", None, "moderate")
RIGHT = Finding("pleural effusion", "right", None, "mild")
HEART = Finding("cardiomegaly", severity="mild")
UPPER = Finding("consolidation", "right", "upper", "severe")
NODULE = Finding("nodule", "left", "lower")
PACEMAKER = Finding("pacemaker", "left")


def _changed(findings, before, after, seed=0):
    return set(changed_findings(findings, extract(before), extract(after), seed))


@pytest.mark.parametrize(
    ("findings", "before", "after", "expected"),
    [
        # Removed: denied, no longer stated, on one side only.
        ([LEFT], "Moderate left pleural effusion.", "No pleural effusion.", []),
        ([LEFT], "Moderate left pleural effusion.", "The lungs are clear.", []),
        (
            [LEFT, RIGHT],
            "Moderate left and small right pleural effusions.",
            "Small right pleural effusion. No left pleural effusion.",
            [RIGHT],
        ),
        ([HEART, LEFT], "Mild cardiomegaly. Left pleural effusion.", "Mild cardiomegaly.", [HEART]),
        ([PACEMAKER], "Left pacemaker.", "No support devices.", []),
        # Added, with the stated attributes.
        (
            [],
            "No pneumothorax.",
            "There is a small right pneumothorax.",
            [Finding("pneumothorax", "right", None, "mild")],
        ),
        (
            [HEART],
            "Mild cardiomegaly.",
            "Mild cardiomegaly. Large bilateral pleural effusions.",
            [
                HEART,
                Finding("pleural effusion", "left", None, "severe"),
                Finding("pleural effusion", "right", None, "severe"),
            ],
        ),
        (
            [],
            "The lungs are clear.",
            "Mild right upper lobe pneumonia.",
            [Finding("consolidation", "right", "upper", "mild")],
        ),
        ([], "The heart is normal in size.", "Endotracheal tube.", [Finding("endotracheal tube")]),
        # Altered: severity, zone, side, kind.
        (
            [LEFT],
            "Moderate left pleural effusion.",
            "Large left pleural effusion.",
            [Finding("pleural effusion", "left", None, "severe")],
        ),
        (
            [LEFT, RIGHT],
            "Moderate left and small right pleural effusions.",
            "Moderate left and large right pleural effusions.",
            [LEFT, Finding("pleural effusion", "right", None, "severe")],
        ),
        (
            [UPPER],
            "Severe right upper lobe consolidation.",
            "Severe right lower lobe consolidation.",
            [Finding("consolidation", "right", "lower", "severe")],
        ),
        (
            [LEFT],
            "Moderate left pleural effusion.",
            "Moderate right pleural effusion.",
            [Finding("pleural effusion", "right", None, "moderate")],
        ),
        (
            [NODULE],
            "Left lower lobe nodule.",
            "Left lower lobe mass.",
            [Finding("mass", "left", "lower")],
        ),
        ([PACEMAKER], "Left pacemaker.", "Right pacemaker.", [Finding("pacemaker", "right")]),
        # Kept: other words, an open question, a finding that neither report mentions.
        ([LEFT], "Moderate left pleural effusion.", "Left effusion, moderate in size.", [LEFT]),
        ([LEFT], "Moderate left pleural effusion.", "Possible left pleural effusion.", [LEFT]),
        ([LEFT, HEART], "Left pleural effusion.", "No pleural effusion.", [HEART]),
        ([], "The lungs are clear.", "Possible left pneumothorax.", []),
        # An impression without sides does not add a finding.
        (
            [LEFT],
            "Pleural effusion. Moderate left pleural effusion.",
            "Pleural effusion. Large left pleural effusion.",
            [Finding("pleural effusion", "left", None, "severe")],
        ),
    ],
)
def test_changes(findings, before, after, expected):
    assert _changed(findings, before, after) == set(expected)


def test_unstated_attributes_depend_on_the_patient():
    before, after = "The lungs are clear.", "There is a pulmonary nodule and consolidation."
    sampled = [_changed([], before, after, seed) for seed in range(40)]
    assert sampled[7] == _changed([], before, after, 7)
    assert all(
        {finding.kind for finding in found} == {"nodule", "consolidation"} for found in sampled
    )
    consolidations = [f for found in sampled for f in found if f.kind == "consolidation"]
    assert {f.severity for f in consolidations} == {"moderate"}
    assert {f.side for f in consolidations} == {"left", "right"}
    assert {f.zone for f in consolidations} == {"upper", "middle", "lower"}


def test_atelectasis_is_at_most_moderate():
    found = _changed([], "Lungs are clear.", "Severe left lower lobe atelectasis.")
    assert found == {Finding("atelectasis", "left", "lower", "moderate")}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_same_report_changes_nothing(index, other):
    """Equal statements give equal findings, whether or not they were read correctly."""
    study = sample_study(8, index)
    assert counterfactual_findings(study, study.text, study.text) == study.findings
    strange = sample_study(9, other).text
    assert counterfactual_findings(study, strange, strange) == study.findings


def test_another_wording_of_the_same_findings_changes_nothing():
    for index in range(150):
        study = sample_study(8, index)
        findings_text, impression_text = study.report(1)
        after = f"{impression_text} {findings_text}"
        assert counterfactual_findings(study, study.text, after) == study.findings, (
            study.text,
            after,
        )


def test_the_report_of_another_study_asks_for_its_findings():
    """From any report to any other, the result has the other report's kinds and sides."""
    for index in range(150):
        study, other = sample_study(8, index), sample_study(8, index, visit=1)
        found = counterfactual_findings(study, study.text, other.text)
        assert {(f.kind, f.side) for f in found} == {(f.kind, f.side) for f in other.findings}, (
            study.text,
            other.text,
        )


def test_counterfactual_changes_only_where_it_should():
    study = next(s for s in (sample_study(2, i) for i in range(200)) if s.findings == ())
    after = f"{study.text} Moderate right pleural effusion."
    image, changed = study.render(128), counterfactual(study, study.text, after)
    where = np.abs(image.image - changed.image) > 0.02
    assert changed.masks["right pleural effusion"].any()
    # The patient's right is the image's left.
    assert where[:, :64].sum() > 100
    assert where[:, 70:].sum() == 0
    assert np.array_equal(counterfactual(study, study.text, study.text).image, image.image)


def test_findings_that_cannot_be_rendered():
    assert is_drawable([LEFT, Finding("pneumothorax", "right", None, "mild")])
    assert not is_drawable([LEFT, Finding("pneumothorax", "left", None, "mild")])
    assert is_drawable([LEFT, RIGHT])


def test_foreign_changes_are_named():
    before = extract("Mild cardiomegaly.")
    assert foreign_changes(before, extract("Mild cardiomegaly. Left rib fracture.")) != set()
    assert foreign_changes(before, extract("Large left pneumothorax.")) == set()
    same = extract("Left rib fracture.")
    assert foreign_changes(same, same) == set()


def test_true_labels():
    labels = true_labels([LEFT, NODULE, PACEMAKER])
    assert {name for name, is_so in labels.items() if is_so} == {
        "pleural effusion",
        "lung lesion",
        "support devices",
    }
    assert true_labels([PACEMAKER])["no finding"]
    assert true_labels([])["no finding"]
    assert not true_labels([HEART])["no finding"]


def test_true_labels_agree_with_what_the_report_says():
    for index in range(300):
        study = sample_study(4, index)
        stated = labels_of(extract(study.text))
        for name, is_so in true_labels(study.findings).items():
            # A finding that is present is always stated; an absent one may be left out.
            assert stated[name] is True if is_so else stated[name] is not True, (name, study.text)
