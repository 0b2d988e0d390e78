"""Scope of triggers, from a sentence's terms and the words between them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pairaug.findings.scope import Token
from pairaug.findings.statement import Presence

# After a comma or "and", these start a new statement, not another item of a denial.
_NEW_STATEMENT = frozenset(
    ("a", "an", "new", "stable", "unchanged", "persistent", "residual", "again", "improved",
     "improving", "worsening", "increasing", "increased", "decreased", "known", "healed", "only",
     "just", "the")
)  # fmt: skip
# "No right and only a small left effusion": the denial ends before it reaches a finding.
_INSTEAD = frozenset(("a", "an", "only", "just"))
# Words of three letters or more, except those between a denial and its finding.
_NOUN = re.compile(
    r"\b(?!(?:focal|definite|definitive|acute|obvious|significant|sizable|sizeable|discrete|free|"
    r"convincing|radiographic|layering|evidence|suspicious|the|any|new|other|frank|overt|gross|for|"
    r"visible|discernible|appreciable|measurable|sided|patchy|confluent|lobar|pulmonary|pleural|"
    r"represent|reflect|indicate|developing|underlying|superimposed|associated)\b)[a-z]{3,}"
)
_ALONE = re.compile(
    r"\s*(?:here|there|too|as well|present|clinically|on balance)?\s*"
    r"(?:$|[.,;:)?]|(?:given|although|but|and|based)\b)"
)
# "Is likely at the base"; "probably at the base" doubts only the location.
_AT_LOCATION = re.compile(r"\s*(?:at|in|on|within|along|bilaterally)\b")
_PREDICATE = re.compile(
    r"(?:[\s,(:-]|\b(?:is|are|was|were|be|being|seems?|appears?|remains?|would|felt|thought|to|"
    r"considered|also|still|now|as|very|highly|quite|in|at|on|the|of|which|and|therefore)\b)*"
)
_DENIED = re.compile(
    r"\s*(?:none|no|nil|negative|absent|not (?:seen|present|identified)|n/a|neg)\b\s*"
    r"(?:identified|seen|present|noted)?\s*(?:$|[.,;|)])"
)
_UNSURE = re.compile(
    r"\s*(?:indeterminate|uncertain|unclear|unknown|limited|not (?:assessed|evaluated))\b"
)
_WHOLE = re.compile(r"\s*(?:is|are|was|were)?\s*(?:seen|present|identified|noted)?\s*(?:$|[.,;|)])")
_ELSEWHERE = re.compile(
    r"[\s\w]{0,40}?\b(?:ct|cta|computed|tomogra\w+|mri?|ultrasound|ultrasonogra\w+|sonogra\w+|us|"
    r"echo\w*|scan|prior|previous|earlier|recent|dedicated|outside|cross|another|follow|same)\b"
)
_ANOTHER_VIEW = re.compile(
    r"\s*(?:on|in|from|at)\s+(?:(?:the|a|any|most)\s+)?(?:\w+\s+)?"
    r"(?:prior|priors|previous|previously|earlier|comparison|lateral|frontal)\b"
)
_TO_SOME_EXTENT = re.compile(
    r"\s*(?:by|to|into|slightly|partially|somewhat|an?\b|about|approximately|approx|~|\d|several|"
    r"few|some|further|back|with (?:its|the)? ?tip|and (?:its|the tip|tip|now|lies|ends|terminates|"
    r"exchanged|re-?\w+ed))"
)
_THE_SAME = re.compile(r"\W*(?:(?:it|this|these|they|still|also|completely|entirely)\s+)*")
_STOP = re.compile(r"\s*(?:$|[,.;|)])")
_REPLACED = re.compile(r"\s*and (?:replaced|exchanged|reinserted|reinstated)\b")
_PART = re.compile(r"\b(?:tips?|end|ends|distal|side ?(?:hole|port)|course)\b")


def is_followed(tokens: Sequence[Token], index: int) -> bool:
    """True if a finding or a remark follows directly: a trigger at `index` is about that."""
    for token in tokens[index + 1 :]:
        role = token.term.role
        if role in ("finding", "again", "general", "state"):
            return True
        if role == "join" and token.term.name in ("with", "or"):
            continue
        if role == "cause" and tokens[index].term.name != "limit":
            continue
        if role in ("join", "break", "cause", "after", "value", "question", "history"):
            return False
    return False


def stands_alone(text: str, since: int, token: Token) -> bool:
    """True for a hedge that is itself the predicate: "is likely.", not "is likely small."."""
    if not _PREDICATE.fullmatch(text, since, token.start):
        return False
    is_adverb = text[since : token.end].endswith("bly") or not text[since : token.start].strip()
    is_located = not is_adverb and _AT_LOCATION.match(text, token.end)
    return bool(is_located or _ALONE.match(text, token.end))


def ends_in_or(tokens: Sequence[Token], index: int) -> bool:
    """True if the list continues to an "or": everything up to it has one presence.

    A slash is an "or" between items of no size or a large one: "no edema, large effusion/mass".
    """
    is_sized = False
    for token in tokens[index:]:
        term = token.term
        if term.role in ("break", "before", "history", "state"):
            return False
        is_sized = is_sized or term.severity in ("mild", "moderate") or bool(term.side)
        if term.role == "join" and (term.name == "or" or (term.name == "/" and not is_sized)):
            return True
    return False


def starts_statement(text: str, tokens: Sequence[Token], index: int, graded: bool = False) -> bool:
    """True if a severity or location follows a comma or "and": stated, not denied.

    With `graded`, a location alone is not enough.
    """
    for token in tokens[index + 1 :]:
        if token.term.role == "location":
            if token.term.severity or not graded:
                return True
        elif token.term.role != "join":
            break
    word = _next_word(text, tokens[index])
    return word in _NEW_STATEMENT and not (graded and word == "the")


def gives_up(text: str, tokens: Sequence[Token], since: int, index: int) -> bool:
    """True if a join replaces the denial before it by a statement."""
    has_side = any(token.term.side for token in tokens[since:index])
    is_graded = index + 1 < len(tokens) and tokens[index + 1].term.severity is not None
    return _next_word(text, tokens[index]) in _INSTEAD or (has_side and is_graded)


def is_elided(text: str, tokens: Sequence[Token], index: int) -> bool:
    """True for the "no" of "small left and no right effusion": the left one is present."""
    if index < 2 or tokens[index - 1].term.name not in ("and", ",", "but"):
        return False
    earlier = tokens[: index - 1]
    is_location = all(token.term.role == "location" for token in earlier)
    is_graded = any(token.term.severity for token in earlier)
    return is_location and is_graded and not has_other_words(text, tokens, 0, index - 1)


def has_other_words(text: str, tokens: Sequence[Token], lower: int, upper: int) -> bool:
    """True if there are unknown nouns between two terms."""
    start = tokens[lower].end
    for token in tokens[lower + 1 : upper + 1]:
        if _NOUN.search(text, start, token.start):
            return True
        start = token.end
    return False


def is_definite(text: str, join: Token) -> bool:
    """True if the finding after a "with" is known to be present: "with the pneumothorax"."""
    return _next_word(text, join) in ("the", "this", "these", "known")


def _next_word(text: str, token: Token) -> str:
    following = text[token.end : token.end + 14].split(maxsplit=1)
    return following[0] if following else ""


def value(text: str, token: Token) -> Presence | None:
    """Presence by the word after a colon: "Effusion: none", "Edema: indeterminate"."""
    if _DENIED.match(text, token.end):
        return "absent"
    return "uncertain" if _UNSURE.match(text, token.end) else None


def is_whole(text: str, token: Token) -> bool:
    """True if nothing is added to a denial: "effusion: none"."""
    return bool(_WHOLE.match(text, token.end))


def is_answer(text: str, token: Token) -> bool:
    """True for the "no" of "effusion: no, edema: yes": it is about the finding before it."""
    is_no = text[token.start : token.end] == "no"
    return is_no and bool(_STOP.match(text, token.end))


def is_heading(tokens: Sequence[Token], index: int) -> bool:
    """True for "Not seen: effusion, edema": the trigger is about the list that it heads."""
    return index == 0 and len(tokens) > 1 and tokens[1].term.role == "value"


def is_of_the_same(text: str, before: Token, token: Token) -> bool:
    """True if a trigger after a break is about the finding named before: "but it cannot"."""
    return before.term.role in ("break", "join") and bool(
        _THE_SAME.fullmatch(text, before.end, token.start)
    )


def answer(text: str, question: Token) -> Presence:
    """Presence by the word after a question mark, if there is one: "Edema? No."."""
    is_affirmed = text.startswith("yes", question.end + 1)
    return "present" if is_affirmed else value(text, question) or "uncertain"


def is_elsewhere(text: str, token: Token) -> bool:
    """True if "better seen" refers to another examination."""
    return bool(_ELSEWHERE.match(text, token.end))


def is_of_another_view(text: str, token: Token) -> bool:
    """True for "not seen on the prior radiograph": it is present on this one."""
    return bool(_ANOTHER_VIEW.match(text, token.end))


def is_only_moved(text: str, since: int, token: Token) -> bool:
    """True for a device that was withdrawn by a distance, not removed."""
    before = text[since : token.start]
    return bool(
        _TO_SOME_EXTENT.match(text, token.end) or "slightly" in before or "partially" in before
    )


def is_replaced(text: str, token: Token) -> bool:
    """True for a device that was removed and replaced."""
    return bool(_REPLACED.match(text, token.end))


def is_of_a_part(text: str, since: int, token: Token) -> bool:
    """True if the trigger is about the tip or the course of a device, not about the device."""
    return bool(_PART.search(text, since, token.start))
