"""The text paired with an image, and its form in tables, where pandas could read it as missing."""

from __future__ import annotations

from pairaug.export.settings import TextChoice
from pairaug.pair import Report

REASONS = {"empty_text": "the report has no text"}

# pandas reads these as missing values, even in quotes; the caption would become NaN.
_TAKEN_FOR_MISSING = frozenset(
    (
        *("#N/A", "#N/A N/A", "#NA", "N/A", "NA", "n/a", "<NA>", "NULL", "null", "None"),
        *("NaN", "-NaN", "nan", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    )
)


def is_other_section(report: Report, choice: TextChoice | None) -> bool:
    """True if the chosen section is empty, so that the other section is the text."""
    return choice in ("impression", "findings") and not getattr(report, choice).strip()


def as_caption(text: str) -> str:
    """`text` for a table, with a full stop appended if pandas would read a missing value."""
    return f"{text}." if text in _TAKEN_FOR_MISSING else text
