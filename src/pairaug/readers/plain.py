"""Sections of a report of unknown layout: text files, captions, cells with a whole report.

A heading may be in any case with a colon, alone on its line, in Markdown or underlined, or in
capitals within a line. Headings of parts of a section ("LUNGS:") stay inside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pairaug.findings import extract
from pairaug.pair import Report
from pairaug.readers.headings import DESCRIBES_IMAGE, KNOWN, is_sub_heading, known_name
from pairaug.readers.marks import plain_marks
from pairaug.readers.sections import Sections, unwrap
from pairaug.readers.text import visible

_READINGS = ("findings", "impression", "reading")

# Marks before a heading: "## ", "**", "> ", "- ", "1. ", "[".
_BEFORE = (
    r"[ \t]*(?P<mark>(?:>[ \t]*)*(?:\#{1,6}[ \t]*|[*_=\-]{2,}[ \t]*|[*_\[<])?)"
    r"(?:(?:[-*\u2022]|\d{1,2}[.)]|[IVX]{1,3}\.|[A-F][.)])[ \t]+(?:\*\*)?)?"
)
_NAME = r"(?P<name>[^\W\d_][^:\n.;*_#\[\]<>=\t]{0,48}?)"
_COLON = re.compile(rf"{_BEFORE}{_NAME}[ \t*_\]>]*:[ \t*_]*(?P<rest>.*)")
_ALONE = re.compile(rf"{_BEFORE}{_NAME}[ \t*_=\-\]>#]*(?P<rest>)")
_BOLD = re.compile(rf"[ \t]*(?P<mark>\*\*|__){_NAME}(?P=mark)[ \t]*(?P<rest>\S.*)")
_CAPITALS = re.compile(r"[^a-z\W\d_][^a-z\d_]*")
# "FINDINGS  The lungs": capitals, then other text.
_NO_COLON = re.compile(
    r"[ \t]*(FINDINGS?|IMPRESSION|CONCLUSION|INDICATION|COMPARISON|TECHNIQUE|HISTORY)"
    r"(?:[ \t]+[-\u2013\u2014])?[ \t]+(?=[A-Z][a-z]|\d[.)])"
)
_DASHED = re.compile(r"[ \t]*([A-Z][A-Z /&]{2,40}?)[ \t]+[-\u2013\u2014][ \t]+(?=\S)")
_ENGLISH = "|".join(
    re.escape(name)
    for name in sorted((name for name in KNOWN if name.isascii()), key=len, reverse=True)
)
# Within a line: a known heading in capitals, or one in lower case after a sentence.
_WITHIN = re.compile(
    rf"(?<![A-Za-z])(?:{_ENGLISH.upper()}|(?<=[.;)!?]\s)(?i:findings?|impression|indication|"
    r"conclusions?|comparison|technique|history|clinical history|recommendations?))[ \t]*:"
)
# Not the "___" of removed identifiers.
_BOLD_MARK = re.compile(r"\*\*|(?<!_)__(?!_)")
# Text that belongs to the heading after it: "IMPRESSION AND ", "2. ".
_OPENS_HEADING = re.compile(
    r"[\s\d.()#*_>\[<=\-|]*(?:[A-F][.)][\s*]*)?|.*\b(?:AND|OR|OF|FOR|THE|TO)\s+|.*[&/+,]\s*"
)
_UNDERLINE = re.compile(r"[ \t]*[-=_*~]{3,}[ \t]*")
_SIGNED = re.compile(
    r"[ \t]*(?:(?:electronically|digitally) )?(?:signed|dictated|transcribed|verified|approved)"
    r"(?: (?:electronically|and \w+))* by\b",
    re.IGNORECASE,
)
_SENTENCE_END = (".", "!", "?", ":", ";", "\u3002")


@dataclass(slots=True)
class _Section:
    """A section while its lines are read."""

    name: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()


def report_of_plain(text: str, headless: Literal["findings", "impression"]) -> Report:
    """The report in a text of unknown layout; without known headings it is one section."""
    found = list(_sections(plain_marks(visible(text))))
    if _has_no_known(found):
        return Report(**{headless: unwrap("\n".join(section.text for section in found))})
    texts = _by_name(found)
    return Report(unwrap(texts.get("findings", "")), unwrap(texts.get("impression", "")))


def report_of_sections(report: Report) -> Report:
    """`report` with its sections separated, if a column holds a whole report with headings.

    If both columns have a section, the column of that name counts.
    """
    findings = _of_column(report.findings, "findings")
    impression = _of_column(report.impression, "impression")
    return Report(
        findings.findings or impression.findings, impression.impression or findings.impression
    )


def _of_column(text: str, column: Literal["findings", "impression"]) -> Report:
    whole = Report(**{column: text})
    found = list(_sections(plain_marks(visible(text)))) if text else []
    if not any(section.name in _READINGS for section in found):
        return whole
    before = found[0].text
    if column not in [section.name for section in found] and _is_prose(before):
        found[0].name = column  # Text before the first heading belongs to the column's section.
    texts = _by_name(found)
    return Report(unwrap(texts.get("findings", "")), unwrap(texts.get("impression", "")))


def plain_sections(text: str) -> Sections:
    """Sections by their common names; empty if the text has no known heading.

    Sections of one name are joined. A "reading" (REPORT, RESULT, INTERPRETATION) is the findings.
    If there are findings too, it is the impression, provided it follows them and there is no other.
    Without a findings heading, the findings are the prose before the first heading and after the
    first paragraph of sections such as the indication.
    """
    found = list(_sections(plain_marks(visible(text))))
    return {} if _has_no_known(found) else _by_name(found)


def _has_no_known(found: list[_Section]) -> bool:
    return all(section.name in ("preamble", "parts") for section in found)


def _by_name(found: list[_Section]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for section in found:
        name = "findings" if section.name == "parts" else section.name
        if section.text:
            texts[name] = f"{texts.get(name, '')}\n\n{section.text}".strip()
    order = [section.name.replace("parts", "findings") for section in found if section.text]
    reading = texts.pop("reading", "")
    if reading and "findings" not in texts:
        texts["findings"] = reading
    elif reading and "impression" not in texts and "reading" in order[order.index("findings") :]:
        texts["impression"] = reading
    if "findings" not in texts and (loose := "\n\n".join(_loose_prose(found))):
        texts["findings"] = loose
    if not {"findings", "impression"} & texts.keys():
        # The comparison as MIMIC-CXR's authors do it; the others may be the only text.
        spare = (texts[name] for name in ("comparison", "wet read", "addendum") if name in texts)
        texts["findings"] = next(spare, "")
    return texts


def _sections(text: str) -> Iterator[_Section]:
    """Sections in order; the first is the preamble, which may be empty."""
    current = _Section("preamble")
    lines = list(_split_within(text))
    for index, line in enumerate(lines):
        if _UNDERLINE.fullmatch(line):
            if index and not lines[index - 1].strip():
                current.lines.append("")
            continue
        name, rest = _heading(line, lines, index, current.name)
        if name is None:
            current.lines.append(rest)
            continue
        yield current
        current = _Section(name, [rest] if rest else [])
    yield current


def _split_within(text: str) -> Iterator[str]:
    """The lines of `text`, split before each heading within a line."""
    for line in text.replace("\uff1a", ":").splitlines():
        start = 0
        for match in _WITHIN.finditer(line):
            if not _OPENS_HEADING.fullmatch(line, start, match.start()):
                yield line[start : match.start()].rstrip(" \t*_#")
                start = match.start()
        yield line[start:]


def _heading(line: str, lines: list[str], index: int, inside: str) -> tuple[str | None, str]:
    """The section that starts on this line, if any, and the rest of the line."""
    if _SIGNED.match(line):
        return "signature", ""
    bare = _NO_COLON.match(line)
    if bare:
        return known_name(bare.group(1)), line[bare.end() :]
    dashed = _DASHED.match(line)
    if dashed and (name := known_name(dashed.group(1))):
        return name, line[dashed.end() :]
    match = _COLON.fullmatch(line)
    if match:
        heading = match["name"].strip()
        if name := known_name(heading):
            return name, match["rest"]
        if _CAPITALS.fullmatch(heading):
            return _unknown(heading, inside), _without_bold(line)
        return None, _without_bold(line)
    match = _BOLD.fullmatch(line) or _ALONE.fullmatch(line)
    if match is None:
        return None, _without_bold(line)
    is_marked = bool(match["mark"].strip()) or _is_underlined(lines, index)
    heading = match["name"].strip()
    if is_marked or _stands_alone(heading, lines, index):
        if name := known_name(heading):
            return name, match["rest"]
        if is_marked:
            return None, f"{heading}: {match['rest']}".rstrip()  # "### Lungs": a sub-heading
    return None, _without_bold(line)


def _unknown(heading: str, inside: str) -> str | None:
    """The section started by an unknown heading in capitals; None if it is a sub-heading."""
    if inside in (*_READINGS, "parts"):
        return None
    if is_sub_heading(heading) or DESCRIBES_IMAGE.search(heading.lower()):
        return "parts"
    return None if inside == "preamble" else "unknown"


def _without_bold(line: str) -> str:
    return _BOLD_MARK.sub("", line)


def _is_underlined(lines: list[str], index: int) -> bool:
    return index + 1 < len(lines) and bool(_UNDERLINE.fullmatch(lines[index + 1]))


def _stands_alone(heading: str, lines: list[str], index: int) -> bool:
    """True if a line that is only a heading is not the end of a wrapped sentence."""
    if heading[0].islower():
        return False
    before = lines[index - 1].strip() if index else ""
    return not before or before.endswith(_SENTENCE_END) or known_name(before) is not None


def _loose_prose(found: list[_Section]) -> Iterator[str]:
    """Sentences that are not under a findings or impression heading."""
    for section in found:
        if section.name in (*_READINGS, "signature", "patient", "addendum", "notification"):
            continue
        paragraphs = re.split(r"\n[ \t]*\n", section.text)
        kept = paragraphs if section.name in ("preamble", "unknown") else paragraphs[1:]
        # Titles, names and dates are not sentences.
        yield from (
            each for each in kept if (len(each.split()) > 2 and _is_prose(each)) or extract(each)
        )


def _is_prose(text: str) -> bool:
    return text.rstrip().endswith(_SENTENCE_END) or bool(extract(text))
