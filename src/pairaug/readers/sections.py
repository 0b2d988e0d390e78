"""Sections of a free-text report in MIMIC-CXR's layout, such as findings and impression.

The rules are those of the MIMIC-CXR authors' `section_parser.py`: a heading is a line in capitals
that ends in a colon, its name is mapped to a common form, the last section of a name counts, and
without a findings or impression heading the last paragraph, or else the comparison, is the
findings. Four departures: a heading directly under an empty one is recognized; the misspelling
"NDICATION" is the indication, not the impression; headings of parts of the findings or the
impression ("LUNGS:") do not end them; and headings of other layouts ("REPORT", "BEFUND") are known.
`plain.py` reads texts of unknown layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Literal

from pairaug.pair import Report
from pairaug.readers.headings import DESCRIBES_IMAGE, MIMIC_KNOWN, is_sub_heading, known_name

Sections = Mapping[str, str]
"""Common name → text of the last non-empty section of that name."""

SectionChoice = Literal["impression+findings", "impression", "findings"]
"""Sections of a report to read."""

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):(?=\s|$)")
# Minimum width of wrapped lines.
_MIN_WIDTH = 60
_BULLET = re.compile(r"(?:[-*\u2022\u25aa\u25cf\u25e6\u2013\u2014](?:\s+|(?=[A-Z][a-z])))+")
_ITEM = re.compile(rf"{_BULLET.pattern}|\(?\d{{1,2}}[.)]\s+\S")
_SUB_HEADING = re.compile(r"[A-Z][A-Za-z /&,-]{2,30}:\s")
# Words that do not end a statement.
_OPEN_ENDS = frozenset(
    ("the", "a", "an", "of", "and", "or", "in", "with", "without", "no", "is", "are", "to", "for",
     "by", "on", "at", "from", "as", "than", "but", "which", "that", "left", "right", "new", "dr")
)  # fmt: skip
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")

# A longer heading that contains one of these is that section.
_WITHIN = ("impression", "findings", "history", "comparison", "addendum")


def sections_of(text: str) -> Sections:
    """Sections of a report in MIMIC-CXR's layout: headings are lines of one space, capitals and a
    colon. Text before the first heading is `preamble`; without headings all is `full report`.
    """
    return dict(split_sections(text))


def split_sections(text: str) -> list[tuple[str, str]]:
    """(name, text) of each section in order; empty findings and impressions are left out."""
    text = text.replace("\r\n", "\n")
    found = list(_headings(text))
    sections = [("preamble", text[: found[0][1].start()])] if found else [("full report", text)]
    for following, (name, match) in enumerate(found, 1):
        end = found[following][1].start() if following < len(found) else len(text)
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
    """The report in `sections`, limited to those named by `text`, lines unwrapped.

    Without findings and impression, a section such as REPORT, the last paragraph or the comparison
    is used as findings, the last two as the dataset's authors do it.
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

    Lines that are whole statements, such as items of a list, become sentences; bullets are removed,
    numbers are kept.
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
    """Separator of two lines: ". ", or a space if the second continues the first's sentence."""
    if not following or not line or line[-1] in ".!?:;,-/(\u3002":
        return " "
    if line.rpartition(" ")[2].lower() in _OPEN_ENDS:
        return " "
    if _ITEM.match(following) or _SUB_HEADING.match(following):
        return ". "
    # A wrapped line ends because the next word did not fit.
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
