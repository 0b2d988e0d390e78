"""Statements read from report text: which findings it states, denies or leaves open, and where.

One pass of one pattern turns a sentence into terms (`scope.py`). Two small readers go over the
terms: the first settles presence, the second gives each finding its side, zone and severity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from pairaug.findings.lexicon import READINGS
from pairaug.findings.scope import Term, marks, term_pattern, terms
from pairaug.findings.sentences import sentences
from pairaug.findings.statement import Presence, Severity, Side, Statement, Zone

# Findings of the whole heart or of both lungs: a side in the sentence belongs to something else.
_WITHOUT_SIDE = frozenset({"cardiomegaly", "enlarged cardiomediastinum", "edema", "no finding"})
# "Layering at the base" says how an effusion lies, not which one it is.
_WITHOUT_ZONE = _WITHOUT_SIDE | {"support devices", "fracture", "pleural effusion"}
# Devices that lie in the midline.
_MIDLINE = frozenset({"endotracheal tube", "tracheostomy", "enteric tube", "wires", "valve"})
# A state before its region ("normal size and contour of the heart") may stand this far from it.
_STATE_REACH = 45
_SHOWS = re.compile(r"\b(?:show|demonstrate|reveal)")
# "left lateral costophrenic angle": a side may stand this far before its region.
_SIDE_REACH = 11


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


class Token(NamedTuple):
    """One term where it stands in the text."""

    term: Term
    start: int
    end: int


@dataclass(slots=True)
class Mention:
    """A finding while its sentence is being read."""

    index: int
    token: Token
    presence: Presence
    implied: bool = False


@dataclass(slots=True)
class _Reader:
    """Settles presence, term by term; a new one for each sentence."""

    text: str
    tokens: list[Token]
    scope: Presence | None = None
    has_used_scope: bool = False
    is_history: bool = False
    clause: list[Mention] = field(default_factory=list)  # since the last break
    mentions: list[Mention] = field(default_factory=list)
    regions: list[Token] = field(default_factory=list)  # waiting for a state that follows
    state: Token | None = None  # waiting for a region that follows
    readings: list[Statement] = field(default_factory=list)

    def read(self) -> None:
        for index, token in enumerate(self.tokens):
            getattr(self, f"_{token.term.role}")(index, token)

    def _finding(self, index: int, token: Token) -> None:
        self.regions.clear()
        self.state = None
        if self.is_history:
            return
        presence = self.scope or "present"
        if presence == "present" and self._is_alternative(index):
            presence = self.clause[-1].presence = "uncertain"
        mention = Mention(index, token, presence)
        self.has_used_scope = True
        self.clause.append(mention)
        self.mentions.append(mention)

    def _is_alternative(self, index: int) -> bool:
        """True for the second of "atelectasis or infiltrate", where neither is denied."""
        if not self.clause or self.clause[-1].presence == "absent":
            return False
        between = self.tokens[self.clause[-1].index + 1 : index]
        joins = [token.term.name for token in between if token.term.role != "place"]
        return joins == ["or"]

    def _general(self, index: int, token: Token) -> None:
        self.regions.clear()
        self.state = None
        if self.scope != "absent" or self.is_history:
            return
        self.has_used_scope = True
        if token.term.name != "no finding":
            self.mentions.append(Mention(index, token, "absent", implied=True))
            return
        words = self.text[max(0, token.start - 60) : token.start]
        detail = "acute" if "acute" in words or "active" in words else None
        self._add_reading("no finding", "present", token.start, token.end, detail=detail)

    def _anatomy(self, index: int, token: Token) -> None:
        if self.state is not None and token.start - self.state.end <= _STATE_REACH:
            self._say(token, self.state, index)
            return
        self.state = None
        if index and self.tokens[index - 1].term.role == "join" and self._has_state(index):
            self.scope = None
        self.regions.append(token)

    def _has_state(self, index: int) -> bool:
        """True where a remark on the region at `index` follows: a new statement starts here."""
        for token in self.tokens[index + 1 :]:
            if token.term.role not in ("place", "anatomy", "join"):
                return token.term.role == "state"
        return False

    def _state(self, index: int, token: Token) -> None:
        if self.regions and _SHOWS.search(self.text, self.regions[-1].end, token.start):
            self.regions.clear()  # "views of the chest show normal size of the heart"
        if self.regions:
            for region in self.regions:
                self._say(region, token, index)
            self.regions.clear()
            self.scope = None
        else:
            self.state = token

    def _say(self, region: Token, state: Token, index: int) -> None:
        """Note what the region's state says, unless it is negated ("not clear")."""
        for finding, presence in READINGS.get((region.term.name, state.term.name), ()):
            if self.scope == "absent":
                if presence == "absent" or finding == "no finding":
                    continue
                presence = "absent"
            elif self.scope == "uncertain" and presence == "present":
                presence = "uncertain"
            start, end = min(region.start, state.start), max(region.end, state.end)
            severity = self._severity_before(state, index) if presence == "present" else None
            if state.term.name == "blunted" and presence == "present":
                severity = "mild"
            side = self._side_before(region)
            self._add_reading(finding, presence, start, end, severity=severity, side=side)

    def _add_reading(
        self,
        finding: str,
        presence: Presence,
        start: int,
        end: int,
        severity: Severity | None = None,
        side: Side | None = None,
        detail: str | None = None,
    ) -> None:
        if finding in _WITHOUT_SIDE:
            side = None
        implied = finding not in ("cardiomegaly", "enlarged cardiomediastinum", "no finding")
        self.readings.append(
            Statement(finding, presence, side, severity, None, detail, start, end, implied)
        )

    def _severity_before(self, state: Token, index: int) -> Severity | None:
        for token in reversed(self.tokens[:index]):
            if token.term.severity and token.end <= state.start <= token.end + 4:
                return token.term.severity
        return None

    def _side_before(self, region: Token) -> Side | None:
        for token in self.tokens:
            if token.term.side and token.end <= region.start <= token.end + _SIDE_REACH:
                return None if token.term.side == "bilateral" else token.term.side
        return None

    def _before(self, index: int, token: Token) -> None:
        presence = token.term.presence
        # "No evidence to suggest pneumonia" stays denied, not "no effusion, possible pneumonia".
        if presence == "uncertain" and self.scope == "absent" and not self.has_used_scope:
            return
        self.scope, self.has_used_scope = presence, False
        self.state = None

    def _after(self, index: int, token: Token) -> None:
        """Apply to the findings of the list that ends here."""
        upper = index
        for mention in reversed(self.clause):
            between = [t.term for t in self.tokens[mention.index + 1 : upper]]
            if any(term.role == "before" for term in between):
                break
            if any(term.role == "join" for term in between) and upper != index:
                names = [term.name for term in between if term.role == "join"]
                if "," in names and not self._is_list(index):
                    break
            assert token.term.presence is not None
            mention.presence = token.term.presence
            upper = mention.index
        for region in self.regions:
            if region.term.name == "angles" and token.term.presence == "absent":
                self._add_reading("pleural effusion", "uncertain", region.start, region.end)

    def _is_list(self, index: int) -> bool:
        """True where "and" or "or" closes a list in this clause before `index`."""
        names = [t.term.name for t in self.tokens[:index] if t.term.role == "join"]
        return "and" in names or "or" in names

    def _either(self, index: int, token: Token) -> None:
        if token.term.presence == "uncertain":  # versus: both sides are open
            if self.clause and self.clause[-1].presence == "present":
                self.clause[-1].presence = "uncertain"
            self.scope, self.has_used_scope = "uncertain", False
        elif self.clause:
            self._after(index, token)
        else:
            self._before(index, token)

    def _place(self, index: int, token: Token) -> None:
        pass

    def _join(self, index: int, token: Token) -> None:
        name = token.term.name
        if name in (",", "with"):
            self.is_history = False
        if self.scope is None or not self.has_used_scope or name in ("or", "/"):
            return
        if self._ends_in_or(index):
            return
        if (
            name == "with"
            or (self.scope == "uncertain" and name == "and")
            or self._starts_anew(index)
        ):
            self.scope = None

    def _ends_in_or(self, index: int) -> bool:
        """True where the list goes on to an "or": everything up to it has one presence."""
        for token in self.tokens[index:]:
            if token.term.role in ("break", "before", "history", "state"):
                return False
            if token.term.role == "join" and token.term.name == "or":
                return True
        return False

    def _starts_anew(self, index: int) -> bool:
        """True where what follows a comma or "and" is graded or sided: said, not denied."""
        for token in self.tokens[index + 1 :]:
            if token.term.role == "place":
                return True
            if token.term.role != "join":
                break
        following = self.text[self.tokens[index].end : self.tokens[index].end + 12].split()
        return bool(following) and following[0] in ("stable", "unchanged", "a", "an", "new")

    def _break(self, index: int, token: Token) -> None:
        self.scope = None
        self.is_history = False
        self.clause = []
        self.regions.clear()
        self.state = None

    def _history(self, index: int, token: Token) -> None:
        self.is_history = True

    def _ignore(self, index: int, token: Token) -> None:
        pass


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
    reader = _Reader(sentence, tokens)
    reader.read()
    statements = reader.readings
    if reader.mentions:
        places = _places(tokens, reader.mentions)
        for mention, groups in zip(reader.mentions, places, strict=True):
            statements += _statements_of(mention, groups)
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


@dataclass(slots=True)
class Group:
    """Side, zone and severity words that stand together, between two joins."""

    side: Side | None = None
    zone: Zone | None = None
    severity: Severity | None = None

    def take(self, term: Term) -> None:
        """Add what `term` says; what was said first stays."""
        self.side = self.side or term.side
        self.zone = self.zone or term.zone
        self.severity = self.severity or term.severity


def _places(tokens: list[Token], mentions: list[Mention]) -> list[list[Group]]:
    """For each finding, the groups of words that place or grade it."""
    found: list[list[Group]] = [[] for _ in mentions]
    linked = [False] * len(mentions)  # joined to the one before by "and", "or", "with" alone
    lower = 0
    for number, mention in enumerate(mentions):
        groups, has_break = _groups(tokens[lower : mention.index])
        if number and not has_break:
            # Up to the first join, words after a finding are still about it.
            found[number - 1] += [group for group in groups[0] if _says(group)]
            own = groups[1:]
            linked[number] = len(own) == 1 and not any(_says(group) for group in own[0])
        else:
            if number and groups:
                found[number - 1] += [group for group in groups[0] if _says(group)]
                groups = groups[-1:]
            own = groups
        found[number] = [group for some in own for group in some if _says(group)]
        lower = mention.index + 1
    groups, _ = _groups(tokens[lower:], stop_at_break=True)
    if mentions:
        found[-1] += [group for some in groups for group in some if _says(group)]
    _share(found, linked, mentions)
    return found


def _says(group: Group) -> bool:
    return bool(group.side or group.zone or group.severity)


def _groups(tokens: list[Token], stop_at_break: bool = False) -> tuple[list[list[Group]], bool]:
    """The place words of a stretch of terms, between its joins; and whether it has a break."""
    stretches: list[list[Group]] = [[Group()]]
    has_break = False
    for token in tokens:
        role = token.term.role
        if role == "place":
            stretches[-1][-1].take(token.term)
        elif role == "join":
            stretches.append([Group()])
        elif role in ("break", "anatomy") and stop_at_break:
            return stretches, True
        elif role == "break":
            has_break = True
            stretches.append([Group()])
    return stretches, has_break


def _share(found: list[list[Group]], linked: list[bool], mentions: list[Mention]) -> None:
    """Give a finding without a side that of its partner: "left effusion and atelectasis"."""
    for number in range(1, len(mentions)):
        if not linked[number]:
            continue
        earlier, later = found[number - 1], found[number]
        if not later and earlier:
            side = earlier[0].side
            found[number] = [Group(side=side)] if side else []
        elif later and not earlier:
            found[number - 1] = [Group(side=group.side, zone=group.zone) for group in later]


def _statements_of(mention: Mention, groups: list[Group]) -> list[Statement]:
    """One statement, or one for each group that differs in side or zone."""
    term = mention.token.term
    has_side = term.name not in _WITHOUT_SIDE and term.detail not in _MIDLINE
    base = Statement(
        term.name,
        mention.presence,
        detail=term.detail,
        start=mention.token.start,
        end=mention.token.end,
        implied=mention.implied,
    )
    if mention.presence == "absent":
        side = groups[0].side if groups and has_side else None
        return [replace(base, side=side)]
    made: list[Statement] = []
    for group in _completed(groups):
        statement = replace(
            base,
            side=group.side if has_side else None,
            zone=None if term.name in _WITHOUT_ZONE else group.zone,
            severity=group.severity,
        )
        if statement not in made:
            made.append(statement)
    return _merged(made) if made else [base]


def _completed(groups: list[Group]) -> list[Group]:
    """The groups with what they leave to their neighbours filled in.

    "Left and right lower lobe": the first takes its zone from the second. "Right middle and lower
    lobe": the second takes its side from the first. A lone severity grades them all.
    """
    placed = [group for group in groups if group.side or group.zone]
    severities: list[Severity] = [group.severity for group in groups if group.severity]
    if not placed:
        return [Group(severity=severities[0])] if severities else []
    for number, group in enumerate(placed):
        if number and group.side is None:
            group.side = placed[number - 1].side
    for number in range(len(placed) - 2, -1, -1):
        group, after = placed[number], placed[number + 1]
        if group.zone is None and group.side != after.side:
            group.zone = after.zone
        if group.side is None:
            group.side = after.side
    if severities and not any(group.severity for group in placed[1:]):
        for group in placed:
            group.severity = group.severity or severities[0]
    if placed[0].side == "bilateral" and len(placed) > 1 and not placed[0].zone:
        # "Bilateral effusions, left greater than right" repeats the side.
        placed = [group for group in placed if group.zone] or placed[:1]
    return placed


def _merged(statements: list[Statement]) -> list[Statement]:
    """A left and a right statement that are otherwise equal made into a bilateral one."""
    if len(statements) == 2 and {s.side for s in statements} == {"left", "right"}:
        one, other = statements
        if replace(one, side=None) == replace(other, side=None):
            return [replace(one, side="bilateral")]
    return statements
