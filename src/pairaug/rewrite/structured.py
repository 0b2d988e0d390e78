"""The JSON schema of answers, and reading answers that follow it more or less."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pairaug.findings import FINDINGS
from pairaug.pair import Report
from pairaug.rewrite.backends import Answer, Claim, Failure
from pairaug.rewrite.check import tidy
from pairaug.rewrite.reasons import Reason
from pairaug.rewrite.thoughts import without_thoughts
from pairaug.system.json_text import MAX_DEPTH, JSONTextError, parse_json

Format = Literal["json", "text"]

_STATES = (
    "not stated", "absent", "uncertain", "present", "mild", "moderate", "severe", "left", "right",
    "bilateral", "upper", "middle", "lower",
)  # fmt: skip
_CHANGE = {
    "type": "object",
    "properties": {
        "finding": {"type": "string", "enum": list(FINDINGS)},
        "from": {"type": "string", "enum": list(_STATES)},
        "to": {"type": "string", "enum": list(_STATES)},
    },
    "required": ["finding", "from", "to"],
    "additionalProperties": False,
}
RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "rewritten_report",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "report": {"type": "string"},
                "changes": {"type": "array", "items": _CHANGE},
            },
            "required": ["report", "changes"],
            "additionalProperties": False,
        },
    },
}
"""The `response_format` for a server with OpenAI's interface."""

_FENCE = re.compile(r"^(?:```|~~~)\w*\s*|\s*(?:```|~~~)$")
_COMMA_BEFORE_END = re.compile(r",(\s*[}\]])")
_BEGINS_DEEP = re.compile(rf"(?:[\[{{]\s*){{{MAX_DEPTH}}}")
# Braces to try, for text that has many of them and is not JSON.
_MAX_STARTS = 100

_UNREADABLE = Failure("an answer that cannot be read", Reason.UNREADABLE_ANSWER, again=True)
_ONLY_THOUGHTS = Failure("thoughts without an end", Reason.EMPTY_ANSWER, again=True)


def read_answer(raw: str) -> Answer | Failure:
    """The report in an answer: that of the first JSON object with a report, else the whole text.

    Text around the object (thoughts, a code fence, a sentence) is removed. For an answer that
    starts as JSON but cannot be read, the report is the answer itself, which the check rejects. A
    failure for thoughts alone, and for JSON that is nested too deep or cannot be written to a file.
    """
    answer = without_thoughts(raw)
    if answer is None:
        return _ONLY_THOUGHTS
    text = _FENCE.sub("", answer).strip()
    try:
        found = _object_in(text)
    except JSONTextError:
        return _UNREADABLE
    if found is None:
        return Answer(Report(findings=tidy(text)), raw)
    return Answer(Report(findings=tidy(found["report"])), raw, _claims(found.get("changes")))


def _object_in(text: str) -> dict[str, Any] | None:
    """The first JSON object in `text` with a text as its "report".

    Raises `JSONTextError` if it is nested too deep, or has half of a surrogate pair.
    """
    decoder = json.JSONDecoder(strict=False)  # allow line breaks inside texts
    for candidate in (text, _COMMA_BEFORE_END.sub(r"\1", text)):
        start, num_tried = candidate.find("{"), 0
        while start >= 0 and num_tried < _MAX_STARTS:
            try:
                value, _ = decoder.raw_decode(candidate, start)
            except RecursionError as error:
                raise JSONTextError("nested too deep") from error
            except ValueError:
                value = None
            if isinstance(value, dict) and isinstance(value.get("report"), str):
                parse_json(json.dumps(value))
                return value
            start, num_tried = candidate.find("{", start + 1), num_tried + 1
    if _BEGINS_DEEP.search(text):
        raise JSONTextError("nested too deep")
    return None


def _claims(changes: Any) -> tuple[Claim, ...]:
    """The changes that use the schema's words; others could be any text, and are left out."""
    if not isinstance(changes, list):
        return ()
    found = []
    for change in changes:
        if not isinstance(change, dict):
            continue
        finding, before, after = (
            str(change.get(name, "")).strip().lower() for name in ("finding", "from", "to")
        )
        if finding in FINDINGS and before in _STATES and after in _STATES:
            found.append(Claim(finding, before, after))
    return tuple(found)
