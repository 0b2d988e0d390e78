"""Extraction of statements from report text: present, absent and uncertain findings, with location.

One pass of one pattern turns a sentence into terms (`scope.py`). `presence.py` sets the presence of
each finding, `location.py` its side, zone and severity.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pairaug.findings.headings import asides
from pairaug.findings.location import locations_of, statements_of
from pairaug.findings.presence import StatementReader
from pairaug.findings.regions import Regions
from pairaug.findings.scope import Term, Token, answer_of, marks, term_pattern, terms
from pairaug.findings.sentences import sentences
from pairaug.findings.statement import Presence, Side, Statement
from pairaug.findings.trie import without_fillers


def extract(text: str) -> list[Statement]:
    """Statements of `text` about findings, in the order of the text.

    A finding on two sides or in two zones with separate grades or locations gives two statements.
    """
    lowered = _lower(text)
    skipped = asides(text) if any(mark in text for mark in (":", "\n", " - ")) else ()
    statements: list[Statement] = []
    before: tuple[Statement, ...] = ()
    for start, end in sentences(text):
        if any(aside.start <= start < aside.end for aside in skipped):
            continue
        said = _read(lowered[start:end])
        if not said and before and end - start < _LONGEST_REST:
            said = _rest(lowered[start:end], before)
        before = said
        statements += (_shift(statement, start) for statement in said)
    stated = {s.finding for s in statements if s.presence != "absent"}
    if stated and "otherwise" in lowered:
        # "Otherwise clear" denies the rest, not what was named.
        statements = [s for s in statements if not (s.implied and s.finding in stated)]
    return statements


_REST = re.compile(
    r"(?:(none|nothing)|(\w+(?:[ -]\w+){0,2}?)(?: one| amount)?)(?: seen| present)? "
    r"(?:on|at|in) the (left|right)(?: side| base)?\W*"
)
_LONGEST_REST = 60


def _rest(sentence: str, before: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The statement of "Moderate on the left." after "No effusion on the right."."""
    match = _REST.fullmatch(sentence)
    if match is None or len({s.finding for s in before if not s.implied}) != 1:
        return ()
    denial, size = match.group(1, 2)
    side: Side = "left" if match.group(3) == "left" else "right"
    of = before[-1]
    severity = terms()[size].severity if size in terms() else None
    if of.side in (None, "bilateral", side) or not (denial or severity):
        return ()
    presence: Presence = "absent" if denial else "present"
    return (
        Statement(of.finding, presence, side, severity, detail=of.detail, end=len(sentence)),
    )  # fmt: skip


# Markup and apostrophes count as spaces between words: "**effusion**", "can't".
_MARKUP = str.maketrans("*_`'\u2019", "     ")
_SHORT = re.compile(r"\b([a-z])/(?=[a-z]?\b)|\b(and)/(?=or\b)")


def _lower(text: str) -> str:
    """`text` in lower case, of the same length, so that positions agree.

    The slash of "r/o", "w/" and "and/or" is a space.
    """
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    lowered = lowered.translate(_MARKUP)
    return _SHORT.sub(r"\1\2 ", lowered) if "/" in lowered else lowered


# Cached: reports repeat each other's sentences, and a rewrite those of its report.
@lru_cache(maxsize=8192)
def _read(sentence: str) -> tuple[Statement, ...]:
    """Statements of one sentence in lower case; positions count from its start."""
    known, punctuation = terms(), marks()
    tokens: list[Token] = []
    for match in term_pattern().finditer(sentence):
        phrase = match.group()
        term = punctuation.get(phrase) or known.get(phrase) or answer_of(phrase) or _term_of(phrase)
        tokens.append(Token(term, match.start(), match.end()))
    if not tokens:
        return ()
    reader = StatementReader(sentence, tokens, Regions(sentence, tokens))
    reader.read()
    statements = reader.regions.readings
    if reader.mentions:
        locations = locations_of(tokens, reader.mentions, reader.restart)
        for mention, groups in zip(reader.mentions, locations, strict=True):
            statements += statements_of(mention, groups)
        statements.sort(key=lambda statement: statement.start)
    return tuple(statements)


def _shift(s: Statement, by: int) -> Statement:
    if not by:
        return s
    # Takes a third of the time of `dataclasses.replace`, which matters for many reports.
    return Statement(
        s.finding, s.presence, s.side, s.severity, s.zone, s.detail, s.start + by, s.end + by,
        s.implied,
    )  # fmt: skip


_DASHES = str.maketrans("-\u2010\u2011\u2012\u2013", "     ")


def _term_of(phrase: str) -> Term:
    """The term of a phrase that has line breaks, hyphens or fillers in it."""
    normal = " ".join(phrase.translate(_DASHES).split())
    known = terms()
    return known.get(normal) or known[without_fillers(normal)]
