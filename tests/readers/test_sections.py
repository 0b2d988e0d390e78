from __future__ import annotations

import pytest

from layout_trees import EMPTY_FINDINGS, NO_HEADINGS, ONLY_IMPRESSION, REPORT, TWO_IMPRESSIONS
from pairaug.pair import Report
from pairaug.readers.sections import (
    named_sections,
    plain_sections,
    report_of,
    report_of_plain,
    sections_of,
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
        ("COMPARISON FILM", "comparison"),
        ("RECOMMENDATION(S)", "recommendations"),
        ("CLINICAL HISTORY", "history"),
        ("WETREAD", "wet read"),
        ("LINES AND TUBES", "lines and tubes"),
    ],
)
def test_headings_are_brought_to_a_common_form(heading: str, name: str) -> None:
    assert named_sections(f"FINAL REPORT\n {heading}:  Text.\n")[-1] == (name, "  Text.\n")


def test_what_is_no_heading_is_text() -> None:
    sections = sections_of("REPORT\n FINDINGS:  Seen at 10:30. Note: Clear.\n Dr. X: agrees.\n")
    assert list(sections) == ["preamble", "findings"]


def test_the_last_of_two_impressions_counts_and_an_empty_one_does_not() -> None:
    assert report_of(sections_of(TWO_IMPRESSIONS)).impression == "No acute process."
    assert report_of(sections_of(TWO_IMPRESSIONS + " IMPRESSION:\n")).impression == (
        "No acute process."
    )


def test_a_heading_under_an_empty_one_is_seen() -> None:
    assert report_of(sections_of(EMPTY_FINDINGS)) == Report("", "Edema.")


def test_without_findings_and_impression_the_last_paragraph_counts() -> None:
    assert sections_of(NO_HEADINGS)["last_paragraph"].split()[:3] == ["The", "lungs", "are"]
    assert report_of(sections_of(NO_HEADINGS)).findings == "The lungs are clear. No effusion."
    comparison = " REPORT\n COMPARISON:  None. The lungs are clear.\n"
    assert report_of(sections_of(comparison)).findings == "None. The lungs are clear."
    assert report_of(sections_of(" FINAL REPORT, and nothing else")) == Report()


def test_a_report_has_the_sections_that_are_asked_for() -> None:
    assert report_of(sections_of(REPORT), "impression").findings == ""
    assert report_of(sections_of(REPORT), "findings").impression == ""
    assert report_of(sections_of(ONLY_IMPRESSION), "findings") == Report()


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: Clear lungs.\nIMPRESSION: Normal.",
        "Findings: Clear lungs. IMPRESSION: Normal.",
        "findings:\r\nClear lungs.\r\n\r\nImpression :\r\nNormal.\r\n",
        "\ufeff  INDICATION: Cough. FINDINGS: Clear\n lungs. CONCLUSION: Normal.",
    ],
)
def test_headings_of_text_of_no_known_layout(text: str) -> None:
    assert report_of_plain(text, "findings") == Report("Clear lungs.", "Normal.")


def test_text_without_headings_is_the_section_that_is_said() -> None:
    text = "The findings are stable.\nNote: no effusion."
    assert plain_sections(text) == {}
    assert report_of_plain(text, "findings") == Report(
        "The findings are stable. Note: no effusion.", ""
    )
    assert report_of_plain("Clear.\n\n\nNo change.", "impression") == Report(
        "", "Clear.\n\nNo change."
    )
    assert report_of_plain("", "findings") == Report()
