"""Splits a rewritten text into the sections of its parent's report."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from pairaug.findings import extract, sentences
from pairaug.pair import Report
from pairaug.rewrite.cleaning import clean
from pairaug.rewrite.topics import topic_of

# Below this similarity, two sentences need not be about the same thing.
_ALIKE = 0.5


def in_sections(answer: Report, parent: Report) -> Report:
    """`answer` with the same text, split into impression and findings like its parent's report.

    If the parent has one section, so has the answer. If it has both and the answer is not yet
    split, each sentence is assigned to the section with the most similar sentence, by words or by
    statements. The text, impression first, is split where most sentences are on the side of their
    section; a sentence similar to none counts for neither, and goes to the findings if possible.
    """
    text = answer.text
    if not parent.impression.strip():
        return Report(findings=text)
    if not parent.findings.strip():
        return Report(impression=text)
    if answer.impression.strip() and answer.findings.strip():
        return answer
    starts = [start for start, _ in sentences(text)]
    ends = [*starts[1:], len(text)]
    own = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    split = _split_index(own, _sentences(parent.impression), _sentences(parent.findings))
    border = len(text) if split == len(own) else starts[split]
    parted = Report(text[border:].strip(), text[:border].strip() if split else "")
    return parted if parted.text == text else answer


def _split_index(own: Sequence[str], impression: Sequence[str], findings: Sequence[str]) -> int:
    """The number of sentences of the impression."""
    leanings = [_likeness(one, impression) - _likeness(one, findings) for one in own]
    worth = [sum(leanings[:split]) - sum(leanings[split:]) for split in range(len(own) + 1)]
    return max(range(len(worth)), key=lambda split: (round(worth[split], 6), -split))


def _likeness(sentence: str, others: Sequence[str]) -> float:
    """The similarity of the most similar other: 1 if equal, 0 if none is similar."""
    best = max((_alike(sentence, other) for other in others), default=0.0)
    return best if best >= _ALIKE else 0.0


def _alike(one: str, other: str) -> float:
    words = SequenceMatcher(a=one.lower().split(), b=other.lower().split(), autojunk=False).ratio()
    topics, others = _topics(one), _topics(other)
    shared = len(topics & others) / len(topics | others) if topics and others else 0.0
    # Similar wording counts for more than equal topics.
    return max(words, 0.8 * shared)


def _topics(sentence: str) -> set[object]:
    return {topic_of(statement) for statement in extract(sentence) if not statement.implied}


def _sentences(section: str) -> list[str]:
    cleaned = clean(section)
    return [cleaned[start:end] for start, end in sentences(cleaned)]
