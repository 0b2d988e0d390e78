"""Statements read from report text: which findings it states, denies or leaves open, and where.

One pass of one pattern turns a sentence into terms (`scope.py`). `presence.py` settles what is
stated or denied, `places.py` gives each finding its side, zone and severity.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from pairaug.findings.places import places_of, statements_of
from pairaug.findings.presence import Reader, Token
from pairaug.findings.scope import marks, term_pattern, terms
from pairaug.findings.sentences import sentences
from pairaug.findings.statement import Statement


def extract(text: str) -> list[Statement]:
    """What `text` says about each finding, in the order of the text.

    A finding on two sides or in two zones that are graded or placed apart gives two statements.
    """
    lowered = _lowered(text)
    statements: list[Statement] = []
    for start, end in sentences(text):
        statements += (_shifted(statement, start) for statement in _read(lowered[start:end]))
    stated = {s.finding for s in statements if s.presence != "absent"}
    if stated and "otherwise" in lowered:
        # "Otherwise clear" denies the rest, not what was named.
        statements = [s for s in statements if not (s.implied and s.finding in stated)]
    return statements


def _lowered(text: str) -> str:
    """`text` in lower case, of the same length, so that places in one are places in the other."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


# Reports repeat each other's sentences, and a rewrite those of its report.
@lru_cache(maxsize=8192)
def _read(sentence: str) -> tuple[Statement, ...]:
    """What one sentence in lower case says; places are counted from its start."""
    known, punctuation = terms(), marks()
    tokens: list[Token] = []
    for match in term_pattern().finditer(sentence):
        phrase = match.group()
        term = punctuation.get(phrase) or known.get(phrase) or known[_normal(phrase)]
        tokens.append(Token(term, match.start(), match.end()))
    if not tokens:
        return ()
    reader = Reader(sentence, tokens)
    reader.read()
    statements = reader.readings
    if reader.mentions:
        places = places_of(tokens, reader.mentions)
        for mention, groups in zip(reader.mentions, places, strict=True):
            statements += statements_of(mention, groups)
        statements.sort(key=lambda statement: statement.start)
    return tuple(statements)


def _shifted(statement: Statement, by: int) -> Statement:
    if not by:
        return statement
    return replace(statement, start=statement.start + by, end=statement.end + by)


_DASHES = str.maketrans("-\u2010\u2011\u2012\u2013", "     ")


def _normal(phrase: str) -> str:
    """The phrase as the table of terms has it: single spaces, no hyphens."""
    return " ".join(phrase.translate(_DASHES).split())
