"""The difference between two reports, word by word, as HTML with the changed words marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

# A word with its inner marks, one punctuation mark, or a run of blanks.
_TOKEN = re.compile(r"\w+(?:[-'./]\w+)*|[^\w\s]|\s+")

_Code = tuple[str, int, int, int, int]
"""Kind, start and end in the old words, start and end in the new words."""

_MIN_COMMON = 3
"""Words; a shorter common run between two longer changes counts as chance."""


def mark_difference(before: str, after: str) -> tuple[str, str]:
    """(`before` with removed words in <del>, `after` with added words in <ins>), escaped.

    The comparison ignores case and white space.
    """
    old, new = _TOKEN.findall(before.strip()), _TOKEN.findall(after.strip())
    old_words, new_words = _words(old), _words(new)
    removed, added = _changes(
        [old[index].casefold() for index in old_words],
        [new[index].casefold() for index in new_words],
    )
    return (
        _mark(old, {old_words[index] for index in removed}, "del"),
        _mark(new, {new_words[index] for index in added}, "ins"),
    )


def _changes(old: Sequence[str], new: Sequence[str]) -> tuple[set[int], set[int]]:
    """(indices removed from `old`, indices added in `new`).

    One or two equal words inside a long change count as changed, and a sentence that was added or
    removed is marked from its first word to its full stop.
    """
    removed: set[int] = set()
    added: set[int] = set()
    codes = SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
    by_chance = [_is_chance(codes, number) for number in range(len(codes))]
    for number, (kind, *sides) in enumerate(codes):
        if kind == "equal" and not by_chance[number]:
            continue
        old_start, old_end, new_start, new_end = sides
        room = 0
        if number + 1 < len(codes) and not by_chance[number + 1]:
            room = _length(codes[number + 1])
        removed.update(_slid(old, old_start, old_end, room if kind == "delete" else 0))
        added.update(_slid(new, new_start, new_end, room if kind == "insert" else 0))
    return removed, added


def _is_chance(codes: Sequence[_Code], number: int) -> bool:
    """True for a short common run that is shorter than the changes on both sides of it."""
    if codes[number][0] != "equal" or not 0 < number < len(codes) - 1:
        return False
    around = (_length(codes[side]) for side in (number - 1, number + 1))
    return _length(codes[number]) < min(_MIN_COMMON, *around)


def _length(code: _Code) -> int:
    return max(code[2] - code[1], code[4] - code[3])


def _slid(words: Sequence[str], start: int, end: int, room: int) -> range:
    """The block, moved on by up to `room` words so that it ends with a sentence if possible.

    For "a. b. c" after "a. c" the block could be ". b" or "b."; only the second is a sentence.
    """
    for shift in range(room):
        if words[start + shift] != words[end + shift]:
            break
        if words[end + shift] in ".;":
            return range(start + shift + 1, end + shift + 1)
    return range(start, end)


def _words(tokens: Sequence[str]) -> list[int]:
    return [index for index, token in enumerate(tokens) if not token.isspace()]


def _mark(tokens: Sequence[str], changed: set[int], tag: str) -> str:
    """The tokens as HTML; adjacent changes and the white space between them share one tag."""
    pieces: list[str] = []
    index = 0
    while index < len(tokens):
        if index not in changed:
            pieces.append(escape(tokens[index]))
            index += 1
            continue
        end = index + 1
        while end < len(tokens) and (end in changed or _bridges(tokens, changed, end)):
            end += 1
        pieces.append(f"<{tag}>{escape(''.join(tokens[index:end]))}</{tag}>")
        index = end
    return "".join(pieces)


def _bridges(tokens: Sequence[str], changed: set[int], index: int) -> bool:
    return tokens[index].isspace() and index + 1 in changed
