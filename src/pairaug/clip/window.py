"""Fits a report into a text encoder's window: split at sentences, or truncated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

WindowPolicy = Literal["average", "truncate"]

# A full stop inside a number, as in 1.5 cm, does not end a sentence.
_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+")


@dataclass(frozen=True, slots=True)
class Windows:
    """A report as texts that each fit the encoder's window, in order."""

    texts: tuple[str, ...]
    num_tokens: tuple[int, ...]
    """Tokens of each text without special tokens: its weight in the average."""
    num_tokens_in_report: int
    truncated: bool
    """True if words of the report were cut."""


def fit_windows(
    report: str, count_tokens: Callable[[str], int], limit: int, policy: WindowPolicy
) -> Windows:
    """`report` in windows of at most `limit` tokens, not counting special tokens.

    `average` packs whole sentences into several windows, so that nothing is lost and a negation
    stays with its finding; only a sentence longer than a window is split, between words.
    `truncate` keeps the words that fit into one window.
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
    """(piece, tokens) of `text`, split by sentences, words or halves until each fits."""
    count = count_tokens(text)
    if count <= limit or len(text) < 2:
        return [(text, count)]
    parts = _SENTENCE_END.split(text)
    if len(parts) == 1:
        parts = text.split()
    if len(parts) == 1:
        # No spaces, as in Chinese.
        parts = [text[: len(text) // 2], text[len(text) // 2 :]]
    return [piece for part in parts for piece in _pieces(part, count_tokens, limit)]


def _pack(pieces: list[tuple[str, int]], limit: int) -> list[tuple[str, int]]:
    """Neighbouring pieces joined while they fit together."""
    packed: list[tuple[str, int]] = []
    for text, count in pieces:
        if packed and packed[-1][1] + count <= limit:
            before, count_before = packed[-1]
            packed[-1] = (f"{before} {text}", count_before + count)
        else:
            packed.append((text, count))
    return packed
