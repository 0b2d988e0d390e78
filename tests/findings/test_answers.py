"""Answers and check boxes, headed lists, fragments, and denials of a part of a finding."""

from __future__ import annotations

import pytest

from pairaug.findings import extract
from pairaug.findings.statement import labels_of
from pairaug.rewrite.cleaning import source_report


def _said(text: str) -> list[tuple[str, str]]:
    return [(s.finding, s.presence) for s in extract(text)]


PTX, FLUID, EDEMA = "pneumothorax", "pleural effusion", "edema"


@pytest.mark.parametrize(
    "text",
    [
        "Pneumothorax (no), effusion (yes).",
        "Pneumothorax (-), effusion (+).",
        "Pneumothorax (absent), effusion (present)",
        "Pneumothorax: no, effusion: yes.",
        "Pneumothorax: no; effusion: yes",
        "Pneumothorax no, effusion yes.",
        "[ ] Pneumothorax [x] Effusion",
        "[] Pneumothorax, [X] effusion",
        "Pneumothorax [ ] Effusion [x]",
        "- [ ] Pneumothorax\n- [x] Effusion",
        "\u2610 Pneumothorax \u2612 Effusion",
        "Pneumothorax: \u2610, effusion: \u2611",
    ],
)
def test_answers_and_boxes(text: str) -> None:
    assert _said(text) == [(PTX, "absent"), (FLUID, "present")]


def test_answer_applies_to_list_before() -> None:
    said = _said("Edema and effusion (no), pneumothorax (yes)")
    assert said == [(EDEMA, "absent"), (FLUID, "absent"), (PTX, "present")]


def test_empty_box_is_not_prompted() -> None:
    for box in ("[ ] Pneumothorax\n[x] Effusion", "Pneumothorax [ ], effusion [x].", "\u2610 PTX"):
        assert labels_of(extract(source_report(box)))[PTX] is not True
    assert source_report("[x] Effusion\n[ ] Pneumothorax") == "Effusion."
    assert source_report("Pneumothorax (no), effusion (yes).") == ""


@pytest.mark.parametrize("heading", ["Not present", "Not seen", "Absent", "Not identified"])
def test_denial_as_list_heading(heading: str) -> None:
    said = _said(f"{heading}: pneumothorax, effusion, or edema.")
    assert said == [(PTX, "absent"), (FLUID, "absent"), (EDEMA, "absent")]


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("No effusion on the right. Moderate on the left.", "present", "absent"),
        ("No pneumothorax on the left. Small one on the right.", "absent", "present"),
        ("Small left effusion. None on the right.", "present", "absent"),
    ],
)
def test_fragment_applies_to_finding_before(text: str, left: str, right: str) -> None:
    statements = extract(text)
    assert {s.side: s.presence for s in statements} == {"left": left, "right": right}
    assert len({s.finding for s in statements}) == 1
    assert all(s.start < s.end <= len(text) for s in statements)


@pytest.mark.parametrize(
    "text",
    [
        "No effusion. Clear on the left.",  # no size
        "No effusion on the right, small pneumothorax. Moderate on the left.",  # of which?
        "Moderate on the left.",
    ],
)
def test_fragment_without_known_finding(text: str) -> None:
    assert not [s for s in extract(text) if s.side == "left"]


@pytest.mark.parametrize(
    "text",
    [
        "No evidence of tension with the pneumothorax.",
        "No sign of tension with this pneumothorax.",
        "No larger pneumothorax, the apical component persists.",
    ],
)
def test_denied_property_keeps_finding(text: str) -> None:
    assert labels_of(extract(text))[PTX] is True


@pytest.mark.parametrize("text", ["No tension pneumothorax.", "No larger pneumothorax."])
def test_denial_includes_detail(text: str) -> None:
    assert labels_of(extract(text))[PTX] is False


@pytest.mark.parametrize(
    ("text", "presence"),
    [
        ("The right jugular line is out.", "absent"),
        ("The chest tube is now out.", "absent"),
        ("The endotracheal tube has come out.", "absent"),
        ("The PICC was taken out.", "absent"),
        ("The feeding tube is out of view.", "present"),
        ("The tip of the PICC is out of the field of view.", "present"),
    ],
)
def test_removed_devices(text: str, presence: str) -> None:
    assert _said(text) == [("support devices", presence)]


@pytest.mark.parametrize(
    "text",
    [
        "Pneumonia is unlikely, but cannot be ruled out.",
        "Pneumonia unlikely, though not excluded.",
        "Pneumonia is unlikely; however, it cannot be excluded.",
        "Pneumonia is unlikely, although it cannot be entirely excluded.",
    ],
)
def test_unlikely_but_not_excluded_is_uncertain(text: str) -> None:
    assert _said(text) == [("pneumonia", "uncertain")]


def test_not_excluded_after_break() -> None:
    said = _said("Pneumothorax is unlikely, but effusion cannot be excluded.")
    assert said == [(PTX, "absent"), (FLUID, "uncertain")]
