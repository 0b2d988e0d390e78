"""Sections of a free-text report: which part is findings, which is impression.

The rules are those that MIMIC-CXR's authors describe in their `section_parser.py`: a heading is a
line in capitals that ends in a colon, its name is brought to a common form, the last section of a
name counts, and where neither findings nor impression is headed, the last paragraph or else the
comparison holds the reading. Four departures: a heading right under an empty one is seen; the
misspelling "NDICATION" is the indication, not the impression; what stands over a part of the
findings or the impression ("LUNGS:") does not end them; and headings of other layouts ("REPORT",
"BEFUND") are known. Texts of no known layout are for `plain.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Literal

from pairaug.pair import Report
from pairaug.readers.headings import DESCRIBES_IMAGE, MIMIC_KNOWN, is_sub_heading, known_name

Sections = Mapping[str, str]
"""Name in its common form → text, of the last section of that name that is not empty."""

SectionChoice = Literal["impression+findings", "impression", "findings"]
"""Which sections of a report a pair has."""

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):(?=\s|$)")
# Lines are wrapped no narrower than this.
_MIN_WIDTH = 60
_BULLET = re.compile(r"(?:[-*\u2022\u25aa\u25cf\u25e6\u2013\u2014](?:\s+|(?=[A-Z][a-z])))+")
_ITEM = re.compile(rf"{_BULLET.pattern}|\(?\d{{1,2}}[.)]\s+\S")
_SUB_HEADING = re.compile(r"[A-Z][A-Za-z /&,-]{2,30}:\s")
# Words that no statement ends in.
_OPEN_ENDS = frozenset(
    ("the", "a", "an", "of", "and", "or", "in", "with", "without", "no", "is", "are", "to", "for",
     "by", "on", "at", "from", "as", "than", "but", "which", "that", "left", "right", "new", "dr")
)  # fmt: skip
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")

# A longer heading with one of these in it is that section.
_WITHIN = ("impression", "findings", "history", "comparison", "addendum")


def sections_of(text: str) -> Sections:
    """The sections of a report as MIMIC-CXR lays it out: headings are lines of one space, capitals
    and a colon. What comes before the first is `preamble`; without any, all is `full report`.
    """
    return dict(split_sections(text))


def split_sections(text: str) -> list[tuple[str, str]]:
    """(name, text) of each section in order; empty findings and impressions are left out."""
    text = text.replace("\r\n", "\n")
    found = list(_headings(text))
    sections = [("preamble", text[: found[0][1].start()])] if found else [("full report", text)]
    for place, (name, match) in enumerate(found, 1):
        end = found[place][1].start() if place < len(found) else len(text)
        sections.append((name, text[match.end() : end]))
    sections = [
        (name, section)
        for name, section in sections
        if section.strip() or name not in ("findings", "impression")
    ]
    if not {"findings", "impression"} & {name for name, _ in sections}:
        name, last = sections[-1]
        head, *rest = _BLANK_LINE.split(last, maxsplit=1)
        if rest:
            sections[-1:] = [(name, head), ("last_paragraph", rest[0])]
    return sections


def _headings(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """(common name, match) of each heading that starts a section."""
    inside = ""
    for match in _HEADING.finditer(text):
        name = _common_name(match.group(1))
        is_part = inside in ("findings", "impression") and is_sub_heading(name)
        if not is_part or name in ("findings", "impression"):
            inside = name
            yield name, match


def report_of(sections: Sections, text: SectionChoice = "impression+findings") -> Report:
    """The report that `sections` hold, reduced to what `text` names, lines unwrapped.

    Where neither findings nor impression is there, a section such as REPORT, the last paragraph or
    the comparison stands for the findings, the last two as the dataset's authors do it.
    """
    findings, impression = (unwrap(sections.get(key, "")) for key in ("findings", "impression"))
    if not findings and not impression:
        spare = (sections.get(key, "") for key in ("reading", "last_paragraph", "comparison"))
        findings = unwrap(next(filter(str.strip, spare), ""))
    return Report(
        findings=findings if "findings" in text else "",
        impression=impression if "impression" in text else "",
    )


def unwrap(text: str) -> str:
    """`text` with each paragraph on one line, and one blank line between paragraphs.

    Lines that are statements of their own, items of a list among them, become sentences; bullets go
    and numbers stay.
    """
    paragraphs = (_one_line(paragraph) for paragraph in _BLANK_LINE.split(text))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _one_line(paragraph: str) -> str:
    lines = [" ".join(line.split()) for line in paragraph.splitlines()]
    lines = [line for line in lines if line]
    width = max([_MIN_WIDTH, *map(len, lines)])
    joined = ""
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        text = line[bullet.end() :] if (bullet := _BULLET.match(line)) else line
        joined += text + _joint(text, following, width - (len(line) - len(text)))
    return joined.rstrip()


def _joint(line: str, following: str, width: int) -> str:
    """The sign between two lines: a point, unless the second goes on with the first's words."""
    if not following or not line or line[-1] in ".!?:;,-/(\u3002":
        return " "
    if line.rpartition(" ")[2].lower() in _OPEN_ENDS:
        return " "
    if _ITEM.match(following) or _SUB_HEADING.match(following):
        return ". "
    # A wrapped line ends because the next word had no room in it.
    has_room = len(line) + 1 + len(following.split(" ", 1)[0]) <= width
    return ". " if has_room and following[0].isupper() else " "


def _common_name(heading: str) -> str:
    name = heading.strip().lower()
    if name in MIMIC_KNOWN:
        return MIMIC_KNOWN[name]
    for part in _WITHIN:
        if part in name:
            return part
    return "findings" if DESCRIBES_IMAGE.search(name) else known_name(name) or name
