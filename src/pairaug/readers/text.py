"""Conversion of a value in a table, a record or a file to text, and the rule for empty values.

Used for every source of reports and ids: cells of tables, columns of `datasets`, members of tars,
files and XML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real
from typing import Any

from pairaug.pair import Report

DROP_REASONS = {
    "report_not_text": "the report is not text: bytes that are not UTF-8, a number, a mapping, or "
    "a list that holds one of these"
}

# Empty values of spreadsheets, pandas, R and JSON.
_NOTHING = frozenset({"", "nan", "na", "n/a", "n.a", "none", "null", "nat", "nil", "undefined"})
# Remarks in place of a report.
_NO_REPORT = re.compile(
    r"(?:no|not|empty|missing|without) (?:(?:a |any )?(?:radiology )?(?:report|text|impression|"
    r"findings? section|dictation)s?(?: (?:is |was )?(?:available|provided|found|recorded))?|"
    r"available|applicable|provided|recorded|reported)|"
    r"(?:the )?(?:report|text|impression) (?:is |was )?(?:not (?:available|provided|found)|"
    r"unavailable|missing|empty|pending|to follow)|(?:empty|missing|blank|unknown|tbd|pending)"
)
# References to another section, without content.
_REFERS = re.compile(
    r"(?:please )?(?:as|see|same as|per|refer to)(?: (?:per|as|in|is|noted|described|stated|"
    r"detailed|discussed|mentioned|reported|dictated|outlined|given|also|the|an?|to))*"
    r"(?: (?:above|below|findings?|body|report|of|section|impression|conclusion|description|text|"
    r"comments?|addendum|details?|for|and|in|the|full))+"
)
# Zero-width characters. Joiners are kept, since words of some scripts need them.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad\u200e\u200f\u202a-\u202e\u2066-\u2069\0]")
_ONLY_JOINERS = re.compile("[\u200c\u200d]+")
# Spaces other than plain spaces and line breaks.
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_EDGES = " \t\r\n.,;:!?*#_~'\"`()[]{}<>/\\|=+-\u2013\u2014\u2026\u201c\u201d\u2018\u2019\u2022"


class NotTextError(Exception):
    """A report is not text; `reason` is its drop reason."""

    reason = "report_not_text"


def cell_text(value: Any) -> str | None:
    """Stripped text of a cell with an id, a path, a view or a label.

    None for empty values such as NaN, `N/A`, `null` and `-`, and for bytes that are not UTF-8. A
    number becomes its digits.
    """
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            value = bytes(value).decode()
        except UnicodeDecodeError:
            return None
    text = visible(str(value))
    return None if _is_nothing(value) or text.strip(_EDGES).lower() in _NOTHING else text


def report_text(value: Any) -> str:
    """Text of a section of a report; "" if it is empty.

    Empty are also the empty values of `cell_text`, text without a letter, remarks such as "no
    report" and references such as "As above.". The texts of a list are joined as sentences. Raises
    `NotTextError` for other values that are not text.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            value = bytes(value).decode()
        except UnicodeDecodeError:
            raise NotTextError from None
    if isinstance(value, str):
        text = visible(_with_line_ends(value))
        return "" if _says_nothing(text) else text
    if _is_nothing(value):
        return ""
    # pandas turns lists into numpy arrays.
    items = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(items, Sequence):
        return " ".join(_sentence(text) for item in items if (text := report_text(item)))
    raise NotTextError


def report_of_cells(
    findings: Any, impression: Any, where: str
) -> tuple[Report, tuple[str, str] | None]:
    """The report in two cells, and a drop (reason, `where`) if one is not text."""
    try:
        return Report(report_text(findings), report_text(impression)), None
    except NotTextError as error:
        return Report(), (error.reason, where)


def stated_report(report: Report) -> Report:
    """`report` without its empty sections."""
    return Report(report_text(report.findings), report_text(report.impression))


def visible(text: str) -> str:
    """`text` with plain spaces, without zero-width characters."""
    text = text.strip()
    if text.isascii():
        return text.replace("\0", "")
    text = _SPACES.sub(" ", _INVISIBLE.sub("", text)).strip()
    return "" if _ONLY_JOINERS.fullmatch(text) else text


def _with_line_ends(text: str) -> str:
    r"""`text` with escaped line ends (`\n`) converted, if it has no real ones."""
    if "\\n" not in text or "\n" in text:
        return text
    return text.replace("\\r", "").replace("\\n", "\n")


def _is_nothing(value: Any) -> bool:
    """True for None, NaN, and pandas' NA and NaT, recognized by their type names."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and value != value  # NaN is not itself


def _says_nothing(text: str) -> bool:
    if len(text) > 80:
        return False
    bare = " ".join(text.lower().split()).strip(_EDGES)
    if bare in _NOTHING or not any(character.isalpha() for character in bare):
        return True
    return bool(_NO_REPORT.fullmatch(bare) or _REFERS.fullmatch(bare))


def _sentence(text: str) -> str:
    return text if text[-1] in ".!?:;\u3002" else f"{text}."
