"""What of a report is prompted: this image's findings, without what is about something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.findings import extract, sentences
from pairaug.phantom.study import sample_study
from pairaug.rewrite.cleaning import clean, shorten, shorten_both, source_report
from pairaug.rewrite.cleaning_patterns import DE_IDENTIFIED

CASES = [
    # De-identification marks go with what cannot be understood without them.
    ("XXXX are normal. The lungs are clear.", "The lungs are clear."),
    ("No XXXX consolidation.", "No consolidation."),
    (
        "The heart, pulmonary XXXX and mediastinum are within normal limits.",
        "The heart and mediastinum are within normal limits.",
    ),
    (
        "Small left effusion as compared to ___, and ___ edema.",
        "Small left effusion.",
    ),
    (
        "Lung XXXX are clear without evidence of effusion, infiltrate, or pneumothorax.",
        "No infiltrate or pneumothorax.",
    ),
    # Sections that are not about the findings.
    (
        "INDICATION: Cough and fever. COMPARISON: None. FINDINGS: Small left effusion. "
        "IMPRESSION: Left effusion.",
        "Small left effusion. Left effusion.",
    ),
    ("HISTORY: pneumonia\nFINDINGS: The lungs are clear.", "The lungs are clear."),
    # History, treatment, advice and other imaging.
    (
        "A 54-year-old man presented with fever. Chest X-ray on admission showed diffuse "
        "bilateral opacities.",
        "Diffuse bilateral opacities.",
    ),
    ("In 2015 resection of a metastasis of the left lung. Mild edema.", "Mild edema."),
    ("CT of the chest showed a mass. No effusion.", "No effusion."),
    ("Left basilar opacity. Clinical correlation is recommended.", "Left basilar opacity."),
    # Comparison.
    ("Stable mild cardiomegaly.", "Mild cardiomegaly."),
    (
        "There is stable cardiomegaly compared to the prior exam.",
        "There is cardiomegaly.",
    ),
    ("The left effusion has increased since the previous study.", "Left effusion."),
    ("Heart size and mediastinal contours are unchanged. No edema.", "No edema."),
    ("Interval development of a right effusion.", "A right effusion."),
    ("The pneumothorax has resolved.", "No pneumothorax."),
    ("The left effusion is no longer seen.", "No left effusion."),
    ("Interval removal of the left PICC line, no pneumothorax.", ""),
    # What stays.
    ("1. Edema. 2. Tortuous aorta.", "Edema. Tortuous aorta."),
    ("The endotracheal tube ends above the carina.",) * 2,
    ("Effusion on 03/04/2019 (arrow).", "Effusion."),
    ("Edema. Edema. No effusion.", "Edema. No effusion."),
    ("", ""),
]


@pytest.mark.parametrize(("report", "expected"), CASES, ids=[report[:40] for report, _ in CASES])
def test_clean(report: str, expected: str):
    assert clean(report) == expected


def test_phantom_report_is_unchanged():
    for index in range(200):
        text = sample_study(seed=9, index=index).text
        once: dict[str, str] = {}
        for start, end in sentences(text):
            once.setdefault(text[start:end].lower(), text[start:end])
        assert clean(text) == " ".join(once.values())


@given(st.text(max_size=300))
def test_cleaning_is_idempotent(text: str):
    assert clean(clean(text)) == clean(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "The heart is enlarged.",
                "XXXX of the XXXX effusion.",
                "No XXXX edema, ___ pneumothorax or mass.",
                "Compared to XXXX, the left effusion is larger.",
                "Stable XXXX with consolidation in the right base.",
            ]
        )
    )
)
def test_marks_are_removed_without_new_findings(parts: list[str]):
    text = " ".join(parts)
    cleaned = clean(text)
    assert not DE_IDENTIFIED.search(cleaned)
    before = {s.finding for s in extract(text) if s.presence != "absent"}
    assert {s.finding for s in extract(cleaned) if s.presence != "absent"} <= before


def test_shorten_drops_least_informative_first():
    text = (
        "The aorta is tortuous. Small left effusion. The lungs are otherwise clear. "
        "No pneumothorax. Possible pneumonia. Left effusion, small."
    )
    assert shorten(text, 20) == text
    assert [shorten(text, limit) for limit in (16, 13, 9, 5, 3)] == [
        "Small left effusion. The lungs are otherwise clear. No pneumothorax. Possible pneumonia. "
        "Left effusion, small.",
        "Small left effusion. The lungs are otherwise clear. No pneumothorax. Possible pneumonia.",
        "Small left effusion. No pneumothorax. Possible pneumonia.",
        "Small left effusion. Possible pneumonia.",
        "Small left effusion.",
    ]


def test_shorten_cuts_one_long_sentence_at_its_clauses():
    text = (
        "Large right effusion, which was a great worry to all of those who saw it that day, with "
        "mild edema, and left atelectasis."
    )
    assert shorten(text, 8) == "Large right effusion, mild edema, left atelectasis."
    assert shorten("word " * 60, 50).split() == ["Word", *["word"] * 48, "word."]


def test_the_source_report_has_at_most_fifty_words():
    text = " ".join(f"Small left effusion number {index}." for index in range(40))
    assert 40 < len(source_report(text).split()) <= 50
    assert source_report("Stable mild edema.") == "Mild edema."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("TECHNIQUE: Portable AP view. Large heart. No edema.", "Large heart. No edema."),
        ("COMPARISON: Radiograph of ___. Small left effusion.", "Small left effusion."),
        ("EXAM: Two views. COMPARISON: None. Small left effusion.", "Small left effusion."),
        ("HISTORY: Cough. Prior pneumonia. Edema.", ""),
        ("FINDINGS: Small effusion. RECOMMENDATION: CT. Repeat for pneumonia.", "Small effusion."),
    ],
)  # fmt: skip
def test_open_section_keeps_findings(text: str, kept: str):
    assert clean(text) == kept


def test_shortening_applies_to_both_texts():
    rest = "The aorta is tortuous. No pneumothorax. Sternotomy wires are intact. "
    before, after = shorten_both(f"{rest}Mild edema.", f"{rest}Mild edema. Large right mass.", 9)
    assert before == "Sternotomy wires are intact. Mild edema."
    assert after == "Sternotomy wires are intact. Mild edema. Large right mass."[: len(after)]
    assert after.endswith("Large right mass.")
    assert "tortuous" not in before + after


@pytest.mark.parametrize(
    "mark",
    [
        "asterisk",
        "white arrows",
        "Fig. 2",
        "Figure 3B",
        "arrowhead, Fig 1",
        "Fig1",
        "arrows in Figure 2",
    ],
)
def test_figure_marks_keep_findings(mark: str) -> None:
    report = f"Hazy opacities ({mark}) in the left base and a nodule in the RUL (arrow)."
    cleaned = "Hazy opacities in the left base and a nodule in the RUL."
    assert source_report(report) == cleaned


def test_statement_beside_mark_is_kept() -> None:
    report = "Hazy opacity (small effusion, arrow) in the left base."
    assert "effusion" in source_report(report)
