"""A rewritten text has the sections of its source report."""

from __future__ import annotations

import pytest

from pairaug.pair import Branch, Report
from pairaug.rewrite import Rewrite, RewriteSettings
from pairaug.rewrite.sections import in_sections
from pairaug.stage import RunContext
from support.messy_reports import messy_pairs

PARENT = Report(
    findings="The heart is normal in size. There is a small left pleural effusion. "
    "No pneumothorax.",
    impression="Small left effusion. No acute osseous abnormality.",
)


@pytest.mark.parametrize(
    ("text", "impression"),
    [
        # The impression comes first, as in the source.
        (
            "Large left effusion. No acute osseous abnormality. The heart is normal in size. "
            "There is a large left pleural effusion. No pneumothorax.",
            "Large left effusion. No acute osseous abnormality.",
        ),
        # New sentences go to the findings.
        ("Small left effusion. No acute osseous abnormality. Mild edema.",
         "Small left effusion. No acute osseous abnormality."),
        ("The heart is normal in size. No pneumothorax.", ""),
        ("Sternotomy wires. Scoliosis.", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("given", ["findings", "impression"])
def test_sentences_go_to_the_section_of_the_most_similar_one(
    text: str, impression: str, given: str
) -> None:
    """Rules and language models answer with one text, without sections."""
    child = in_sections(Report(**{given: text}), PARENT)
    assert child.impression == impression
    assert child.text == text


def test_children_of_a_report_with_one_section() -> None:
    answer = Report("No effusion.", "Mild edema.")
    assert in_sections(answer, Report(findings="Edema.")) == Report("Mild edema. No effusion.")
    only = in_sections(answer, Report(impression="Edema."))
    assert only == Report(impression="Mild edema. No effusion.")
    assert in_sections(answer, PARENT) == answer


def test_children_of_messy_reports_have_their_parents_sections() -> None:
    pairs = {pair.id: pair for pair in messy_pairs()}
    children = [
        pair
        for pair in Rewrite(RewriteSettings(backend="rules"), RunContext(seed=2))(pairs.values())
        if pair.branch is Branch.INTRA and pair.drop is None
    ]
    num_both = 0
    for child in children:
        parent = pairs[child.parent_id or ""].report
        if not parent.impression:
            assert not child.report.impression
        elif not parent.findings:
            assert not child.report.findings
        num_both += bool(child.report.impression and child.report.findings)
    assert num_both >= 10
