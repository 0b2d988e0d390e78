"""The pair, the record that every stage reads and returns, and its components.

All classes are frozen: a stage returns changed copies. `manifest.py` stores pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

FINDINGS = (
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
"""Keys of `Pair.labels`: the 14 observations of CheXpert (Irvin et al. 2019), lower case."""

SCORES = ("image_report", "image_image", "directional")
"""Keys of `Pair.scores`: three cosines in [-1, 1]."""


class Branch(StrEnum):
    """Origin of a pair."""

    REAL = "real"
    INTER = "inter"
    INTRA = "intra"


@dataclass(frozen=True, slots=True)
class Report:
    """A radiologist's text by section; a missing section is empty."""

    findings: str = ""
    impression: str = ""

    @property
    def text(self) -> str:
        """Impression, then findings, joined by one space: the paper's order."""
        sections = (self.impression.strip(), self.findings.strip())
        return " ".join(section for section in sections if section)

    def text_of(self, section: str) -> str:
        """Text of "impression" or "findings", or of the other if empty; any other `section`: both.

        So every non-empty report has a text to train on.
        """
        impression, findings = self.impression.strip(), self.findings.strip()
        match section:
            case "impression":
                return impression or findings
            case "findings":
                return findings or impression
            case _:
                return self.text


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A reference to an image, never its pixels: an absolute `path`, or the `png` bytes themselves.

    Images on disk have a path; phantoms and synthetic images, which have no file, carry bytes.
    """

    path: str | None = None
    png: bytes | None = field(default=None, repr=False)
    sha256: str | None = None
    height: int | None = None
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """A drop of a pair: the stage, a reason from a fixed list, and details such as measurements.

    `detail` never contains report text or a patient's id.
    """

    stage: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """One image with its report, and their origin.

    A missing label or score means the same as None: not stated, not scored.
    """

    id: str
    branch: Branch
    patient_id: str
    report: Report
    split: str = "train"
    parent_id: str | None = None
    source_patient_id: str | None = None
    source_report: str | None = None
    """For a child: the text that its report was rewritten from, after cleaning and shortening."""
    image: ImageRef | None = None
    labels: Mapping[str, bool | None] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    image_embedding: tuple[float, ...] | None = field(default=None, repr=False)
    report_embedding: tuple[float, ...] | None = field(default=None, repr=False)
    source_report_embedding: tuple[float, ...] | None = field(default=None, repr=False)
    trace: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drop: Drop | None = None

    def child(
        self,
        name: str,
        *,
        branch: Branch,
        report: Report,
        source_report: str,
        patient_id: str | None = None,
        **changes: Any,
    ) -> Pair:
        """A new pair made from this one, with id `<id>~<name>`, in the same split, without image.

        `source_report` is the text that `report` was rewritten from, usually a part of this pair's
        report. Without `patient_id`, an intra child has this pair's patient, and an inter child is
        a new patient with the child's id.
        """
        child_id = f"{self.id}~{name}"
        own_patient = child_id if branch is Branch.INTER else self.patient_id
        return Pair(
            id=child_id,
            branch=branch,
            patient_id=patient_id or own_patient,
            report=report,
            split=self.split,
            parent_id=self.id,
            source_patient_id=self.source_patient_id or self.patient_id,
            source_report=source_report,
            **changes,
        )

    def with_image(self, image: ImageRef) -> Pair:
        """This pair with another image."""
        return replace(self, image=image)

    def with_scores(self, **scores: float | None) -> Pair:
        """This pair with scores added or replaced."""
        return replace(self, scores={**self.scores, **scores})

    def with_embeddings(
        self,
        *,
        image: Iterable[float] | None = None,
        report: Iterable[float] | None = None,
        source_report: Iterable[float] | None = None,
    ) -> Pair:
        """This pair with the given embeddings, stored as float32; the others are unchanged."""
        return replace(
            self,
            image_embedding=self.image_embedding if image is None else _floats(image),
            report_embedding=self.report_embedding if report is None else _floats(report),
            source_report_embedding=(
                self.source_report_embedding if source_report is None else _floats(source_report)
            ),
        )

    def with_trace(self, stage: str, **entries: Any) -> Pair:
        """This pair with `entries` (plain JSON values) added to its trace of `stage`."""
        return replace(self, trace={**self.trace, stage: {**self.trace.get(stage, {}), **entries}})

    def dropped(self, stage: str, reason: str, detail: str = "") -> Pair:
        """This pair, marked as dropped by `stage`."""
        return replace(self, drop=Drop(stage, reason, detail))


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
