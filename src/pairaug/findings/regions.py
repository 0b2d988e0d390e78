"""Regions and remarks on their state: "the heart is enlarged" states an unnamed finding."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pairaug.findings.lexicon import READINGS
from pairaug.findings.scope import Term, Token
from pairaug.findings.statement import WITHOUT_SIDE, Presence, Severity, Side, Statement

# Distance of a state before its region: "normal size and contour of the heart".
_STATE_REACH = 45
# Distance of a side before its region: "left lateral costophrenic angle".
_SIDE_REACH = 11
_SHOWS = re.compile(r"\b(?:show|demonstrate|reveal)")
_BUT = re.compile(r"[\s,]*(?:but|yet|though|although)?\s*(?:still|remains?|is|are)?\s*")
_OR = re.compile(r"[\s\w]{0,12}[\s,]\b(?:or|to|vs|versus)\b[\s\w]{0,25}")


@dataclass(slots=True)
class Regions:
    """Regions of one sentence without a remark yet, and a remark without a region yet."""

    text: str
    tokens: list[Token]
    waiting: list[Token] = field(default_factory=list)
    state: Token | None = None
    readings: list[Statement] = field(default_factory=list)
    _said: list[tuple[Token, int]] = field(default_factory=list)  # regions of the last remark
    _remark: Token | None = None

    def clear(self) -> None:
        """Forgets waiting regions and remarks, as the subject changes."""
        self.waiting.clear()
        self.state = None

    def name(self, index: int, token: Token, scope: Presence | None) -> bool:
        """True if a remark came before the region; else the region waits for one."""
        if self.state is not None and token.start - self.state.end <= _STATE_REACH:
            self._say([token], self.state, index, scope)
            return True
        self.state = None
        self.waiting.append(token)
        return False

    def remark(self, index: int, token: Token, scope: Presence | None) -> bool:
        """True if the remark is about a region before it; else it waits for one."""
        if self.waiting and _SHOWS.search(self.text, self.waiting[-1].end, token.start):
            self.waiting.clear()  # "views of the chest show normal size of the heart"
        if self._remark is not None and self.is_alternative(self._remark, token):
            # "normal or mildly enlarged"
            del self.readings[self._said[0][1] :]
            self._say([region for region, _ in self._said], _between(self._remark, token), index)
            return True
        if self._remark is not None and self._is_corrected(self._remark, token):
            # "engorged but within normal limits"
            del self.readings[self._said[0][1] :]
            self._say([region for region, _ in self._said], token, index)
            return True
        if self.waiting:
            if self.waiting[-1].term.name != "chest":
                # "CHEST: the heart is normal" does not describe the rest.
                self.waiting = [region for region in self.waiting if region.term.name != "chest"]
            self._say(self.waiting, token, index, scope)
            self.waiting.clear()
            return True
        if self.state is not None and self.is_alternative(self.state, token):
            token = _between(self.state, token)
        self.state = token
        return False

    def is_alternative(self, remark: Token, other: Token) -> bool:
        """True for alternatives that are left open: "normal or enlarged"."""
        is_other = remark.term.name != other.term.name
        return is_other and bool(_OR.fullmatch(self.text, remark.end, other.start))

    def _is_corrected(self, remark: Token, other: Token) -> bool:
        is_within = self.text.startswith("within", other.start)
        return is_within and bool(_BUT.fullmatch(self.text, remark.end, other.start))

    def _say(
        self, regions: list[Token], state: Token, index: int, scope: Presence | None = None
    ) -> None:
        self._said = []
        self._remark = state
        for region in regions:
            self._said.append((region, len(self.readings)))
            self._say_of(region, state, index, scope)

    def _say_of(self, region: Token, state: Token, index: int, scope: Presence | None) -> None:
        """Adds the statements of the region's state, unless it is negated ("not clear")."""
        for finding, presence in READINGS.get((region.term.name, state.term.name), ()):
            if scope == "absent":
                if presence == "absent" or finding == "no finding":
                    continue
                presence = "absent"
            elif scope == "uncertain" and presence == "present":
                presence = "uncertain"
            start, end = min(region.start, state.start), max(region.end, state.end)
            severity = self._severity_before(state, index) if presence == "present" else None
            if state.term.name == "blunted" and presence == "present":
                severity = "mild"
            side = self._side_before(region)
            if side and region.term.name == "chest":
                continue
            self.add(finding, presence, start, end, severity=severity, side=side)

    def add(
        self,
        finding: str,
        presence: Presence,
        start: int,
        end: int,
        severity: Severity | None = None,
        side: Side | None = None,
        detail: str | None = None,
    ) -> None:
        """Adds a statement on `finding` without a mention of it."""
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


def _between(remark: Token, other: Token) -> Token:
    return Token(Term("state", "borderline"), remark.start, other.end)
