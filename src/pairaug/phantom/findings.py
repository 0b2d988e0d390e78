"""The findings that a phantom can have, their probabilities, and their label vector.

`render.py` has the appearance of each finding, `describe.py` the words for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pairaug.findings.statement import Severity, Zone

PhantomSide = Literal["left", "right"]

SIDES: tuple[PhantomSide, ...] = ("left", "right")
ZONES: tuple[Zone, ...] = ("upper", "middle", "lower")
SEVERITIES: tuple[Severity, ...] = ("mild", "moderate", "severe")


@dataclass(frozen=True, slots=True, order=True)
class PhantomKind:
    """The possible sides, zones and severities of one kind of finding, and its probability.

    `chance` is the probability per patient, or per side for a kind that has sides.
    """

    name: str
    chance: float
    has_side: bool = False
    zones: tuple[Zone, ...] = ()
    severities: tuple[Severity, ...] = ()
    is_device: bool = False


KINDS: dict[str, PhantomKind] = {
    kind.name: kind
    for kind in (
        PhantomKind("cardiomegaly", 0.26, severities=SEVERITIES),
        PhantomKind("edema", 0.16, severities=SEVERITIES),
        PhantomKind("pleural effusion", 0.20, has_side=True, severities=SEVERITIES),
        PhantomKind("pneumothorax", 0.10, has_side=True, severities=SEVERITIES),
        PhantomKind("consolidation", 0.15, has_side=True, zones=ZONES, severities=SEVERITIES),
        PhantomKind(
            "atelectasis", 0.12, has_side=True, zones=("lower",), severities=SEVERITIES[:2]
        ),
        PhantomKind("nodule", 0.07, has_side=True, zones=ZONES),
        PhantomKind("mass", 0.05, has_side=True, zones=ZONES),
        PhantomKind("pacemaker", 0.12, has_side=True, is_device=True),
        PhantomKind("central line", 0.08, has_side=True, is_device=True),
        PhantomKind("endotracheal tube", 0.12, is_device=True),
    )
}

# Kinds that exclude each other on one side: the later one is left out.
EXCLUSIVE = (
    ("pneumothorax", "pleural effusion"),
    ("pneumothorax", "consolidation"),
    ("nodule", "mass"),
    ("atelectasis", "pleural effusion"),
)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding of a phantom; `side` is the patient's, so "left" is at the right of the image."""

    kind: str
    side: PhantomSide | None = None
    zone: Zone | None = None
    severity: Severity | None = None

    def __post_init__(self) -> None:
        kind = KINDS[self.kind]
        assert (self.side is not None) == kind.has_side, self
        assert self.zone in (kind.zones or (None,)), self
        assert self.severity in (kind.severities or (None,)), self

    @property
    def label(self) -> str:
        """The label in `LABELS` for this finding."""
        name = "lung lesion" if self.kind in ("nodule", "mass") else self.kind
        return name if self.side is None or KINDS[self.kind].is_device else f"{self.side} {name}"


# The outputs of the bundled findings classifier, in order.
LABELS: tuple[str, ...] = (
    "cardiomegaly",
    "edema",
    "left pleural effusion",
    "right pleural effusion",
    "left pneumothorax",
    "right pneumothorax",
    "left consolidation",
    "right consolidation",
    "left atelectasis",
    "right atelectasis",
    "left lung lesion",
    "right lung lesion",
    "pacemaker",
    "central line",
    "endotracheal tube",
)


def label_vector(findings: Iterable[Finding]) -> np.ndarray:
    """float32 of shape (15,): 1 where a label of `LABELS` is present."""
    present = {finding.label for finding in findings}
    return np.array([label in present for label in LABELS], dtype=np.float32)


def sample_findings(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Findings of one study, sampled per kind and side; about one study in ten has none."""
    sampled: list[Finding] = []
    for kind in KINDS.values():
        # At most one device of a kind: the side is sampled.
        sides: tuple[PhantomSide | None, ...] = (None,)
        if kind.is_device and kind.has_side:
            sides = (
                "left" if rng.random() < (0.8 if kind.name == "pacemaker" else 0.35) else "right",
            )
        elif kind.has_side:
            sides = SIDES
        for side in sides:
            # Sample even if unused, so that one kind's probability never shifts another's samples.
            chance, zone, severity = rng.random(3)
            if chance >= kind.chance:
                continue
            finding = Finding(
                kind.name,
                side,
                kind.zones[int(zone * len(kind.zones))] if kind.zones else None,
                kind.severities[int(severity * len(kind.severities))] if kind.severities else None,
            )
            if not any(_excludes(finding, other) for other in sampled):
                sampled.append(finding)
    return tuple(sampled)


def _excludes(one: Finding, other: Finding) -> bool:
    names = {one.kind, other.kind}
    return one.side == other.side and any(names == set(pair) for pair in EXCLUSIVE)
