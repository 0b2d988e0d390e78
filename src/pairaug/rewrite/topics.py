"""A report's statements by topic, and the differences between two reports.

A topic is a finding, or a kind of lesion or device. Consolidation, pneumonia and opacity are one
topic: reports use them for the same shadow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pairaug.findings import Presence, Severity, Side, Statement, Zone

AIRSPACE = ("consolidation", "pneumonia", "lung opacity")
_WITH_DETAIL = ("lung lesion", "support devices")
_RANK: dict[Presence, int] = {"absent": 1, "uncertain": 2, "present": 3}
# Permanent devices: not mentioned does not mean removed.
LASTING_DEVICES = ("wires", "valve", None)
# Findings that "no acute disease" denies.
ACUTE = frozenset({"edema", "pneumothorax", "pleural effusion", *AIRSPACE})


class Topic(NamedTuple):
    """A finding, with the kind of lesion or device."""

    finding: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One finding's change; `before` and `after` are presences, severities, sides or zones."""

    finding: str
    side: Side | None
    detail: str | None
    before: str
    after: str

    @property
    def is_reversal(self) -> bool:
        """True if a stated or open finding is denied, or a denied one is stated."""
        return (self.before, self.after) in {
            ("present", "absent"),
            ("uncertain", "absent"),
            ("absent", "present"),
        }

    def as_json(self) -> dict[str, str | None]:
        return {
            "finding": self.finding,
            "side": self.side,
            "detail": self.detail,
            "from": self.before,
            "to": self.after,
        }


@dataclass(frozen=True, slots=True)
class _TopicStatements:
    """A report's statements on one topic, combined."""

    presence: Presence
    sides: frozenset[str]
    severities: frozenset[Severity]
    zones: frozenset[Zone]
    statement: Statement


def topic_of(statement: Statement) -> Topic:
    """The topic of a statement; scars are a topic apart from other shadows."""
    if statement.detail == "scarring":
        return Topic(statement.finding, statement.detail)
    if statement.finding in AIRSPACE:
        return Topic("consolidation")
    return Topic(statement.finding, statement.detail if statement.finding in _WITH_DETAIL else None)


def changes_between(before: Sequence[Statement], after: Sequence[Statement]) -> list[Change]:
    """The changes from `before` to `after`, by topic.

    A device that is no longer mentioned ("not stated") was removed; other topics that are not
    mentioned are not counted here, but in `lost_topics`.
    """
    old, new = _said(before), _said(after)
    found: list[Change] = []
    for topic in dict.fromkeys((*old, *new)):
        change = _change(topic, old, new, after)
        if change:
            found.append(change)
    return found


def lost_topics(before: Sequence[Statement], after: Sequence[Statement]) -> list[str]:
    """Findings that `before` states or leaves open and `after` does not mention, except devices."""
    old, new = _said(before), _said(after)
    return [
        topic.detail or topic.finding
        for topic, said in old.items()
        if said.presence != "absent"
        and topic.finding != "support devices"
        and _find(topic, new) is None
        and not _is_all_normal(after)
    ]


def contradictions_in(statements: Sequence[Statement]) -> list[str]:
    """Findings both stated and denied, or both slight and severe, on the same side; each once."""
    present = [s for s in statements if s.presence == "present" and s.finding != "no finding"]
    names = (
        statement.detail or statement.finding
        for denial in statements
        for statement in present
        if _contradicts(denial, statement)
    )
    graded = (
        one.detail or one.finding
        for one in present
        for other in present
        if (one.severity, other.severity) == ("mild", "severe")
        and topic_of(one) == topic_of(other)
        and one.finding not in _WITH_DETAIL
        and (one.side, one.zone) == (other.side, other.zone)
    )
    return list(dict.fromkeys((*names, *graded)))


def denies_normality(before: Sequence[Statement], after: Sequence[Statement]) -> bool:
    """True if `before` is a normal report and `after` states a finding other than a device."""
    was_normal = any(s.finding == "no finding" for s in before)
    return was_normal and any(
        s.presence == "present" and s.finding not in ("no finding", "support devices")
        for s in after
    )


def _contradicts(denial: Statement, statement: Statement) -> bool:
    if denial.finding == "no finding" and denial.presence == "present":
        if statement.finding == "support devices":
            return False
        return denial.detail is None or statement.finding in ACUTE
    if denial.presence != "absent":
        return False
    if statement.detail == "scarring":
        return False  # "clear lungs" and "a scar" stand together in many reports
    is_same = denial.finding == statement.finding or (
        denial.finding == "lung opacity" and statement.finding in AIRSPACE
    )
    if not is_same or not _is_same_side(denial.side, statement.side):
        return False
    return statement.finding not in _WITH_DETAIL or denial.detail in (None, statement.detail)


def _is_same_side(one: Side | None, other: Side | None) -> bool:
    return one is None or other is None or "bilateral" in (one, other) or one == other


def _said(statements: Iterable[Statement]) -> dict[Topic, _TopicStatements]:
    by_topic: dict[Topic, list[Statement]] = {}
    for statement in statements:
        if statement.finding != "no finding":
            by_topic.setdefault(topic_of(statement), []).append(statement)
    return {topic: _sum(own) for topic, own in by_topic.items()}


def _sum(statements: Sequence[Statement]) -> _TopicStatements:
    """The strongest presence, with the sides and severities that go with it."""
    strongest = max(statements, key=lambda statement: _RANK[statement.presence])
    own = [s for s in statements if s.presence == strongest.presence]
    sides: set[str] = set()
    for statement in own:
        if statement.side:
            both = statement.side == "bilateral"
            sides.update(("left", "right") if both else (statement.side,))
    severities: frozenset[Severity] = frozenset(s.severity for s in own if s.severity)
    zones: frozenset[Zone] = frozenset(s.zone for s in own if s.zone)
    return _TopicStatements(strongest.presence, frozenset(sides), severities, zones, strongest)


def _find(topic: Topic, said: dict[Topic, _TopicStatements]) -> _TopicStatements | None:
    """The statements on a topic; a denial of all lesions or devices denies each kind."""
    own = said.get(topic)
    general = said.get(Topic(topic.finding))
    if own is None and general is not None and general.presence == "absent":
        return general
    return own


def _is_all_normal(statements: Iterable[Statement]) -> bool:
    return any(s.finding == "no finding" and s.detail is None for s in statements)


def _change(
    topic: Topic,
    old: dict[Topic, _TopicStatements],
    new: dict[Topic, _TopicStatements],
    after: Sequence[Statement],
) -> Change | None:
    before, now = _find(topic, old), _find(topic, new)
    if before is None:
        if now is None or now.presence != "present":
            return None
        return _as_change(now, "not stated", "present")
    if now is None:
        if before.presence == "absent":
            return None
        if topic.finding != "support devices":
            return _as_change(before, before.presence, "absent") if _is_all_normal(after) else None
        if topic.detail in LASTING_DEVICES:
            return None
        return _as_change(before, before.presence, "not stated")
    if before.presence != now.presence:
        stated = now if now.presence == "present" else before
        return _as_change(stated, before.presence, now.presence)
    if now.presence != "present":
        return None
    if before.severities and now.severities and before.severities != now.severities:
        return _as_change(now, _worst(before.severities), _worst(now.severities))
    if before.sides and now.sides and before.sides != now.sides:
        return _as_change(now, _side_words(before.sides), _side_words(now.sides))
    if before.zones and now.zones and before.zones != now.zones:
        return _as_change(now, _zone_words(before.zones), _zone_words(now.zones))
    if not before.severities and len(now.severities) == 1 and "moderate" not in now.severities:
        # An unstated severity counts as moderate, as in the phantoms' reports.
        return _as_change(now, "moderate", _worst(now.severities))
    return None


def _as_change(said: _TopicStatements, before: str, after: str) -> Change:
    statement = said.statement
    sides = _side_words(said.sides) if said.sides else None
    side: Side | None = sides if sides in ("left", "right", "bilateral") else None
    return Change(statement.finding, side, statement.detail, before, after)


def _worst(severities: frozenset[Severity]) -> str:
    return max(severities, key=("mild", "moderate", "severe").index)


def _side_words(sides: frozenset[str]) -> str:
    return "bilateral" if len(sides) == 2 else next(iter(sides))


def _zone_words(zones: frozenset[Zone]) -> str:
    return " and ".join(sorted(zones, key=("upper", "middle", "lower").index))
