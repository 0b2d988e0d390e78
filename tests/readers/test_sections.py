from __future__ import annotations

import pytest

from pairaug.pair import Report
from pairaug.readers.sections import report_of, sections_of, split_sections, unwrap
from support.layout_trees import (
    EMPTY_FINDINGS,
    NO_HEADINGS,
    ONLY_IMPRESSION,
    REPORT,
    TWO_IMPRESSIONS,
)


def test_sections_of_a_usual_report() -> None:
    sections = sections_of(REPORT)
    assert list(sections) == [
        "preamble", "examination", "indication", "comparison", "findings", "impression",
    ]  # fmt: skip
    assert report_of(sections) == Report(
        "The heart is normal in size. There is a small left pleural effusion.",
        "Small left pleural effusion.",
    )
    assert sections_of(REPORT.replace("\n", "\r\n")) == sections


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("IMPRESSION", "impression"),
        ("IMPRESSIONS", "impression"),
        ("IMPRESSON", "impression"),
        ("CONCLUSION", "impression"),
        ("FINDINGS AND IMPRESSION", "impression"),
        ("FINDINGS/IMPRESSION", "impression"),
        ("FINDING", "findings"),
        ("FINDIDNGS FINDINGS", "findings"),
        ("CHEST, TWO VIEWS", "findings"),
        ("PORTABLE AP CHEST", "findings"),
        ("REASON FOR EXAM", "indication"),
        ("NDICATION", "indication"),
        ("COMPARISON IMAGE", "comparison"),
        ("RECOMMENDATION(S)", "recommendations"),
        ("CLINICAL HISTORY", "history"),
        ("WETREAD", "wet read"),
        ("LINES AND TUBES", "lines and tubes"),
    ],
)
def test_common_names_of_headings(heading: str, name: str) -> None:
    assert split_sections(f"FINAL REPORT\n {heading}:  Text.\n")[-1] == (name, "  Text.\n")


def test_other_lines_are_text() -> None:
    sections = sections_of("REPORT\n FINDINGS:  Seen at 10:30. Note: Clear.\n Dr. X: agrees.\n")
    assert list(sections) == ["preamble", "findings"]


def test_last_non_empty_impression_counts() -> None:
    assert report_of(sections_of(TWO_IMPRESSIONS)).impression == "No acute process."
    assert report_of(sections_of(TWO_IMPRESSIONS + " IMPRESSION:\n")).impression == (
        "No acute process."
    )


def test_heading_below_empty_one() -> None:
    assert report_of(sections_of(EMPTY_FINDINGS)) == Report("", "Edema.")


def test_last_paragraph_as_findings() -> None:
    assert sections_of(NO_HEADINGS)["last_paragraph"].split()[:3] == ["The", "lungs", "are"]
    assert report_of(sections_of(NO_HEADINGS)).findings == "The lungs are clear. No effusion."
    comparison = " REPORT\n COMPARISON:  None. The lungs are clear.\n"
    assert report_of(sections_of(comparison)).findings == "None. The lungs are clear."
    assert report_of(sections_of(" FINAL REPORT, and nothing else")) == Report()


def test_section_choice() -> None:
    assert report_of(sections_of(REPORT), "impression").findings == ""
    assert report_of(sections_of(REPORT), "findings").impression == ""
    assert report_of(sections_of(ONLY_IMPRESSION), "findings") == Report()


def test_sub_headings_stay_in_section() -> None:
    report = (
        "FINAL REPORT\n FINDINGS:\n \n LUNGS:  Small left effusion.\n HEART:  Enlarged.\n"
        " LINES AND TUBES:  None.\n \n IMPRESSION:\n \n As above.\n NOTIFICATION:  Called.\n"
    )
    assert report_of(sections_of(report)) == Report(
        "LUNGS: Small left effusion. HEART: Enlarged. LINES AND TUBES: None.", "As above."
    )


@pytest.mark.parametrize("heading", ["INTERPRETATION", "REPORT", "RESULTS", "BEFUND", "HALLAZGOS"])
def test_headings_of_other_layouts(heading: str) -> None:
    text = f"FINAL REPORT\n INDICATION:  Cough.\n \n {heading}:  Clear lungs.\n"
    assert report_of(sections_of(text)).text == "Clear lungs."


@pytest.mark.parametrize(
    ("text", "one_line"),
    [
        ("Heart is large and\n wide. No\n PICC line.", "Heart is large and wide. No PICC line."),
        ("Lungs clear\nHeart enlarged\nNo effusion", "Lungs clear. Heart enlarged. No effusion"),
        ("- Clear\n- No effusion\n", "Clear. No effusion"),
        ("\u2022 Clear\n\u2022 Large heart", "Clear. Large heart"),
        ("1. Clear\n2) No effusion", "1. Clear. 2) No effusion"),
        ("1. Clear lungs and\n   no effusion\n2. Large heart", "1. Clear lungs and no effusion. "
         "2. Large heart"),
        ("LUNGS: Clear\nHEART:\nLarge", "LUNGS: Clear. HEART: Large"),
        ("Clear\r\n\r\nNo change", "Clear\n\nNo change"),
        (
            "The heart is normal in size, and there is a small pleural effusion on the\nLeft side",
            "The heart is normal in size, and there is a small pleural effusion on the Left side",
        ),
        (
            "There is no pneumothorax after removal of the chest tube on the right side by\nDr. X",
            "There is no pneumothorax after removal of the chest tube on the right side by Dr. X",
        ),
    ],
)  # fmt: skip
def test_statement_lines_become_sentences(text: str, one_line: str) -> None:
    assert unwrap(text) == one_line
