"""Headings and line ends of report systems, web pages and spreadsheets, converted to plain text.

The result has lines, and headings that end in a colon, for `plain.py` to split.
"""

from __future__ import annotations

import html
import re

from pairaug.readers.headings import known_name

# "FINDINGS; ", "(Findings) ", "<FINDINGS> ", "Findings = ", "FINDINGS -> ", "| Findings | ".
_SIGN = re.compile(
    r"[ \t]*[|(\[<*_#]*[ \t]*(?P<name>[^\W\d_][^:;\n.*_#\[\]()<>=|\t]{1,40}?)[ \t]*[*_]*"
    r"(?:[;=|)\]>]|[-=]+>|\u2192|[-\u2013\u2014](?=[ \t]))[ \t]*(?P<rest>[^:].*|)"
)
# A period marks a heading only after capitals.
_POINT = re.compile(r"[ \t]*(?P<name>[A-Z][A-Z /&]{3,40})\.[ \t]+(?P<rest>\S.*)")
_LETTERS_APART = re.compile(r"[ \t]*(?P<name>[A-Z](?: [A-Z]){5,})[ \t]*:(?P<rest>.*)")
_CELL_END = re.compile(r"[ \t]*\|[ \t]*$")

_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z1-6 _-]{0,30}?)(?:\s+[\w-]+=(?:\"[^\"]*\"|'[^']*'))*\s*/?>"
)
_BREAKS = frozenset(
    ("br", "p", "div", "li", "ul", "ol", "tr", "td", "th", "table", "h1", "h2", "h3", "h4", "h5",
     "h6", "hr", "body", "html", "pre")
)  # fmt: skip
_INLINE = frozenset(
    ("b", "strong", "i", "em", "u", "span", "font", "sub", "sup", "small", "a")
)  # fmt: skip
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{1,5});")


def plain_marks(text: str) -> str:
    """`text` without tags, with each known heading at the start of a line, before a colon."""
    if "<" in text:
        text = _TAG.sub(_without_tags, text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text).replace("\u00a0", " ")
    return "\n".join(_with_colon(line) for line in text.splitlines())


def _without_tags(match: re.Match[str]) -> str:
    closing, tag = match.groups()
    if tag.lower() in _BREAKS:
        return "\n"
    if tag.lower() in _INLINE:
        return ""
    if known_name(tag) is None:
        return match[0]
    return "\n" if closing else f"\n{tag}:\n"


def _with_colon(line: str) -> str:
    for pattern in (_SIGN, _POINT, _LETTERS_APART):
        match = pattern.fullmatch(line)
        if match is None:
            continue
        name = match["name"].replace(" ", "") if pattern is _LETTERS_APART else match["name"]
        if known_name(name):
            return f"{name}: {_CELL_END.sub('', match['rest'])}".rstrip()
    return line
