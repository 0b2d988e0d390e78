"""Splitting a report into sentences; abbreviations, decimals, lists and wrapped lines survive."""

from __future__ import annotations

import re
from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    end: int


# A period after one of these does not end a sentence.
_ABBREVIATIONS = frozenset(
    ("dr", "mr", "mrs", "ms", "st", "vs", "approx", "fig", "figs", "e.g", "i.e", "eg", "ie", "ca",
     "cf", "resp", "incl", "excl", "min", "max", "est", "a.m", "p.m")
)  # fmt: skip
_BULLET = r"(?:[-*+•·▪◦●‣–—→○■□>]+|\(?(?:\d{1,2}|[a-zA-Z]|[ivIV]{2,4})(?:[.):]| -))"
# A line that ends with one of these continues in the next.
_OPEN = re.compile(
    r"(?:[,(/:-]|\b(?:a|an|the|of|in|at|on|to|for|by|from|with|without|no|not|and|or|nor|but|is|are|"
    r"was|were|be|been|has|have|may|might|could|which|that|than|as|left|right|small|large|mild|"
    r"moderate|severe|minimal|trace|bilateral|upper|lower|middle|possible|probable|likely|new|"
    r"stable|unchanged|pleural|lung|this|there|both|acute|focal|evidence|definite))\s*\Z",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[:|-]\s+\w+\s*\Z")  # "Effusion: small" is whole
_HEADED = (
    "heart|lung|lungs|cardiac|cardiovascular|cardiomediastinum|cardiomediastinal|mediastinum|"
    "pleura|pleural|bones|bony|osseous|musculoskeletal|lines|tubes|devices|support|soft tissues|"
    "airways|hila|vasculature|vessels|diaphragm|abdomen|chest|findings|impression|conclusion|"
    "pneumothorax|effusion|effusions|consolidation|edema|comparison|technique|"
    "indication|history|examination|reason for exam|clinical history"
)
_STARTS = (
    "no|there|the|heart|lungs|small|large|mild|moderate|severe|minimal|trace|normal|stable|"
    "unchanged|bilateral|left|right|interval|cardiac|mediastinum|pleura|bones|osseous|clear|both|"
    "new|bibasilar|lines|tubes|tip|picc|ett|et|ng|cvc|icd|aicd|port|pacemaker|without|possible|probable|likely"
)
_ENDS = (
    # A period before a space or the end; a question mark only after a word and without an answer
    # after it, not in "? effusion" and "Effusion? No."
    r"(?:[.!]|(?<=[^\s(?/])\?(?!\s+(?i:no|none|nil|yes)\b\s*(?:[.,;]|$)))[.!?]*(?=[\s\"')\]*_]|$)[\"')\]*_]*"
    r"|[.]{2,}|…"
    r"|(?<=[a-z)])[.](?=[A-Z][a-z])"  # a missing space: "clear.No effusion"
    # A missing period: "No active disease The heart is normal"
    r"|(?<=[a-z]{3})\s+(?=(?:The|There|No|Heart|Lungs|Normal|Both|Clear|Cardiac|Considering) [a-z])"
)
# In text of several lines; a single line break may only wrap a line.
_LINE_ENDS = (
    r"|\n\s*\n|<(?:br|/p|/li)\s*/?>"
    # A list item, a heading, a row, a check box.
    rf"|\n(?=[ \t]*(?:{_BULLET}[ \t]|\#|\||\[[ xX]?\]|[\u2610-\u2612]))"
    r"|(?P<line>\n(?=[\s*_]*"
    rf"(?:(?:[A-Z][a-z]+|A)\b|[A-Z][A-Za-z /]*:|(?i:{_STARTS})\b)))"
)
# In text with colons or numbers: "Heart: normal Lungs: clear", "1. Effusion 2. Edema".
_PART_ENDS = (
    rf"|(?<=[\w)]) (?=(?:{_HEADED.title()}|{_HEADED.upper()})(?:[ /&]+\w+)?:\s"
    r"|\(?[2-9][.)] [A-Za-z])"
)
_END = re.compile(_ENDS)
_END_OF_LINES = re.compile(_ENDS + _LINE_ENDS)
_END_OF_PARTS = re.compile(_ENDS + _LINE_ENDS + _PART_ENDS)
_MARKER = re.compile(rf"\s*(?:(?:{_BULLET}|#+)(?=\s|$)\s*)*")
_WORD = re.compile(r"[^\W_]")
_LAST_WORD = re.compile(r"[\w.]*$")


def sentences(text: str) -> list[Span]:
    """Start and end of each sentence of `text`, without list numbers and surrounding spaces.

    A line is a sentence if the next one starts like a sentence and the line is not left open
    ("small left").
    """
    spans: list[Span] = []
    start = 0
    has_parts = ":" in text or "2." in text or "2)" in text
    ends = _END_OF_PARTS if has_parts else _END_OF_LINES if "\n" in text else _END
    for match in ends.finditer(text):
        end = match.end()
        if match.group()[0] == "." and _is_inside(text, start, match.start()):
            continue
        if match.lastgroup and _is_open(text, start, match.start()):
            continue
        _append(spans, text, start, end)
        start = end
    _append(spans, text, start, len(text))
    return spans


def _is_open(text: str, start: int, end: int) -> bool:
    """True if the line up to `end` continues in the next."""
    start = max(start, end - 40)
    return bool(_OPEN.search(text, start, end)) and not _VALUE.search(text, start, end)


def _is_inside(text: str, start: int, point: int) -> bool:
    """True if the period belongs to an abbreviation or a list number."""
    last = _LAST_WORD.search(text, max(start, point - 12), point)
    word = last.group().lower() if last else ""
    if word in _ABBREVIATIONS:
        return True
    # "2. Cardiomegaly": the number opens an item; "lead at C7. No" does not reach here.
    return word.isdigit() and not text[start : point - len(word)].strip()


def _append(spans: list[Span], text: str, start: int, end: int) -> None:
    marker = _MARKER.match(text, start, end)
    start = marker.end() if marker else start
    while end > start and text[end - 1].isspace():
        end -= 1
    if _WORD.search(text, start, end):
        spans.append(Span(start, end))
