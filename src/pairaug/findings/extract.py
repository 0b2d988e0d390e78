"""Statements read from report text: which findings it states, denies or leaves open, and where.

One pass of one pattern turns a sentence into terms (`scope.py`). `presence.py` settles what is
stated or denied, `places.py` gives each finding its side, zone and severity.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pairaug.findings.headings import asides
from pairaug.findings.places import places_of, statements_of
from pairaug.findings.presence import Reader
from pairaug.findings.regions import Regions
from pairaug.findings.scope import Term, Token, marks, term_pattern, terms
from pairaug.findings.sentences import sentences
from pairaug.findings.statement import Statement
from pairaug.findings.trie import without_fillers


def extract(text: str) -> list[Statement]:
    """What `text` says about each finding, in the order of the text.

    A finding on two sides or in two zones that are graded or placed apart gives two statements.
    """
    lowered = _lowered(text)
    skipped = asides(text) if any(mark in text for mark in (":", "\n", " - ")) else ()
    statements: list[Statement] = []
    for start, end in sentences(text):
        if any(aside.start <= start < aside.end for aside in skipped):
            continue
        statements += (_shifted(statement, start) for statement in _read(lowered[start:end]))
    stated = {s.finding for s in statements if s.presence != "absent"}
    if stated and "otherwise" in lowered:
        # "Otherwise clear" denies the rest, not what was named.
        statements = [s for s in statements if not (s.implied and s.finding in stated)]
    return statements


# Markup and apostrophes count as spaces between words: "**effusion**", "can't".
_MARKUP = str.maketrans("*_`'\u2019", "     ")
_SHORT = re.compile(r"\b([a-z])/(?=[a-z]?\b)|\b(and)/(?=or\b)")


def _lowered(text: str) -> str:
    """`text` in lower case, of the same length, so that places in one are places in the other.

    The slash of "r/o", "w/" and "and/or" is a space.
    """
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    lowered = lowered.translate(_MARKUP)
    return _SHORT.sub(r"\1\2 ", lowered) if "/" in lowered else lowered


# Reports repeat each other's sentences, and a rewrite those of its report.
@lru_cache(maxsize=8192)
def _read(sentence: str) -> tuple[Statement, ...]:
    """What one sentence in lower case says; places are counted from its start."""
    known, punctuation = terms(), marks()
    tokens: list[Token] = []
    for match in term_pattern().finditer(sentence):
        phrase = match.group()
        term = punctuation.get(phrase) or known.get(phrase) or _term_of(phrase)
        tokens.append(Token(term, match.start(), match.end()))
    if not tokens:
        return ()
    reader = Reader(sentence, tokens, Regions(sentence, tokens))
    reader.read()
    statements = reader.regions.readings
    if reader.mentions:
        places = places_of(tokens, reader.mentions, reader.restart)
        for mention, groups in zip(reader.mentions, places, strict=True):
            statements += statements_of(mention, groups)
        statements.sort(key=lambda statement: statement.start)
    return tuple(statements)


def _shifted(s: Statement, by: int) -> Statement:
    if not by:
        return s
    # A third of the time that `dataclasses.replace` takes, which counts over many reports.
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
