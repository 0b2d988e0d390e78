"""The text that a film is paired with, and how it is written where a table's reader may lose it."""

from __future__ import annotations

from pairaug.export.settings import TextChoice
from pairaug.pair import Report

REASONS = {"empty_text": "the report has nothing of what `export.text` asks for"}

# What pandas takes for a missing value, even in quotes; a caption would then be the number NaN.
_TAKEN_FOR_MISSING = frozenset(
    (
        *("#N/A", "#N/A N/A", "#NA", "N/A", "NA", "n/a", "<NA>", "NULL", "null", "None"),
        *("NaN", "-NaN", "nan", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    )
)


def text_of(report: Report, choice: TextChoice | None) -> str:
    """The chosen text without space around it; empty where there is none of it."""
    match choice:
        case "impression":
            return report.impression.strip()
        case "findings":
            return report.findings.strip()
        case _:
            return report.text


def as_caption(text: str) -> str:
    """`text` as a table holds it: with a full stop where pandas would read a missing value."""
    return f"{text}." if text in _TAKEN_FOR_MISSING else text
