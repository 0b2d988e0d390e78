"""What a report says: presence and its scope, side, zone, severity and kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.findings import FINDINGS, Statement, extract, labels_of
from pairaug.phantom.study import sample_study


def said(text: str) -> set[tuple[str, ...]]:
    """(finding, presence) and whatever of side, zone, severity and detail is given; not implied."""
    return {
        tuple(
            filter(None, (s.finding, s.presence, s.side, s.zone, s.severity, s.detail)),
        )
        for s in extract(text)
        if not s.implied
    }


PRESENCE = [
    # "Increased" is what makes these a finding; "no increase in" is of one that is there.
    ("There is no increased density.", {"lung opacity": False}),
    ("No increased interstitial markings.", {"lung opacity": False}),
    ("No increase in the left effusion.", {"pleural effusion": True}),
    ("Left apical pleuroparenchymal scarring.", {"pleural other": True}),
    ("Nodular opacification in the right upper lobe.", {"lung lesion": True}),
    ("Mild vascular indistinctness.", {"edema": True}),
    ("No effusion or pneumothorax.", {"pleural effusion": False, "pneumothorax": False}),
    (
        "No pleural effusion, pneumothorax, or focal consolidation.",
        {"pleural effusion": False, "pneumothorax": False, "consolidation": False},
    ),
    (
        "No focal consolidation, large pleural effusion, or pneumothorax is seen.",
        {"consolidation": False, "pleural effusion": False, "pneumothorax": False},
    ),
    ("No pneumothorax, stable cardiomegaly.", {"pneumothorax": False, "cardiomegaly": True}),
    ("No pneumothorax and small left effusion.", {"pneumothorax": False, "pleural effusion": True}),
    ("No edema but there is an effusion.", {"edema": False, "pleural effusion": True}),
    ("Cardiomegaly without overt edema.", {"cardiomegaly": True, "edema": False}),
    ("Lungs are clear of consolidation.", {"consolidation": False}),
    ("Negative for pneumothorax.", {"pneumothorax": False}),
    ("The left effusion has resolved.", {"pleural effusion": False}),
    ("Resolved pneumothorax.", {"pneumothorax": False}),
    ("Effusion is no longer seen.", {"pleural effusion": False}),
    ("A pneumothorax is not identified.", {"pneumothorax": False}),
    ("Interval resolution of the right effusion.", {"pleural effusion": False}),
    ("Partial resolution of the right effusion.", {"pleural effusion": True}),
    ("No change in the left effusion.", {"pleural effusion": True}),
    ("No significant interval change in cardiomegaly.", {"cardiomegaly": True}),
    ("Unremarkable.", {"no finding": True}),
    ("Pneumonia cannot be excluded.", {"pneumonia": None}),
    ("Cannot exclude a small effusion.", {"pleural effusion": None}),
    ("Possible pneumonia.", {"pneumonia": None}),
    ("Opacity which may represent pneumonia.", {"lung opacity": True, "pneumonia": None}),
    (
        "Left basilar opacity, atelectasis versus pneumonia.",
        {"lung opacity": True, "atelectasis": None, "pneumonia": None},
    ),
    ("Atelectasis or infiltrate at the left base.", {"atelectasis": None, "lung opacity": None}),
    ("No evidence to suggest pneumonia.", {"pneumonia": False}),
    ("No effusion, possible pneumonia.", {"pleural effusion": False, "pneumonia": None}),
    ("Consolidation consistent with pneumonia.", {"consolidation": True, "pneumonia": True}),
    ("No opacity to suggest pneumonia.", {"lung opacity": False, "pneumonia": False}),
    ("History of pneumonia.", {"pneumonia": None}),
    ("Evaluate for pneumothorax.", {"pneumothorax": None}),
    ("Pericardial effusion.", {"pleural effusion": None}),
    ("Subcutaneous emphysema and pedal edema.", {"edema": None}),
    ("Degenerative changes. No disease.", {"no finding": True}),
]


@pytest.mark.parametrize(("text", "expected"), PRESENCE, ids=[text for text, _ in PRESENCE])
def test_presence_and_its_scope(text: str, expected: dict[str, bool | None]):
    labels = labels_of(extract(text))
    assert {name: labels[name] for name in expected} == expected


REGIONS = [
    ("Heart size is normal.", {"cardiomegaly": False}),
    ("Normal heart size.", {"cardiomegaly": False}),
    ("The heart is top normal in size.", {"cardiomegaly": False}),
    ("The heart is not enlarged.", {"cardiomegaly": False}),
    ("Normal size and configuration of the cardiac silhouette.", {"cardiomegaly": False}),
    ("Borderline heart size.", {"cardiomegaly": None}),
    ("The cardiac silhouette is enlarged.", {"cardiomegaly": True}),
    ("Enlarged heart.", {"cardiomegaly": True}),
    (
        "Heart size and mediastinal contours are within normal limits.",
        {"cardiomegaly": False, "enlarged cardiomediastinum": False},
    ),
    (
        "The cardiomediastinal silhouette is unremarkable.",
        {"cardiomegaly": False, "enlarged cardiomediastinum": False},
    ),
    ("Widened mediastinum.", {"enlarged cardiomediastinum": True}),
    (
        "The lungs are clear.",
        {"lung opacity": False, "consolidation": False, "edema": False, "atelectasis": False},
    ),
    ("The lungs are not clear.", {"lung opacity": None}),
    ("Heart size normal and lungs are clear.", {"cardiomegaly": False, "consolidation": False}),
    ("No pneumothorax, lungs are clear.", {"pneumothorax": False, "lung opacity": False}),
    ("Heart: normal. Lungs: clear.", {"cardiomegaly": False, "lung opacity": False}),
    ("Pulmonary vasculature is normal.", {"edema": False}),
    ("The costophrenic angles are sharp.", {"pleural effusion": False}),
    ("Blunting of the left costophrenic angle.", {"pleural effusion": True}),
    ("The osseous structures are intact.", {"fracture": False}),
    ("No acute osseous abnormality.", {"fracture": False}),
    ("Normal chest radiograph.", {"no finding": True}),
    ("No acute cardiopulmonary abnormality.", {"no finding": True}),
    ("Views of the chest show an enlarged heart.", {"no finding": False, "cardiomegaly": True}),
]


@pytest.mark.parametrize(("text", "expected"), REGIONS, ids=[text for text, _ in REGIONS])
def test_regions_and_their_state(text: str, expected: dict[str, bool | None]):
    labels = labels_of(extract(text))
    assert {name: labels[name] for name in expected} == expected


PLACES = [
    (
        "Small left pleural effusion and right basilar atelectasis.",
        {
            ("pleural effusion", "present", "left", "mild"),
            ("atelectasis", "present", "right", "lower"),
        },
    ),
    (
        "Small right and moderate left pleural effusions.",
        {
            ("pleural effusion", "present", "right", "mild"),
            ("pleural effusion", "present", "left", "moderate"),
        },
    ),
    ("Left and right pleural effusions.", {("pleural effusion", "present", "bilateral")}),
    (
        "Bilateral effusions, left greater than right.",
        {("pleural effusion", "present", "bilateral")},
    ),
    (
        "Consolidation in the left upper and right lower lobe.",
        {
            ("consolidation", "present", "left", "upper"),
            ("consolidation", "present", "right", "lower"),
        },
    ),
    (
        "Right middle and lower lobe consolidation.",
        {
            ("consolidation", "present", "right", "middle"),
            ("consolidation", "present", "right", "lower"),
        },
    ),
    ("RLL consolidation.", {("consolidation", "present", "right", "lower")}),
    ("Bibasilar atelectasis.", {("atelectasis", "present", "bilateral", "lower")}),
    (
        "Large left effusion with adjacent atelectasis.",
        {
            ("pleural effusion", "present", "left", "severe"),
            ("atelectasis", "present", "left"),
        },
    ),
    ("Mild to moderate pulmonary edema.", {("edema", "present", "moderate")}),
    ("The heart is moderately enlarged.", {("cardiomegaly", "present", "moderate")}),
    ("A 5 mm nodule in the left apex.", {("lung lesion", "present", "left", "upper", "nodule")}),
    ("Right hilar mass.", {("lung lesion", "present", "right", "mass")}),
    (
        "Right internal jugular central venous catheter with tip in the right atrium.",
        {("support devices", "present", "right", "central line")},
    ),
    (
        "There is a left pacemaker and an endotracheal tube.",
        {
            ("support devices", "present", "left", "pacemaker"),
            ("support devices", "present", "endotracheal tube"),
        },
    ),
    (
        "ETT, NG tube and right chest drain in place.",
        {
            ("support devices", "present", "endotracheal tube"),
            ("support devices", "present", "enteric tube"),
            ("support devices", "present", "right", "chest tube"),
        },
    ),
    (
        "Diffuse bilateral opacities, tracheal cannula, internal jugular CVC.",
        {
            ("lung opacity", "present", "bilateral"),
            ("support devices", "present", "endotracheal tube"),
            ("support devices", "present", "central line"),
        },
    ),
    (
        "Atelectasis and effusion at the left base.",
        {
            ("atelectasis", "present", "left", "lower"),
            ("pleural effusion", "present", "left"),
        },
    ),
    (
        "No left pneumothorax. Small right pneumothorax.",
        {("pneumothorax", "absent", "left"), ("pneumothorax", "present", "right", "mild")},
    ),
]


@pytest.mark.parametrize(("text", "expected"), PLACES, ids=[text for text, _ in PLACES])
def test_side_zone_severity_and_kind(text: str, expected: set[tuple[str, ...]]):
    assert said(text) == expected


def test_positions_after_unusual_letters():
    text = "İmpression: Small left PNEUMOTHORAX. The heart is enlarged."
    phrases = [text[s.start : s.end] for s in extract(text)]
    assert phrases == ["PNEUMOTHORAX", "heart is enlarged"]


def test_otherwise_clear():
    statements = extract("Left basilar atelectasis. The lungs are otherwise clear.")
    assert [s.presence for s in statements if s.finding == "atelectasis"] == ["present"]
    assert "edema" in {s.finding for s in statements if s.presence == "absent"}


def test_present_outweighs_denied():
    labels = labels_of(extract("No left effusion. Small right effusion. Possible pneumonia."))
    assert labels["pleural effusion"] is True
    assert labels["pneumonia"] is None
    assert labels["no finding"] is False


def test_labels_of_empty_report():
    assert labels_of(extract("")) == dict.fromkeys(FINDINGS)
    assert labels_of(extract("Endotracheal tube in place."))["no finding"] is True


@given(st.text(max_size=200))
def test_any_text_is_read(text: str):
    for statement in extract(text):
        assert 0 <= statement.start < statement.end <= len(text)


def test_phantom_reports_state_their_findings():
    """Side, zone and kind of all findings; severity where it is stated."""
    for index in range(300):
        study = sample_study(seed=4, index=index)
        wanted = {
            (*_name(finding.kind), finding.side, finding.zone): finding.severity
            for finding in study.findings
        }
        found: dict[tuple[str | None, ...], str | None] = {}
        for s in extract(study.findings_text):
            if s.presence == "present" and s.finding != "no finding":
                for side in ("left", "right") if s.side == "bilateral" else (s.side,):
                    found[(s.finding, s.detail, side, s.zone)] = s.severity
        assert set(found) == set(wanted), study.findings_text
        for key, severity in found.items():
            assert severity in (None, wanted[key]), study.findings_text


def _name(kind: str) -> tuple[str, str | None]:
    if kind in ("nodule", "mass"):
        return "lung lesion", kind
    if kind in ("pacemaker", "central line", "endotracheal tube"):
        return "support devices", kind
    return kind, None


def test_statements_are_equal_by_value():
    assert extract("No edema.") == [Statement("edema", "absent", start=3, end=8)]
