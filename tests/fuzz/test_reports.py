"""Reports of any text, from their sections to rewriting by rules."""

from __future__ import annotations

from hypothesis import strategies as st

from support.fuzz.bounded import fuzz
from support.fuzz.checks import report_text
from support.fuzz.strategies import TEXTS

PIECES = [
    "FINDINGS:", "IMPRESSION:", "Findings", "## Impression", "LUNGS:", "BEFUND:", "1. ", "- ", "* ",
    "No ", "no evidence of ", "pneumothorax", "small left pleural effusion", "edema", " and ", "/",
    " or ", ", ", ".", ". ", ";", "?", "r/o ", "\n", "\n\n", " ___ ", "XXXX", "unchanged", "right",
    " is likely present", "cannot be excluded", "if any", "___-year-old", "TECHNIQUE: ", "(", ")",
    "Kein Pneumothorax. ", "ET tube ", "3.5 cm", "\t", "“", "as above", "status post ", "PICC",
]  # fmt: skip
REPORTS = [
    "FINDINGS: The heart is enlarged. Small left pleural effusion. No pneumothorax.\n"
    "IMPRESSION: Small effusion.",
    "There is mild pulmonary edema. The lungs are otherwise clear.",
]
# Readers give no text that no file can hold.
_PIECES = st.sampled_from(PIECES) | TEXTS.map(lambda text: text.replace("\ud800", "")).filter(
    lambda text: text.isprintable() or text.isascii()
)

test_any_text_is_a_report = fuzz(
    report_text,
    st.lists(_PIECES, max_size=40).map("".join).filter(lambda text: len(text) < 100_000)
    | st.builds(lambda piece, times: piece * times, st.sampled_from(PIECES), st.integers(1, 3000)),
    short=50,
    valid=REPORTS,
)
