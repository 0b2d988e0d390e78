"""General denials: of the chest, of the bones, or of the one finding that they lead to."""

from __future__ import annotations

import pytest

from pairaug.findings import extract
from pairaug.rewrite.cleaning import clean


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No convincing findings of edema.", {("edema", "absent")}),
        ("No lung changes to suggest pneumonia.", {("pneumonia", "absent")}),
        (
            "Heart size is normal, no findings of pleural effusion or edema.",
            {("cardiomegaly", "absent"), ("pleural effusion", "absent"), ("edema", "absent")},
        ),
        ("No findings of acute disease.", {("no finding", "present")}),
        ("No disease process.", {("no finding", "present")}),
        ("No pleural disease.", {("pleural other", "absent")}),
        ("No evidence of active pleural process.", {("pleural other", "absent")}),
        (
            "No active cardiac, pulmonary, or pleural disease.",
            {("no finding", "present"), ("pleural other", "absent")},
        ),
        ("The bony structures show no acute abnormality.", {("fracture", "absent")}),
        ("No acute bony or soft tissue abnormality.", {("fracture", "absent")}),
        ("No abnormality of the visible bones.", {("fracture", "absent")}),
        ("The chest shows no acute abnormality.", {("no finding", "present")}),
        ("No abnormality of the chest.", {("no finding", "present")}),
        ("No fracture or destructive process.", {("fracture", "absent")}),
        ("No intra-abdominal process.", set()),
        ("CHEST: The heart size is normal.", {("cardiomegaly", "absent")}),
        ("Pacemaker over the left chest, leads intact.", {("support devices", "present")}),
        ("Pacer of the chest wall, its leads intact.", {("support devices", "present")}),
        ("Normal chest.", {("no finding", "present")}),
    ],
)
def test_general_denial(text: str, said: set[tuple[str, str]]) -> None:
    assert {(s.finding, s.presence) for s in extract(text)} == said


@pytest.mark.parametrize("text", ["There is mediastinal shift to the right.", "No midline shift."])
def test_cleaning_keeps_a_shift(text: str) -> None:
    assert clean(text) == text
