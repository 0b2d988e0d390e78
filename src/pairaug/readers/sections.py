"""Sections of a free-text report: which part is findings, which is impression.

The rules are those that MIMIC-CXR's authors describe in their `section_parser.py`: a heading is a
line in capitals that ends in a colon, its name is brought to a common form, the last section of a
name counts, and where neither findings nor impression is headed, the last paragraph or else the
comparison holds the reading. Two departures: a heading right under an empty one is seen, and the
misspelling "NDICATION" is the indication, not the impression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pairaug.pair import Report

Sections = Mapping[str, str]
"""Name in its common form → text, of the last section of that name that is not empty."""

Text = Literal["impression+findings", "impression", "findings"]
"""Which sections of a report a pair has."""

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):(?=\s|$)")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")

# Common form → other headings for it, misspellings included.
_VARIANTS = {
    "impression": "conclusion, findings and impression, findings/impression, findings/ impression, "
    "impresson, imprression, imoression, impressoin, imprssion, impresion, imperssion, mpression, "
    "impession",
    "findings": "finding, findins, findindgs, findgings, findngs, findnings, finidngs, "
    "reference findings, chest; two views",
    "indication": "reason for examination, reason for exam, clinical indication, idication, "
    "ndication",
    "history": "clinical history, clinical information, patient history, pfi",
    "comparison": "comparisons, reference exam, comparison exam, comparison film, comparision, "
    "comparsion, comparrison, comparisions",
    "examination": "exam, type of examination",
    "recommendations": "recommendation(s), recommendation",
    "technique": "",
    "notification": "",
    "addendum": "",
    "date": "",
    "comment": "",
    "wet read": "wetread",
}
_KNOWN = {
    variant.replace(";", ","): name
    for name, variants in _VARIANTS.items()
    for variant in (name, *filter(None, variants.split(", ")))
}
# A longer heading with one of these in it is that section.
_WITHIN = ("impression", "findings", "history", "comparison", "addendum")
# A heading that describes the whole examination, such as "PORTABLE AP CHEST": its findings follow.
_DESCRIBES_FILM = re.compile(
    "chest|portable|pa and lat|lateral and pa|ap and lateral|lateral and ap|frontal and|two views|"
    "frontal view|pa view|ap view|one view|lateral view|bone window|frontal upright|"
    "frontal semi-upright|ribs"
)
_ALTERNATIVES = "|".join(re.escape(name) for name in sorted(_KNOWN, key=len, reverse=True))
# In text of no known origin: a known heading at the start of a line, or in capitals anywhere.
_PLAIN_HEADING = re.compile(
    rf"(?m)(?:^[ \t]*((?i:{_ALTERNATIVES}))|(?<![A-Za-z])({_ALTERNATIVES.upper()}))[ \t]*:"
)


def sections_of(text: str) -> Sections:
    """The sections of a report as MIMIC-CXR lays it out: headings are lines of one space, capitals
    and a colon. What comes before the first is `preamble`; without any, all is `full report`.
    """
    return dict(named_sections(text))


def named_sections(text: str) -> list[tuple[str, str]]:
    """(name, text) of each section in order; empty findings and impressions are left out."""
    text = text.replace("\r\n", "\n")
    found = list(_HEADING.finditer(text))
    sections = [("preamble", text[: found[0].start()])] if found else [("full report", text)]
    for place, match in enumerate(found, 1):
        end = found[place].start() if place < len(found) else len(text)
        sections.append((_common_name(match.group(1)), text[match.end() : end]))
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


def plain_sections(text: str) -> Sections:
    """The sections of a report of no known layout; empty where it has no heading that is known.

    Headings may be in any case at the start of a line, and in capitals within one.
    """
    lines = "\n".join(f" {line.strip()}" for line in text.splitlines())
    headed = _PLAIN_HEADING.sub(
        lambda match: f"\n {(match.group(1) or match.group(2)).upper()}: ", f"\n{lines}"
    )
    sections = sections_of(headed)
    return {} if set(sections) <= {"full report", "last_paragraph"} else sections


def report_of(sections: Sections, text: Text = "impression+findings") -> Report:
    """The report that `sections` hold, reduced to what `text` names, lines unwrapped.

    Where neither findings nor impression is there, the last paragraph, else the comparison, stands
    for the findings, as the dataset's authors do it.
    """
    findings, impression = (unwrapped(sections.get(key, "")) for key in ("findings", "impression"))
    if not findings and not impression:
        findings = unwrapped(sections.get("last_paragraph") or sections.get("comparison") or "")
    return Report(
        findings=findings if "findings" in text else "",
        impression=impression if "impression" in text else "",
    )


def report_of_plain(text: str, headless: Literal["findings", "impression"]) -> Report:
    """The report in a text file of no known layout; without headings all of it is one section."""
    sections = plain_sections(text)
    if not sections:
        return Report(**{headless: unwrapped(text)})
    return report_of(sections)


def unwrapped(text: str) -> str:
    """`text` with each paragraph on one line, and one blank line between paragraphs."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in _BLANK_LINE.split(text))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _common_name(heading: str) -> str:
    name = heading.strip().lower()
    if name in _KNOWN:
        return _KNOWN[name]
    for part in _WITHIN:
        if part in name:
            return part
    return "findings" if _DESCRIBES_FILM.search(name) else name
