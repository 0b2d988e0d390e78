"""Side, zone and severity of each finding in a sentence.

Location words belong to the finding after them, back to the previous finding, and to the finding
before them, up to the next join.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pairaug.findings.presence import Mention
from pairaug.findings.scope import Term, Token
from pairaug.findings.statement import WITHOUT_SIDE, Severity, Side, Statement, Zone

# "Layering at the base" describes an effusion, and does not locate it.
_WITHOUT_ZONE = WITHOUT_SIDE | {"support devices", "fracture", "pleural effusion"}
# Devices that lie in the midline.
_MIDLINE = frozenset({"endotracheal tube", "tracheostomy", "enteric tube", "wires", "valve"})


@dataclass(slots=True)
class Group:
    """Side, zone and severity words between two joins."""

    side: Side | None = None
    zone: Zone | None = None
    severity: Severity | None = None

    def take(self, term: Term) -> None:
        """Adds the location in `term`; earlier values are kept."""
        self.side = self.side or term.side
        self.zone = self.zone or term.zone
        self.severity = self.severity or term.severity


def locations_of(tokens: list[Token], mentions: list[Mention], lower: int = 0) -> list[list[Group]]:
    """For each finding, its groups of location and severity words, from term `lower` on."""
    found: list[list[Group]] = [[] for _ in mentions]
    linked = [False] * len(mentions)  # True: may have the side of the finding before
    for number, mention in enumerate(mentions):
        groups, has_break = _groups(tokens[lower : mention.index])
        if number and not has_break:
            # Up to the first join, words after a finding still belong to it.
            found[number - 1] += [group for group in groups[0] if _says(group)]
            own = groups[1:]
            is_bare = len(own) == 1 and not any(_says(group) for group in own[0])
            linked[number] = is_bare and _are_partners(tokens, mentions[number - 1], mention)
        else:
            if number and groups:
                found[number - 1] += [group for group in groups[0] if _says(group)]
                groups = groups[-1:]
            own = groups
        found[number] = [group for some in own for group in some if _says(group)]
        lower = mention.end
    groups, _ = _groups(tokens[lower:], stop_at_break=True)
    if mentions:
        found[-1] += [group for some in groups for group in some if _says(group)]
    _share_sides(found, linked, mentions)
    return found


def _are_partners(tokens: list[Token], one: Mention, other: Mention) -> bool:
    """True if two findings may have one side: joined by "and" or "with", not by a comma."""
    joins = [t.term.name for t in tokens[one.index : other.index] if t.term.role == "join"]
    is_device = [mention.token.term.name == "support devices" for mention in (one, other)]
    return "," not in joins and is_device[0] == is_device[1]


def _says(group: Group) -> bool:
    return bool(group.side or group.zone or group.severity)


def _groups(tokens: list[Token], stop_at_break: bool = False) -> tuple[list[list[Group]], bool]:
    """Location words of a range of terms, split at its joins; and True if it has a break."""
    stretches: list[list[Group]] = [[Group()]]
    has_break = False
    for token in tokens:
        role = token.term.role
        if role == "location":
            stretches[-1][-1].take(token.term)
        elif token.term.name == "none":
            break  # "left effusion, none on the right"
        elif role == "join":
            stretches.append([Group()])
        elif role == "break" and token.term.name == "present":
            continue  # "is present in the left base"
        elif role in ("break", "anatomy") and stop_at_break:
            return stretches, True
        elif role == "break":
            has_break = True
            stretches.append([Group()])
    return stretches, has_break


def _share_sides(found: list[list[Group]], linked: list[bool], mentions: list[Mention]) -> None:
    """Gives a finding without a side that of its partner: "left effusion and atelectasis"."""
    for number in range(1, len(mentions)):
        if not linked[number]:
            continue
        earlier, later = found[number - 1], found[number]
        if not later and earlier:
            side = earlier[0].side
            found[number] = [Group(side=side)] if side else []
        elif later and not earlier:
            found[number - 1] = [Group(side=group.side, zone=group.zone) for group in later]


def statements_of(mention: Mention, groups: list[Group]) -> list[Statement]:
    """One statement, or one per group if they differ in side or zone."""
    term = mention.token.term
    has_side = term.name not in WITHOUT_SIDE and term.detail not in _MIDLINE
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
    for group in _complete(groups):
        statement = replace(
            base,
            side=group.side if has_side else None,
            zone=None if term.name in _WITHOUT_ZONE else group.zone,
            severity=group.severity,
        )
        if statement not in made:
            made.append(statement)
    return _merge(made) if made else [base]


def _complete(groups: list[Group]) -> list[Group]:
    """The groups with side, zone and severity completed from their neighbours.

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


def _merge(statements: list[Statement]) -> list[Statement]:
    """Merges a left and a right statement that are otherwise equal into a bilateral one."""
    if len(statements) == 2 and {s.side for s in statements} == {"left", "right"}:
        one, other = statements
        if replace(one, side=None) == replace(other, side=None):
            return [replace(one, side="bilateral")]
    return statements
