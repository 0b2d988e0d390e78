"""The text that an image is paired with, and how it is written where a table's reader may lose it."""

from __future__ import annotations

from pairaug.export.settings import TextChoice
from pairaug.pair import Report

REASONS = {"empty_text": "the report has no text"}

# What pandas takes for a missing value, even in quotes; a caption would then be the number NaN.
_TAKEN_FOR_MISSING = frozenset(
    (
        *("#N/A", "#N/A N/A", "#NA", "N/A", "NA", "n/a", "<NA>", "NULL", "null", "None"),
        *("NaN", "-NaN", "nan", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    )
)


def is_other_section(report: Report, choice: TextChoice | None) -> bool:
    """True where the chosen section is empty, so that the other one is the text."""
    return choice in ("impression", "findings") and not getattr(report, choice).strip()


def as_caption(text: str) -> str:
    """`text` as a table holds it: with a full stop where pandas would read a missing value."""
    return f"{text}." if text in _TAKEN_FOR_MISSING else text
