"""Accepted rewrites, rejected rewrites, and the changes found in them."""

from __future__ import annotations

import pytest

from pairaug.findings import extract
from pairaug.pair import Branch
from pairaug.rewrite import MEANINGS, Reason
from pairaug.rewrite.check import check, tidy
from pairaug.rewrite.topics import changes_between

SOURCE = (
    "Small left pleural effusion. Mild cardiomegaly. Endotracheal tube in place. "
    "No pneumothorax or consolidation."
)


def reason_for(branch: str, answer: str, source: str = SOURCE) -> Reason | None:
    return check(Branch(branch), extract(source), answer, 50).reason


ACCEPTED = [
    ("inter", "No pleural effusion. Large right pneumothorax."),
    ("inter", "Right upper lobe consolidation. Heart size is normal."),
    ("intra", SOURCE.replace("Small", "Large")),
    ("intra", SOURCE.replace("Small left pleural effusion", "No pleural effusion")),
    ("intra", SOURCE.replace("left pleural effusion", "bilateral pleural effusions")),
    ("intra", SOURCE.replace("Endotracheal tube in place. ", "")),
    ("intra", SOURCE + " Right central line in place."),
    ("intra", "Small left pleural effusion. Mild cardiomegaly. ETT in place. Small pneumothorax."),
    ("intra", "Small left and large right pleural effusions. Mild cardiomegaly. ETT in place."),
]


@pytest.mark.parametrize(("branch", "answer"), ACCEPTED)
def test_accepted(branch: str, answer: str):
    assert reason_for(branch, answer) is None


REFUSED = [
    ("inter", SOURCE, Reason.UNCHANGED),
    ("inter", "Moderate pulmonary edema. Left pacemaker.", Reason.UNCHANGED),
    ("intra", SOURCE, Reason.UNCHANGED),
    ("intra", "Small effusion on the left. Mild cardiomegaly. ETT in place.", Reason.UNCHANGED),
    ("intra", "No pneumothorax. ETT in place. Large left effusion.", Reason.CHANGED_TOO_MUCH),
    (
        "intra",
        "No effusion. Heart size is normal. Left pneumothorax. Severe edema. Right lung mass.",
        Reason.CHANGED_TOO_MUCH,
    ),
    ("inter", "No pleural effusion. Large left pleural effusion.", Reason.CONTRADICTION),
    ("inter", "The lungs are clear. Right upper lobe consolidation.", Reason.CONTRADICTION),
    ("inter", "Mild pulmonary edema. No effusion. Severe pulmonary edema.", Reason.CONTRADICTION),
    ("intra", SOURCE + " Large left pleural effusion.", Reason.CONTRADICTION),
    ("inter", "Normal chest. Large right pneumothorax.", Reason.CONTRADICTION),
    ("inter", "No acute disease. Large right pneumothorax.", Reason.CONTRADICTION),
    ("inter", "No effusion. " * 26, Reason.TOO_LONG),
    ("inter", "I'm sorry, but I cannot rewrite this report.", Reason.REFUSAL),
    ("inter", "As an AI language model I see no effusion.", Reason.REFUSAL),
    ("inter", "**Findings**: No pleural effusion.", Reason.MARKUP),
    ("inter", "Here is the augmented report: No pleural effusion.", Reason.MARKUP),
    ("inter", "Findings: No effusion. Impression: normal.", Reason.MARKUP),
    ("inter", "- No pleural effusion\n- Large heart", Reason.MARKUP),
    ("inter", "No pleural effusion in Mr. Miller.", Reason.IDENTIFYING),
    ("inter", "No pleural effusion on 12/03/2019.", Reason.IDENTIFYING),
    ("inter", "No XXXX pleural effusion.", Reason.IDENTIFYING),
    ("inter", "No ___ pleural effusion.", Reason.IDENTIFYING),
    ("inter", "No pleural effusion. Signed by the radiologist.", Reason.IDENTIFYING),
    ("inter", "Patient name: Ann. No pleural effusion.", Reason.IDENTIFYING),
    ("inter", "No pleural effusion in [name].", Reason.IDENTIFYING),
    ("inter", "No pleural effusion. Seen on 3 May 2020.", Reason.IDENTIFYING),
    ("inter", "No pleural effusion as in the previous study.", Reason.COMPARES),
    ("inter", "The effusion is no longer seen. Unchanged edema.", Reason.COMPARES),
    ("inter", '{"report": "No effu', Reason.MARKUP),
    ("inter", "<b>No effusion</b>", Reason.MARKUP),
    ("inter", "I cannot assist with medical reports.", Reason.REFUSAL),
    ("inter", "The effusion has resolved compared to the prior image.", Reason.COMPARES),
    ("inter", "The patient is well.", Reason.EMPTY_ANSWER),
    ("inter", "Kein Pleuraerguss. Pneumothorax rechts.", Reason.ANSWER_NOT_ENGLISH),
    ("intra", "Derrame pleural izquierdo. Cardiomegalia leve.", Reason.ANSWER_NOT_ENGLISH),
    ("inter", "\u80f8\u6c34\u3092\u8a8d\u3081\u307e\u305b\u3093\u3002", Reason.ANSWER_NOT_ENGLISH),
    ("inter", " \n", Reason.EMPTY_ANSWER),
]


@pytest.mark.parametrize(
    ("branch", "answer", "reason"), REFUSED, ids=[f"{r}-{a[:25]}" for _, a, r in REFUSED]
)
def test_refused(branch: str, answer: str, reason: Reason):
    assert reason_for(branch, answer) is reason


def test_details_have_no_report_text():
    result = check(Branch.INTER, extract(SOURCE), "No zebrawood effusion. " * 20, 50)
    assert result.detail == "it has 60 words; at most 50 are allowed"


def test_contradictions_of_the_source_are_allowed():
    source = "The lungs are clear. Left basilar atelectasis. Small left effusion."
    assert reason_for("intra", source.replace("Small", "Large"), source) is None
    added = source.replace("Small", "Large") + " Right upper lobe consolidation."
    assert reason_for("intra", added, source) is Reason.CONTRADICTION


def test_a_normal_report_is_reversed_by_any_finding_except_a_device():
    assert reason_for("inter", "Severe edema.", "No acute disease.") is None
    assert reason_for("inter", "Left pacemaker.", "No acute disease.") is Reason.UNCHANGED


CHANGES = [
    ("Small left effusion.", "Large left effusion.", [("pleural effusion", "mild", "severe")]),
    ("Left effusion.", "No effusion.", [("pleural effusion", "present", "absent")]),
    ("No edema.", "Mild edema.", [("edema", "absent", "present")]),
    ("No edema.", "No edema. Left nodule.", [("lung lesion", "not stated", "present")]),
    ("Left effusion.", "Bilateral effusions.", [("pleural effusion", "left", "bilateral")]),
    ("Left effusion.", "Left pleural effusion.", []),
    (
        "Left upper lobe consolidation.",
        "Left upper lobe and left lower lobe consolidation.",
        [("consolidation", "upper", "upper and lower")],
    ),
    (
        "Left lower lobe consolidation.",
        "Left consolidation.",
        [],
    ),  # less precise, but not different
    ("Effusion.", "Moderate effusion.", []),  # an unstated degree counts as moderate
    ("Effusion.", "Large effusion.", [("pleural effusion", "moderate", "severe")]),
    ("Possible pneumonia.", "No pneumonia.", [("pneumonia", "uncertain", "absent")]),
    ("Basal opacity.", "Lungs are clear.", [("lung opacity", "present", "absent")]),
    ("PICC in place.", "No edema.", [("support devices", "present", "not stated")]),
    ("Sternal wires.", "No edema.", []),  # they are not taken out
    ("Left effusion.", "Edema.", [("edema", "not stated", "present")]),
]


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES)
def test_changes(before: str, after: str, expected: list[tuple[str, str, str]]):
    found = changes_between(extract(before), extract(after))
    assert [(change.finding, change.before, change.after) for change in found] == expected


def test_a_change_in_the_trace():
    (change,) = changes_between(extract("No nodule."), extract("Right apical nodule."))
    assert change.as_json() == {
        "finding": "lung lesion",
        "side": "right",
        "detail": "nodule",
        "from": "absent",
        "to": "present",
    }


@pytest.mark.parametrize(
    "answer",
    [
        '"No effusion. Edema."',
        "Report: No effusion. Edema.",
        "Augmented chest X-ray report:\nNo effusion. Edema.",
        " No effusion.\nEdema. ",
        "```No effusion. Edema.```",
    ],
)
def test_quotes_labels_and_line_breaks_are_removed(answer: str):
    assert tidy(answer) == "No effusion. Edema."


def test_every_reason_has_a_description():
    assert set(MEANINGS) == set(Reason)


def test_open_findings_must_be_kept():
    source = "Possible right lower lobe pneumonia. Small left effusion."
    assert reason_for("intra", "Large left effusion.", source) is Reason.CHANGED_TOO_MUCH
    kept = "Possible right lower lobe pneumonia. Large left effusion."
    assert reason_for("intra", kept, source) is None
    settled = "Right lower lobe pneumonia. Small left effusion."
    assert reason_for("intra", settled, source) is None


@pytest.mark.parametrize("word", ["edema", "quagga"])
def test_no_detail_quotes_the_answer(word: str):
    for branch, answer, _ in REFUSED:
        result = check(Branch(branch), extract(SOURCE), f"{answer} {word.title()}gnu.", 50)
        assert f"{word}gnu" not in result.detail.lower()
