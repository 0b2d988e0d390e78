"""Expands phrase templates, and compiles many phrases into one regular expression.

An alternation of a thousand phrases is tried one by one at every word; a tree of letters matches
them in one pass, which makes the extractor fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Between two words of a phrase: any number of spaces, line breaks or hyphens.
_GAP = r"[\s\-\u2010-\u2013]+"
_CLOSING = {"(": ")", "[": "]"}
# Words that a phrase may have where its template has "~".
_FILLERS = (
    "totally|fully|entirely|completely|definitely|definitively|confidently|reliably|absolutely|"
    "altogether|necessarily|safely|significantly|substantially|appreciably|markedly|much|yet|"
    "also|still|well|now|since|subsequently|apparently|currently|convincingly|largely"
)
_FILLER = rf"(?:(?:{_FILLERS}){_GAP})?"
_FILLER_WORD = re.compile(rf"\b(?:{_FILLERS}) ")


def expand(template: str) -> list[str]:
    """All phrases of a template, each once.

    "(a|b)" is a choice and "[a|b]" an optional one; both nest. Adjacent spaces count as one:
    "[pleural] effusion[s]" gives four phrases.
    """
    phrases, end = _choices(template, 0, "")
    assert end == len(template), f"unbalanced template {template!r}"
    return list(dict.fromkeys(" ".join(phrase.split()) for phrase in phrases))


def _choices(template: str, start: int, closing: str) -> tuple[list[str], int]:
    """Phrases of alternatives up to `closing`, and the position after them."""
    alternatives: list[str] = []
    current = [""]
    position = start
    while position < len(template) and template[position] != closing:
        character = template[position]
        assert character not in ")]", f"unbalanced template {template!r}"
        if character in _CLOSING:
            inner, position = _choices(template, position + 1, _CLOSING[character])
            assert position < len(template), f"unbalanced template {template!r}"
            inner = ["", *inner] if character == "[" else inner
            current = [head + tail for head in current for tail in inner]
        elif character == "|":
            alternatives += current
            current = [""]
        else:
            current = [head + character for head in current]
        position += 1
    return alternatives + current, position


def without_fillers(phrase: str) -> str:
    """A matched phrase without the filler words of "~", as in the table of phrases."""
    return _FILLER_WORD.sub("", phrase)


def pattern_of(phrases: Iterable[str]) -> str:
    """A regular expression that matches the longest of `phrases` that fits, as whole words."""
    root: dict[str, Any] = {}
    for phrase in phrases:
        assert not phrase.startswith("~"), f"nothing before the filler of {phrase!r}"
        node = root
        for character in phrase:
            node = node.setdefault(character, {})
        node[""] = {}
    return rf"\b(?:{_branch(root)})\b"


def _branch(node: dict[str, Any]) -> str:
    if "~" in node:
        # Fillers are optional, so both continuations share one branch; the longest match wins.
        return _FILLER + _branch(_join({key: node[key] for key in node if key != "~"}, node["~"]))
    options = [
        (_GAP if character == " " else re.escape(character)) + _branch(node[character])
        for character in sorted(node)
        if character
    ]
    if not options:
        return ""
    joined = "|".join(options)
    if "" in node:
        return f"(?:{joined})?"
    return f"(?:{joined})" if len(options) > 1 else joined


def _join(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The merged tree of two trees' phrases."""
    return {key: _join(one.get(key, {}), other.get(key, {})) for key in one.keys() | other.keys()}
