"""The findings that the rules can write about: zones, degrees, words and denials of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pairaug.findings import Severity, Side, Zone
from pairaug.rewrite.topics import Topic

MILD_TO_SEVERE: tuple[Severity, ...] = ("mild", "moderate", "severe")
_DEGREE: dict[Severity, tuple[str, ...]] = {
    "mild": ("mild", "minimal"),
    "moderate": ("moderate",),
    "severe": ("severe", "marked"),
}
_SIZE: dict[Severity, tuple[str, ...]] = {
    "mild": ("small", "small", "trace"),
    "moderate": ("moderate",),
    "severe": ("large",),
}
_EXTENT: dict[Severity, tuple[str, ...]] = {
    "mild": ("mild", "small"),
    "moderate": ("moderate",),
    "severe": ("extensive",),
}
ADVERBS: dict[Severity, str] = {
    "mild": "mildly",
    "moderate": "moderately",
    "severe": "severely",
}
ZONE_WORDS: dict[Zone, tuple[str, ...]] = {
    "upper": ("upper lobe", "upper lung"),
    "middle": ("mid lung", "mid lung"),
    "lower": ("lower lobe", "basilar"),
}
ZONE_PLACES: dict[Zone, tuple[str, ...]] = {
    "upper": ("in the {side} upper lobe", "in the {side} upper lung zone"),
    "middle": ("in the {side} mid lung", "in the {side} mid lung zone"),
    "lower": ("in the {side} lower lobe", "at the {side} lung base"),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One finding as the rules write it.

    `plausible` is the weight for new patients, relative to other kinds. `resolves` and `appears`
    are the weights with which it resolves or appears between two images of one patient.
    """

    topic: Topic
    noun: str
    plural: str
    severity_words: dict[Severity, tuple[str, ...]] = field(default_factory=dict)
    severities: tuple[Severity, ...] = ()
    zones: tuple[Zone, ...] = ()
    is_sided: bool = False
    bilateral_fraction: float = 0.0
    is_countable: bool = False
    is_device: bool = False
    plausible: float = 1.0
    resolves: float = 1.0
    appears: float = 1.0
    denied_as: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    kind.noun: kind
    for kind in (
        Kind(
            Topic("cardiomegaly"), "cardiomegaly", "cardiomegaly", _DEGREE, MILD_TO_SEVERE,
            resolves=0.3, appears=0.4, denied_as=("cardiomegaly",),
        ),
        Kind(
            Topic("edema"), "pulmonary edema", "pulmonary edema", _DEGREE, MILD_TO_SEVERE,
            denied_as=("pulmonary edema", "edema"),
        ),
        Kind(
            Topic("pleural effusion"), "pleural effusion", "pleural effusions", _SIZE,
            MILD_TO_SEVERE, is_sided=True, bilateral_fraction=0.25, is_countable=True,
            plausible=1.4, denied_as=("pleural effusion",),
        ),
        Kind(
            Topic("pneumothorax"), "pneumothorax", "pneumothoraces", _SIZE, MILD_TO_SEVERE,
            is_sided=True, is_countable=True, denied_as=("pneumothorax",),
        ),
        Kind(
            Topic("consolidation"), "consolidation", "consolidation", _EXTENT, MILD_TO_SEVERE,
            ("upper", "middle", "lower"), is_sided=True, bilateral_fraction=0.2,
            plausible=1.4, denied_as=("focal consolidation", "consolidation"),
        ),
        Kind(
            Topic("atelectasis"), "atelectasis", "atelectasis", _DEGREE, ("mild", "moderate"),
            ("lower",), is_sided=True, bilateral_fraction=0.3, denied_as=("atelectasis",),
        ),
        Kind(
            Topic("lung lesion", "nodule"), "nodule", "nodules", zones=("upper", "middle", "lower"),
            is_sided=True, is_countable=True, resolves=0.0, appears=0.3,
            denied_as=("pulmonary nodule", "nodule"),
        ),
        Kind(
            Topic("lung lesion", "mass"), "mass", "masses", zones=("upper", "middle", "lower"),
            is_sided=True, is_countable=True, plausible=0.8, resolves=0.0, appears=0.2,
            denied_as=("lung mass", "mass"),
        ),
        Kind(
            Topic("support devices", "pacemaker"), "pacemaker", "pacemakers", is_sided=True,
            is_countable=True, is_device=True, plausible=0.6, resolves=0.15, appears=0.8,
        ),
        Kind(
            Topic("support devices", "central line"), "central venous catheter",
            "central venous catheters", is_sided=True, is_countable=True, is_device=True,
            plausible=0.6,
        ),
        Kind(
            Topic("support devices", "endotracheal tube"), "endotracheal tube",
            "endotracheal tubes", is_countable=True, is_device=True, plausible=0.6,
        ),
    )
}  # fmt: skip
KIND_OF: dict[Topic, Kind] = {kind.topic: kind for kind in KINDS.values()}

# Findings that the rules do not sample, but deny or repeat where a report has them.
OTHER_DENIALS: dict[str, str] = {
    "pneumonia": "pneumonia",
    "lung opacity": "focal opacity",
    "fracture": "acute fracture",
    "pleural other": "pleural thickening",
    "lung lesion": "pulmonary nodule or mass",
}


@dataclass(frozen=True, slots=True)
class Described:
    """A finding of a kind with side, zone and degree; None where it has none."""

    kind: Kind
    side: Side | None = None
    zone: Zone | None = None
    severity: Severity | None = None


# Kinds that hide or contradict each other on the same side.
_EXCLUSIVE = (
    {"pneumothorax", "pleural effusion"},
    {"pneumothorax", "consolidation"},
    {"nodule", "mass"},
    {"atelectasis", "pleural effusion"},
)


def excludes(one: Described, other: Described) -> bool:
    """True if the two cannot be in one report."""
    if one.kind is other.kind:
        return True
    is_same_side = one.side == other.side or "bilateral" in (one.side, other.side)
    return is_same_side and {one.kind.noun, other.kind.noun} in _EXCLUSIVE


def sample(kind: Kind, rng: Random, side: Side | None = None) -> Described:
    """A finding of `kind`; all zones and degrees are equally likely."""
    if side == "bilateral" and not kind.bilateral_fraction:
        side = None
    if kind.is_sided and side is None:
        if kind.noun == "pacemaker":
            side = "left" if rng.random() < 0.8 else "right"
        elif rng.random() < kind.bilateral_fraction:
            side = "bilateral"
        else:
            side = rng.choice(("left", "right"))
    return Described(
        kind,
        side if kind.is_sided else None,
        rng.choice(kind.zones) if kind.zones else None,
        rng.choice(kind.severities) if kind.severities else None,
    )


def sample_kind(kinds: Sequence[Kind], weights: Sequence[float], rng: Random) -> Kind:
    """One of `kinds`, sampled by weight."""
    return rng.choices(kinds, weights)[0]
