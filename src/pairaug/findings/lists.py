"""Lists of findings within a sentence: one trigger or one "or" applies to all items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pairaug.findings.scope import Term, Token
from pairaug.findings.statement import Presence

# Two names for one opacity: "collapse/consolidation" is one or the other.
_CAUSES_OF_SHADOW = frozenset(("atelectasis", "consolidation", "pneumonia"))


@dataclass(slots=True)
class Mention:
    """A finding while its sentence is being read."""

    index: int
    token: Token
    presence: Presence
    implied: bool = False
    end: int = 0  # from this term on, locations belong to the next finding

    def __post_init__(self) -> None:
        self.end = self.end or self.index + 1

    @property
    def is_device(self) -> bool:
        """True for lines, tubes and other devices."""
        return self.token.term.name == "support devices"


def joins(tokens: Sequence[Token], lower: int, upper: int) -> list[str]:
    """Names of the terms between two, without locations; in plain lists, the joining words."""
    return [token.term.name for token in tokens[lower + 1 : upper] if token.term.role != "location"]


def open_alternatives(tokens: Sequence[Token], clause: Sequence[Mention], index: int) -> bool:
    """True if an "or" leaves open which finding is meant; those before it are then open, too.

    In "edema, atelectasis, or pneumonia" all are open, in "edema, atelectasis or pneumonia" two.
    """
    if not clause or clause[-1].presence == "absent":
        return False
    joined = joins(tokens, clause[-1].index, index)
    pair = {clause[-1].token.term.name, tokens[index].term.name}
    if joined == ["/"] and len(pair) == 2 and pair <= _CAUSES_OF_SHADOW:
        joined = ["or"]
    if joined not in (["or"], [",", "or"]):
        return False
    upper = index
    for mention in reversed(clause):
        is_next = upper == index or (
            joined == [",", "or"] and joins(tokens, mention.index, upper) == [","]
        )
        if not is_next or mention.presence != "present":
            break
        mention.presence = "uncertain"
        upper = mention.index
    return True


def settle(tokens: Sequence[Token], clause: Sequence[Mention], index: int, term: Term) -> None:
    """Gives the findings of the list that ends before `index` the presence of `term`."""
    assert term.presence is not None
    upper = index
    for mention in reversed(clause):
        between = [token.term for token in tokens[mention.index + 1 : upper]]
        is_near = upper == index
        # "Neither edema nor pneumonia can be excluded" leaves both open.
        if term.name != "excluded" and any(_ends(other, is_near) for other in between):
            break
        names = [other.name for other in between if other.role == "join"]
        if "," in names and upper != index and not _is_closed(tokens[:index]):
            break
        if term.name == "device" and not mention.is_device:
            break
        if not (term.name == "view" and mention.is_device):
            is_doubled = term.name == "excluded" and mention.presence == "absent"
            mention.presence = "uncertain" if is_doubled else term.presence
        upper = mention.index


def _ends(term: Term, is_near: bool) -> bool:
    """True for a trigger that shields the terms before it from a later one."""
    if term.role == "after":  # "have decreased on the right and resolved on the left"
        return not is_near or term.presence == "present"
    return term.role in ("before", "answer") or (term.role == "either" and not is_near)


def _is_closed(tokens: Sequence[Token]) -> bool:
    """True if an "and" or "or" closes the list."""
    return any(token.term.role == "join" and token.term.name in ("and", "or") for token in tokens)
