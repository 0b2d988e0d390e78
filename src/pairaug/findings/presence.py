"""Whether a sentence states, denies or leaves open each finding that it names.

The reader goes over the sentence's terms once, from left to right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from pairaug.findings.lexicon import READINGS
from pairaug.findings.scope import Term
from pairaug.findings.statement import WITHOUT_SIDE, Presence, Severity, Side, Statement

# A state before its region ("normal size and contour of the heart") may stand this far from it.
_STATE_REACH = 45
_SHOWS = re.compile(r"\b(?:show|demonstrate|reveal)")
# "left lateral costophrenic angle": a side may stand this far before its region.
_SIDE_REACH = 11


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
class Reader:
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
        self._alone()

    def _alone(self) -> None:
        """ "Unremarkable.", with nothing else in the sentence, is about the whole film."""
        state = self.state
        if state is None or state.term.name != "normal" or len(self.tokens) > 1:
            return
        if not re.search(r"\w", self.text[: state.start] + self.text[state.end :]):
            self._add_reading("no finding", "present", state.start, state.end)

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
        if finding in WITHOUT_SIDE:
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
        # "No opacity to suggest pneumonia" stays denied, not "no effusion, possible pneumonia".
        is_same_list = index > 0 and self.tokens[index - 1].term.role != "join"
        if presence == "uncertain" and self.scope == "absent" and is_same_list:
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
        if token.term.name == "otherwise":
            return  # "the lungs are otherwise clear" goes on about the lungs
        self.is_history = False
        self.clause = []
        self.regions.clear()
        self.state = None

    def _history(self, index: int, token: Token) -> None:
        self.is_history = True

    def _ignore(self, index: int, token: Token) -> None:
        pass
