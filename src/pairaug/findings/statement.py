"""A report's statement about one finding, and the vocabulary of findings.

`extract.py` reads statements from text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Presence = Literal["present", "absent", "uncertain"]
Side = Literal["left", "right", "bilateral"]
Severity = Literal["mild", "moderate", "severe"]
Zone = Literal["upper", "middle", "lower"]

# The fourteen observations of CheXpert (Irvin et al. 2019), in lower case.
FINDINGS: tuple[str, ...] = (
    "no finding",
    "enlarged cardiomediastinum",
    "cardiomegaly",
    "lung lesion",
    "lung opacity",
    "edema",
    "consolidation",
    "pneumonia",
    "atelectasis",
    "pneumothorax",
    "pleural effusion",
    "pleural other",
    "fracture",
    "support devices",
)

# Findings of the whole heart or of both lungs: a side next to them belongs to something else.
WITHOUT_SIDE = frozenset({"cardiomegaly", "enlarged cardiomediastinum", "edema", "no finding"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One finding that a report states, denies or leaves open.

    `detail` is the kind within the finding ("nodule", "pacemaker"), where the text names one.
    `start` and `end` are the half-open character range of the phrase. `implied` is True if it
    follows from a general remark: "the lungs are clear" denies edema without naming it.
    """

    finding: str
    presence: Presence
    side: Side | None = None
    severity: Severity | None = None
    zone: Zone | None = None
    detail: str | None = None
    start: int = 0
    end: int = 0
    implied: bool = False


def labels_of(statements: Iterable[Statement]) -> dict[str, bool | None]:
    """Each of `FINDINGS` mapped to stated (True), denied (False), or open or not stated (None).

    With several statements about one finding, present outweighs uncertain, which outweighs absent:
    "no left effusion; small right effusion" states an effusion. "no finding" is True if there are
    statements and none but those of devices is present or uncertain.
    """
    rank = {"absent": 1, "uncertain": 2, "present": 3}
    strongest = dict.fromkeys(FINDINGS, 0)
    for statement in statements:
        finding = statement.finding
        strongest[finding] = max(strongest[finding], rank[statement.presence])
    labels: dict[str, bool | None] = {
        finding: {0: None, 1: False, 2: None, 3: True}[value]
        for finding, value in strongest.items()
    }
    abnormal = [
        value
        for finding, value in strongest.items()
        if finding not in ("no finding", "support devices")
    ]
    if not any(strongest.values()):
        labels["no finding"] = None
    elif 3 in abnormal:
        labels["no finding"] = False
    else:
        labels["no finding"] = None if 2 in abnormal else True
    return labels
