"""Parts of a report that do not describe the image: indication, technique, comparison."""

from __future__ import annotations

import re

from pairaug.findings.sentences import Span

_ASIDE = (
    r"(?:clinical|patient|relevant|brief|current|medical|past|surgical)?\s*"
    r"(?:histor(?:y|ies)|[hd]x|indications?|information|info|data|details|context|questions?|"
    r"presentation|symptoms?|statement|diagnosis)"
    r"|(?:reason|indication)s? for (?:the |this )?(?:exam\w*|study|test|visit|order\w*|imaging|"
    r"request|x-?ray|radiograph)|comparisons?|compared (?:to|with)|prior (?:exam\w*|stud(?:y|ies))|"
    r"techniques?|procedures? (?:comments?|indications?)|order\w*|request\w*|age|sex|patient|"
    r"clinical|reason"
)
_READ = (
    r"findings?(?: and impression)?|impressions?|conclusions?|opinion|report|interpretation|"
    r"results?|reading|summary|assessment|chest|heart|lungs?"
)
# At the start of a line or a sentence; alone on its line it may lack its colon.
_HEADING = re.compile(
    rf"[.;?!)\n][\s#*_>-]*(?:(?P<aside>{_ASIDE})|(?P<read>{_READ}))[\s*_]*(?::|\s-\s|(?=\n))",
    re.IGNORECASE,
)
# In capitals, in the middle of a line.
_CAPITALS = re.compile(
    r"[.;?!)\s](?:(?P<aside>(?:CLINICAL |PATIENT )?(?:INDICATION|HISTORY|INFORMATION)S?|"
    r"REASON FOR [A-Z ]{4,20}|COMPARISONS?|TECHNIQUE|EXAM|EXAMINATION)|"
    r"(?P<read>FINDINGS?|IMPRESSIONS?|CONCLUSIONS?|INTERPRETATION|REPORT)):"
)
_END = re.compile(r"[.;?!](?=\s|$)|\n|$")


def asides(text: str) -> list[Span]:
    """Parts under headings such as INDICATION, up to the next heading of another kind.

    If none follows, up to the end of the sentence or line.
    """
    found: list[Span] = []
    start: int | None = None
    last = 0
    line = "\n" + text  # the text starts a line
    headings = [*_HEADING.finditer(line), *(_CAPITALS.finditer(line) if ":" in text else ())]
    for match in sorted(headings, key=lambda match: match.end()):
        if match.group("aside"):
            start = match.start() if start is None else start
            last = match.end() - 1
        elif start is not None:
            found.append(Span(start, match.start()))
            start = None
    if start is not None:
        content = re.compile(r"\S").search(text, last)
        end = _END.search(text, content.start() if content else len(text))
        found.append(Span(start, end.end() if end else len(text)))
    return found
