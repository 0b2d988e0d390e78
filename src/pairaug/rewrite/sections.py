"""A rewritten text in the sections that its parent's report has."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from pairaug.findings import extract, sentences
from pairaug.pair import Report
from pairaug.rewrite.cleaning import clean
from pairaug.rewrite.topics import topic_of

# Less alike than this, two sentences need not be about the same thing.
_ALIKE = 0.5


def in_sections(answer: Report, parent: Report) -> Report:
    """`answer` with the same text, parted into impression and findings as its parent's report is.

    A parent with one section gives children with that one. Where the parent has both, and the
    answer does not say itself which is which, each sentence speaks for the section that holds the
    sentence most like it, by words or by what it states; the text, whose impression comes first, is
    parted where most sentences are on their own side. One that is like none speaks for neither, and
    stays with the findings where there is a choice.
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
    place = _place(own, _sentences(parent.impression), _sentences(parent.findings))
    border = len(text) if place == len(own) else starts[place]
    parted = Report(text[border:].strip(), text[:border].strip() if place else "")
    return parted if parted.text == text else answer


def _place(own: Sequence[str], impression: Sequence[str], findings: Sequence[str]) -> int:
    """The number of sentences that are the impression."""
    leanings = [_likeness(one, impression) - _likeness(one, findings) for one in own]
    worth = [sum(leanings[:place]) - sum(leanings[place:]) for place in range(len(own) + 1)]
    return max(range(len(worth)), key=lambda place: (round(worth[place], 6), -place))


def _likeness(sentence: str, others: Sequence[str]) -> float:
    """The similarity of the most similar other: 1 for the same, 0 where none is alike."""
    best = max((_alike(sentence, other) for other in others), default=0.0)
    return best if best >= _ALIKE else 0.0


def _alike(one: str, other: str) -> float:
    words = SequenceMatcher(a=one.lower().split(), b=other.lower().split(), autojunk=False).ratio()
    topics, others = _topics(one), _topics(other)
    shared = len(topics & others) / len(topics | others) if topics and others else 0.0
    # What is said alike counts for more than what is about the same.
    return max(words, 0.8 * shared)


def _topics(sentence: str) -> set[object]:
    return {topic_of(statement) for statement in extract(sentence) if not statement.implied}


def _sentences(section: str) -> list[str]:
    cleaned = clean(section)
    return [cleaned[start:end] for start, end in sentences(cleaned)]
