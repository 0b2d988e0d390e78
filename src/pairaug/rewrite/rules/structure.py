"""Splits sentences into a frame and its listed items, so that one item can be changed.

"There is mild edema and a small left pleural effusion." has the frame "There is ... ." and two
items. A sentence with another verb among the items has no such structure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pairaug.findings import Statement, extract
from pairaug.rewrite.rules.wording import listing, tidy

_SEEN = r"(?:present|seen|noted|identified|demonstrated|visualized|visible|observed|evident|found)"
_FRAMES = (
    re.compile(
        r"^(?P<head>(?:There (?:is|are|has been) )?(?:no|without) (?:(?:radiographic |definite |"
        r"convincing )?(?:evidence|sign|signs) of )?)(?P<body>.+?)"
        rf"(?P<tail>(?: (?:is|are))? {_SEEN})?\.?$",
        re.IGNORECASE,
    ),
    re.compile(r"^(?P<head>There (?:is|are) (?:also )?)(?P<body>.+?)(?P<tail>)\.?$", re.IGNORECASE),
    re.compile(r"^(?P<head>Findings include )(?P<body>.+?)(?P<tail>)\.?$", re.IGNORECASE),
    re.compile(rf"^(?P<head>)(?P<body>.+?)(?P<tail> (?:is|are) {_SEEN})\.?$", re.IGNORECASE),
    re.compile(r"^(?P<head>)(?P<body>.+?)(?P<tail>)\.?$"),
)
_SEPARATOR = re.compile(r"(,\s+(?:and|or)\s+|,\s+|\s+(?:and|or|with)\s+)")
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|may|might|could|can|cannot|shows?|showing|"
    r"demonstrat\w+|suggest\w*|represent\w*|appears?|remains?|persists?|lies|ends|projects|consist\w*"
    r"|which|that|indicat\w+|involv\w+|reflect\w*|extend\w*|obscur\w+|but|however|although|without|"
    r"no|not|versus)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ListItem:
    """One item that a sentence lists, with its statements."""

    text: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A sentence that lists items in a frame."""

    head: str
    items: tuple[ListItem, ...]
    tail: str
    is_denial: bool
    has_last_comma: bool

    def with_items(self, items: Sequence[ListItem]) -> Listed:
        return replace(self, items=tuple(items))

    def text(self) -> str:
        """The sentence, with the verb agreeing with the items."""
        word = "or" if self.is_denial else "and"
        texts = [item.text for item in self.items]
        listed = listing(texts, word, self.has_last_comma)
        head, tail = self.head, self.tail
        first = texts[0].split()[-1] if len(texts) == 1 else ""
        if len(texts) == 1 and not self.is_denial and not first.endswith("s"):
            head, tail = head.replace("There are", "There is"), tail.replace(" are ", " is ")
        if self.is_denial and len(texts) == 1:
            tail = tail.replace(" are ", " is ") if not first.endswith("s") else tail
        return tidy(f"{head}{_start(listed) if head else listed}{tail}.")


def _start(text: str) -> str:
    """`text` with a small first letter unless it is an abbreviation."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def parse(sentence: str) -> Listed | None:
    """The sentence split into frame and items; None if it is not a plain list."""
    for frame in _FRAMES:
        match = frame.match(sentence)
        if match:
            return _list(sentence, match)
    return None


def _list(sentence: str, match: re.Match[str]) -> Listed | None:
    head, body, tail = match.group("head"), match.group("body"), match.group("tail") or ""
    if _VERB.search(body):
        return None
    statements = extract(sentence)
    is_denial = bool(re.search(r"\b(?:no|without)\b", head, re.IGNORECASE))
    wanted = "absent" if is_denial else "present"
    if not statements or any(s.presence != wanted or s.implied for s in statements):
        return None
    items = _items(body, match.start("body"), statements)
    if items is None:
        return None
    has_last_comma = bool(re.search(r",\s+(?:and|or)\s", body))
    return Listed(head, items, tail, is_denial, has_last_comma)


def _items(body: str, offset: int, statements: Sequence[Statement]) -> tuple[ListItem, ...] | None:
    """The items of `body`, each with a statement; words without one join a neighbour."""
    pieces = _SEPARATOR.split(body)
    texts, separators = pieces[::2], pieces[1::2]
    bounds: list[tuple[int, int]] = []
    position = 0
    for number, text in enumerate(texts):
        bounds.append((position, position + len(text)))
        position += len(text) + (len(separators[number]) if number < len(separators) else 0)
    merged: list[tuple[int, int]] = []
    waiting: int | None = None
    for number, (start, end) in enumerate(bounds):
        if _stated_in(statements, offset + start, offset + end):
            merged.append((start if waiting is None else waiting, end))
            waiting = None
        elif merged and "with" in separators[number - 1]:
            merged[-1] = (merged[-1][0], end)
        elif waiting is None:
            waiting = start
    if waiting is not None and merged:
        merged[-1] = (merged[-1][0], bounds[-1][1])
    items = tuple(
        ListItem(body[start:end], tuple(_stated_in(statements, offset + start, offset + end)))
        for start, end in merged
    )
    return items or None


def _stated_in(statements: Sequence[Statement], start: int, end: int) -> list[Statement]:
    return [s for s in statements if start <= s.start and s.end <= end]
