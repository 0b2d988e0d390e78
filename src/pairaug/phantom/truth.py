"""The true counterfactual of an edit: the findings of the changed report, and their image.

Only phantoms have one, since the same patient can be rendered with other findings.
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

# The findings of a report as kinds of phantom findings. On an image, pneumonia and an unnamed
# opacity look like consolidation.
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
    """The sides on which one report states, denies or leaves open one kind of finding."""

    present: frozenset[PhantomSide | None]
    denied: frozenset[PhantomSide | None]
    left_open: frozenset[PhantomSide | None]
    statements: tuple[Statement, ...]

    def severities(self, side: PhantomSide | None) -> list[Severity]:
        return [s.severity for s in self.statements if s.severity and _is_of(s, side)]

    def zones(self, side: PhantomSide | None) -> list[Zone]:
        return [s.zone for s in self.statements if s.zone and _is_of(s, side)]


def true_labels(findings: Iterable[Finding]) -> dict[str, bool]:
    """CheXpert's names → present; names that phantoms do not model are left out.

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

    A finding that only `after` states is added. A finding that `after` denies, or no longer states,
    is removed. A severity or zone that only `after` gives replaces the old one. Everything else
    stays, so equal statements change nothing. If a new finding has no side or zone, these are
    sampled with `seed`, the patient's seed; an unstated severity is moderate, as in the phantoms'
    reports.
    """
    changed: list[Finding] = []
    for index, kind in enumerate(KINDS.values()):
        current: dict[PhantomSide | None, Finding] = {
            finding.side: finding for finding in findings if finding.kind == kind.name
        }
        rng = np.random.default_rng([seed, index])
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
    """`changed_findings` of a study, from the texts of its report and the changed report."""
    return changed_findings(study.findings, extract(before), extract(after), study.anatomy.seed)


def counterfactual(study: Study, before: str, after: str, size: int = 128) -> RenderedImage:
    """The image of the same patient with the findings of the changed report `after`."""
    return render(study.anatomy, counterfactual_findings(study, before, after), size)


def is_drawable(findings: Sequence[Finding]) -> bool:
    """False if two findings exclude each other on a side, so that no image can show both."""
    kinds = {(finding.kind, finding.side) for finding in findings}
    return not any(
        (one, side) in kinds and (other, side) in kinds
        for one, other in EXCLUSIVE
        for side in SIDES
    )


def foreign_changes(before: Iterable[Statement], after: Iterable[Statement]) -> set[str]:
    """Names of findings that phantoms do not model and only one of the two reports states."""
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
    """The kinds that a statement can refer to: all kinds of its finding unless it names one."""
    kinds = _KINDS_OF.get(statement.finding, ())
    if statement.detail in kinds:
        return (statement.detail,)
    if statement.finding == "support devices" and (
        statement.detail or statement.presence == "present"
    ):
        return ()  # a device that phantoms do not have, or an unnamed device
    return kinds


def _stated(
    kind: PhantomKind,
    statements: Sequence[Statement],
    usual: tuple[PhantomSide | None, ...],
    present: set[str],
) -> _Stated:
    """What `statements` say of `kind`; a statement without a side refers to the `usual` sides."""
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
        # "Pleural effusion." beside "small left pleural effusion" is the same effusion.
        if any(s.presence == presence for s in own) and not sides[presence]:
            sides[presence].update(SIDES if presence == "absent" and kind.has_side else usual)
    return _Stated(
        frozenset(sides["present"]),
        frozenset(sides["absent"] - sides["present"]),
        frozenset(sides["uncertain"] - sides["present"]),
        tuple(s for s in own if s.presence == "present"),
    )


def _is_meant(kind: PhantomKind, statement: Statement, present: set[str]) -> bool:
    """False if an unnamed lesion refers to the other one of nodule and mass."""
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
    """`finding` with the severity and zone that only the new report states."""
    severity, zone = finding.severity, finding.zone
    known = old.severities(finding.side)
    fresh: list[Severity] = [word for word in new.severities(finding.side) if word not in known]
    if severity and fresh:
        severity = _nearest(fresh[0], KINDS[finding.kind])
    zones = new.zones(finding.side)
    moved: list[Zone] = [each for each in zones if each not in old.zones(finding.side)]
    if zone and moved and zone not in zones and moved[0] in KINDS[finding.kind].zones:
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
        zones: list[Zone] = [each for each in new.zones(side) if each in kind.zones]
        zone = zones[0] if zones else sampled_zone
    return Finding(kind.name, side, zone, severity)


def _nearest(severity: Severity, kind: PhantomKind) -> Severity:
    """`severity`, or the gravest that phantoms of this kind have."""
    return severity if severity in kind.severities else kind.severities[-1]
