"""The difference between two reports, word by word, as HTML with the changed words marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

# A word with its inner marks, one punctuation mark, or a run of blanks.
_TOKEN = re.compile(r"\w+(?:[-'./]\w+)*|[^\w\s]|\s+")

_Code = tuple[str, int, int, int, int]
"""Kind, start and end in the old words, start and end in the new ones."""

_MIN_COMMON = 3
"""Words; a shorter common run between two longer changes is chance."""


def mark_difference(before: str, after: str) -> tuple[str, str]:
    """(`before` with what went marked by <del>, `after` with what came marked by <ins>), escaped.

    Words compare without regard to case or to the blanks between them.
    """
    old, new = _TOKEN.findall(before.strip()), _TOKEN.findall(after.strip())
    old_words, new_words = _words(old), _words(new)
    gone, come = _changes(
        [old[place].casefold() for place in old_words],
        [new[place].casefold() for place in new_words],
    )
    return (
        _mark(old, {old_words[place] for place in gone}, "del"),
        _mark(new, {new_words[place] for place in come}, "ins"),
    )


def _changes(old: Sequence[str], new: Sequence[str]) -> tuple[set[int], set[int]]:
    """(places in `old` that went, places in `new` that came).

    A word or two that happen to be the same inside a long change count as changed with it, and a
    whole sentence that came or went is marked from its first word to its full stop.
    """
    gone: set[int] = set()
    come: set[int] = set()
    codes = SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
    by_chance = [_is_chance(codes, number) for number in range(len(codes))]
    for number, (kind, *sides) in enumerate(codes):
        if kind == "equal" and not by_chance[number]:
            continue
        old_start, old_end, new_start, new_end = sides
        room = 0
        if number + 1 < len(codes) and not by_chance[number + 1]:
            room = _length(codes[number + 1])
        gone.update(_slid(old, old_start, old_end, room if kind == "delete" else 0))
        come.update(_slid(new, new_start, new_end, room if kind == "insert" else 0))
    return gone, come


def _is_chance(codes: Sequence[_Code], number: int) -> bool:
    """True for a short common run that is shorter than the changes on both sides of it."""
    if codes[number][0] != "equal" or not 0 < number < len(codes) - 1:
        return False
    around = (_length(codes[side]) for side in (number - 1, number + 1))
    return _length(codes[number]) < min(_MIN_COMMON, *around)


def _length(code: _Code) -> int:
    return max(code[2] - code[1], code[4] - code[3])


def _slid(words: Sequence[str], start: int, end: int, room: int) -> range:
    """The block moved on, by `room` at most, so that it ends a sentence where words allow it.

    In "a. b. c" after "a. c" the block may be ". b" or "b."; the second is a sentence.
    """
    for shift in range(room):
        if words[start + shift] != words[end + shift]:
            break
        if words[end + shift] in ".;":
            return range(start + shift + 1, end + shift + 1)
    return range(start, end)


def _words(tokens: Sequence[str]) -> list[int]:
    return [place for place, token in enumerate(tokens) if not token.isspace()]


def _mark(tokens: Sequence[str], changed: set[int], tag: str) -> str:
    """The tokens as HTML; neighbouring changes share one tag, the blanks between them included."""
    pieces: list[str] = []
    place = 0
    while place < len(tokens):
        if place not in changed:
            pieces.append(escape(tokens[place]))
            place += 1
            continue
        end = place + 1
        while end < len(tokens) and (end in changed or _bridges(tokens, changed, end)):
            end += 1
        pieces.append(f"<{tag}>{escape(''.join(tokens[place:end]))}</{tag}>")
        place = end
    return "".join(pieces)


def _bridges(tokens: Sequence[str], changed: set[int], place: int) -> bool:
    return tokens[place].isspace() and place + 1 in changed
