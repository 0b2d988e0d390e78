"""Rewrites sentences on the size of the heart."""

from __future__ import annotations

import re

from pairaug.findings import Severity
from pairaug.rewrite.rules.kinds import ADVERBS

_HEART_IS = re.compile(
    r"^(?P<subject>(?:the )?(?:heart size|heart|cardiac silhouette(?: size)?|cardiac size))"
    r"(?P<verb> (?:is|appears|remains|size is))?(?P<grade> \w+ly)? "
    r"(?P<state>normal in size(?: and (?:contour|configuration))?|"
    r"within normal limits(?: in size)?|"
    r"not (?:significantly )?enlarged|unremarkable|normal|enlarged|large)(?: in size)?\.$",
    re.IGNORECASE,
)
_ENLARGED = re.compile(
    r"^(?:\w+ly )?enlarged (?P<subject>heart|cardiac silhouette)\.$", re.IGNORECASE
)


def normal_heart(sentence: str) -> str | None:
    """ "The heart is normal in size." for "The heart is severely enlarged.", else None."""
    match = _HEART_IS.match(sentence)
    if match and match.group("state").lower().startswith(("enlarged", "large")):
        subject = match.group("subject")
        end = "normal" if subject.lower().endswith("size") else "normal in size"
        return f"{subject}{match.group('verb') or ' is'} {end}."
    match = _ENLARGED.match(sentence)
    return f"Normal {match.group('subject')} size." if match else None


def enlarged_heart(sentence: str, severity: Severity) -> str | None:
    """ "The heart is mildly enlarged." for "The heart is normal in size.", else None."""
    match = _HEART_IS.match(sentence)
    if match:
        verb = match.group("verb") or " is"
        return f"{match.group('subject')}{verb} {ADVERBS[severity]} enlarged."
    if re.fullmatch(r"Normal (?:heart|cardiac) size\.", sentence, re.IGNORECASE):
        return f"{ADVERBS[severity].capitalize()} enlarged heart."
    return None


def graded_heart(sentence: str, severity: Severity) -> str | None:
    """ "The heart is severely enlarged." for "The heart is mildly enlarged.", else None."""
    match = _HEART_IS.match(sentence)
    if match:
        verb = match.group("verb") or " is"
        return f"{match.group('subject')}{verb} {ADVERBS[severity]} enlarged."
    match = _ENLARGED.match(sentence)
    return f"{ADVERBS[severity].capitalize()} enlarged {match.group('subject')}." if match else None
