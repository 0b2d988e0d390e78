"""Fitting a report into a text encoder's window: cut into windows at sentences, or truncated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

WindowPolicy = Literal["average", "truncate"]

# A full stop within a number, as in 1.5 cm, ends no sentence.
_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+")


@dataclass(frozen=True, slots=True)
class Windows:
    """A report as texts that each fit into the encoder's window, in order."""

    texts: tuple[str, ...]
    num_tokens: tuple[int, ...]
    """Tokens of each text, special tokens not counted: its weight in the average."""
    num_tokens_in_report: int
    truncated: bool
    """True where words of the report are in none of `texts`."""


def fit_windows(
    report: str, count_tokens: Callable[[str], int], limit: int, policy: WindowPolicy
) -> Windows:
    """`report` in windows of at most `limit` tokens, special tokens not counted.

    `average` packs whole sentences into as many windows as it takes, so that nothing is lost and
    no "no" is parted from what it denies; only a sentence longer than a window is cut, between
    words. `truncate` keeps the words that fit into one window.
    """
    total = count_tokens(report)
    if total <= limit:
        return Windows((report,), (total,), total, truncated=False)
    if policy == "truncate":
        words = [piece for word in report.split() for piece in _pieces(word, count_tokens, limit)]
        kept = _pack(words, limit)[:1]
    else:
        kept = _pack(_pieces(report, count_tokens, limit), limit)
    texts, counts = zip(*kept, strict=True)
    return Windows(texts, counts, total, truncated=policy == "truncate")


def _pieces(text: str, count_tokens: Callable[[str], int], limit: int) -> list[tuple[str, int]]:
    """`text` cut just so far that each piece fits, with its tokens: sentences, words, halves."""
    count = count_tokens(text)
    if count <= limit or len(text) < 2:
        return [(text, count)]
    parts = _SENTENCE_END.split(text)
    if len(parts) == 1:
        parts = text.split()
    if len(parts) == 1:
        # No space in it, as in Chinese.
        parts = [text[: len(text) // 2], text[len(text) // 2 :]]
    return [piece for part in parts for piece in _pieces(part, count_tokens, limit)]


def _pack(pieces: list[tuple[str, int]], limit: int) -> list[tuple[str, int]]:
    """Neighbouring pieces joined while together they fit."""
    packed: list[tuple[str, int]] = []
    for text, count in pieces:
        if packed and packed[-1][1] + count <= limit:
            before, count_before = packed[-1]
            packed[-1] = (f"{before} {text}", count_before + count)
        else:
            packed.append((text, count))
    return packed
