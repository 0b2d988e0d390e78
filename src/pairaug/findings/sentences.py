"""Splitting a report into sentences; abbreviations, decimals and numbered lists survive."""

from __future__ import annotations

import re
from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    end: int


# A point after one of these does not end a sentence.
_ABBREVIATIONS = frozenset(
    ("dr", "mr", "mrs", "ms", "st", "vs", "approx", "fig", "figs", "e.g", "i.e", "eg", "ie", "ca",
     "cf", "resp", "incl", "excl", "min", "max", "est", "a.m", "p.m")
)  # fmt: skip
_END = re.compile(
    r"[.!?]+(?=[\s\"')\]]|$)[\"')\]]*"  # a point before a space or the end
    r"|(?<=[a-z)])[.](?=[A-Z][a-z])"  # a missing space: "clear.No effusion"
    # A missing point: "No active disease The heart is normal"
    r"|(?<=[a-z]{3})\s+(?=(?:The|There|No|Heart|Lungs|Normal|Both|Clear|Cardiac|Considering) [a-z])"
    r"|\n\s*\n"  # a blank line; a single line break is only a wrapped line
    r"|\n(?=\s*(?:[-*•]|\d{1,2}[.)])\s)"  # a list item on its own line
)
_MARKER = re.compile(r"\s*(?:(?:\(?\d{1,2}[.)]|[-*•])(?=\s|$)\s*)*")
_LAST_WORD = re.compile(r"[\w.]*$")


def sentences(text: str) -> list[Span]:
    """Where each sentence of `text` lies, list numbers and surrounding spaces left out."""
    spans: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        end = match.end()
        if match.group()[0] == "." and _is_inside(text, start, match.start()):
            continue
        _append(spans, text, start, end)
        start = end
    _append(spans, text, start, len(text))
    return spans


def _is_inside(text: str, start: int, point: int) -> bool:
    """True where the point belongs to an abbreviation or a list number, not to an end."""
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
    if any(character.isalnum() for character in text[start:end]):
        spans.append(Span(start, end))
