"""The right answer to an edit: the findings that a changed report asks for, and the image of them.

Only phantoms have one, since the same patient can be sampled with other findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pairaug.findings import Statement, extract
from pairaug.phantom.findings import (
    EXCLUSIVE,
    KINDS,
    SIDES,
    Finding,
    PhantomKind,
    PhantomSide,
    Severity,
    Zone,
)
from pairaug.phantom.render import RenderedImage, render
from pairaug.phantom.study import Study

# The findings of a report as kinds of phantom findings. No image tells pneumonia or an unnamed
# opacity from consolidation.
_KINDS_OF: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("cardiomegaly",),
    "edema": ("edema",),
    "pleural effusion": ("pleural effusion",),
    "pneumothorax": ("pneumothorax",),
    "consolidation": ("consolidation",),
    "pneumonia": ("consolidation",),
    "lung opacity": ("consolidation",),
    "atelectasis": ("atelectasis",),
    "lung lesion": ("nodule", "mass"),
    "support devices": ("pacemaker", "central line", "endotracheal tube"),
}
_FINDING_OF = {
    kind: finding
    for finding, kinds in _KINDS_OF.items()
    for kind in kinds
    if finding not in ("pneumonia", "lung opacity")
}


@dataclass(frozen=True, slots=True)
class _Stated:
    """What one report says of one kind: on which sides it is present, denied or left open."""

    present: frozenset[PhantomSide | None]
    denied: frozenset[PhantomSide | None]
    left_open: frozenset[PhantomSide | None]
    statements: tuple[Statement, ...]

    def severities(self, side: PhantomSide | None) -> list[Severity]:
        return [s.severity for s in self.statements if s.severity and _is_of(s, side)]

    def zones(self, side: PhantomSide | None) -> list[Zone]:
        return [s.zone for s in self.statements if s.zone and _is_of(s, side)]


def true_labels(findings: Iterable[Finding]) -> dict[str, bool]:
    """CheXpert's names mapped to present or not; names that phantoms do not model are left out.

    "no finding" holds where nothing but devices is present.
    """
    present = {_FINDING_OF[finding.kind] for finding in findings}
    labels = {"no finding": present <= {"support devices"}}
    return labels | {name: name in present for name in dict.fromkeys(_FINDING_OF.values())}


def changed_findings(
    findings: Sequence[Finding],
    before: Sequence[Statement],
    after: Sequence[Statement],
    seed: int = 0,
) -> tuple[Finding, ...]:
    """A phantom's findings after the change that its report makes from `before` to `after`.

    What only `after` states is added. What `after` denies, or states no longer, is taken away. A
    severity or zone that only `after` gives replaces the old one. All else stays, so equal
    statements change nothing. An addition's unstated side and zone are sampled from `seed`, the
    patient's; its unstated severity is moderate, as in the phantoms' own reports.
    """
    changed: list[Finding] = []
    for place, kind in enumerate(KINDS.values()):
        current: dict[PhantomSide | None, Finding] = {
            finding.side: finding for finding in findings if finding.kind == kind.name
        }
        rng = np.random.default_rng([seed, place])
        sampled_side = SIDES[int(rng.integers(2))] if kind.has_side else None
        sampled_zone = kind.zones[int(rng.integers(len(kind.zones)))] if kind.zones else None
        usual: tuple[PhantomSide | None, ...] = tuple(current) or (sampled_side,)
        kinds = {finding.kind for finding in findings}
        old, new = (_stated(kind, statements, usual, kinds) for statements in (before, after))
        for side in SIDES if kind.has_side else (None,):
            if side in current:
                if not _is_gone(side, old, new):
                    changed.append(_alter(current[side], old, new))
            elif side in new.present - old.present:
                changed.append(_add(kind, side, new, sampled_zone))
    return tuple(changed)


def counterfactual_findings(study: Study, before: str, after: str) -> tuple[Finding, ...]:
    """`changed_findings` of a study, from the texts of its report and of the changed one."""
    return changed_findings(study.findings, extract(before), extract(after), study.anatomy.seed)


def counterfactual(study: Study, before: str, after: str, size: int = 128) -> RenderedImage:
    """The image that the changed report `after` describes: the same patient, other findings."""
    return render(study.anatomy, counterfactual_findings(study, before, after), size)


def is_drawable(findings: Sequence[Finding]) -> bool:
    """False where two findings exclude each other on a side, so that no image shows both."""
    kinds = {(finding.kind, finding.side) for finding in findings}
    return not any(
        (one, side) in kinds and (other, side) in kinds
        for one, other in EXCLUSIVE
        for side in SIDES
    )


def foreign_changes(before: Iterable[Statement], after: Iterable[Statement]) -> set[str]:
    """Names of findings that phantoms do not model and that only one of the two reports states."""
    return _foreign(before) ^ _foreign(after)


def _foreign(statements: Iterable[Statement]) -> set[str]:
    return {
        statement.detail or statement.finding
        for statement in statements
        if statement.presence == "present"
        and statement.finding != "no finding"
        and not _kinds_of(statement)
    }


def _kinds_of(statement: Statement) -> tuple[str, ...]:
    """The kinds that a statement may be about: all of its finding unless it names one."""
    kinds = _KINDS_OF.get(statement.finding, ())
    if statement.detail in kinds:
        return (statement.detail,)
    if statement.finding == "support devices" and (
        statement.detail or statement.presence == "present"
    ):
        return ()  # a device that phantoms do not have, or one that nobody names
    return kinds


def _stated(
    kind: PhantomKind,
    statements: Sequence[Statement],
    usual: tuple[PhantomSide | None, ...],
    present: set[str],
) -> _Stated:
    """What `statements` say of `kind`; a statement without side is about the `usual` ones."""
    own = [s for s in statements if kind.name in _kinds_of(s) and _is_meant(kind, s, present)]
    sides: dict[str, set[PhantomSide | None]] = {
        "present": set(),
        "absent": set(),
        "uncertain": set(),
    }
    for statement in own:
        if kind.has_side and statement.side is not None:
            sides[statement.presence].update(_sides(statement))
    for presence in sides:
        # "Pleural effusion." beside "small left pleural effusion" is no second effusion.
        if any(s.presence == presence for s in own) and not sides[presence]:
            sides[presence].update(SIDES if presence == "absent" and kind.has_side else usual)
    return _Stated(
        frozenset(sides["present"]),
        frozenset(sides["absent"] - sides["present"]),
        frozenset(sides["uncertain"] - sides["present"]),
        tuple(s for s in own if s.presence == "present"),
    )


def _is_meant(kind: PhantomKind, statement: Statement, present: set[str]) -> bool:
    """False for the one of nodule and mass that an unnamed lesion is not."""
    kinds = _kinds_of(statement)
    if statement.finding != "lung lesion" or len(kinds) == 1 or statement.presence == "absent":
        return True
    meant = [name for name in kinds if name in present] or ["nodule"]
    return kind.name in meant


def _sides(statement: Statement) -> tuple[PhantomSide, ...]:
    return SIDES if statement.side == "bilateral" else (statement.side,) if statement.side else ()


def _is_of(statement: Statement, side: PhantomSide | None) -> bool:
    return side is None or statement.side is None or side in _sides(statement)


def _is_gone(side: PhantomSide | None, old: _Stated, new: _Stated) -> bool:
    if side in new.present or side in new.left_open:
        return False
    return side in old.present or side in new.denied - old.denied


def _alter(finding: Finding, old: _Stated, new: _Stated) -> Finding:
    """`finding` with the severity and zone that only the new report gives."""
    severity, zone = finding.severity, finding.zone
    known = old.severities(finding.side)
    fresh: list[Severity] = [word for word in new.severities(finding.side) if word not in known]
    if severity and fresh:
        severity = _nearest(fresh[0], KINDS[finding.kind])
    places = new.zones(finding.side)
    moved: list[Zone] = [place for place in places if place not in old.zones(finding.side)]
    if zone and moved and zone not in places and moved[0] in KINDS[finding.kind].zones:
        zone = moved[0]
    return Finding(finding.kind, finding.side, zone, severity)


def _add(
    kind: PhantomKind, side: PhantomSide | None, new: _Stated, sampled_zone: Zone | None
) -> Finding:
    severity: Severity | None = None
    zone: Zone | None = None
    if kind.severities:
        given = new.severities(side)
        severity = _nearest(given[0] if given else "moderate", kind)
    if kind.zones:
        places: list[Zone] = [place for place in new.zones(side) if place in kind.zones]
        zone = places[0] if places else sampled_zone
    return Finding(kind.name, side, zone, severity)


def _nearest(severity: Severity, kind: PhantomKind) -> Severity:
    """`severity`, or the gravest that phantoms of this kind have."""
    return severity if severity in kind.severities else kind.severities[-1]
