"""Pairs of the Indiana University chest images (Open-i), from their original XML.

Demner-Fushman et al., JAMIA 23:304 (2016); openi.nlm.nih.gov, collection "Indiana University Chest
X-rays": `NLMCXR_reports.tgz` with the XML, `NLMCXR_png.tgz` with the images. Open access, CC
BY-NC-ND 4.0 as the XML states: derived images and texts may be made, not passed on. Names and dates
are replaced by XXXX, which stays in the report as read and is removed before prompting.

All images of a study have its report. The XML does not state an image's view; the
`indiana_projections.csv` of the collection's copy on Kaggle does, and is used if present. Patients
are not stated either, so each study counts as a separate patient.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal
from xml.etree import ElementTree

from pydantic import Field

from pairaug.errors import DataError
from pairaug.pair import Pair, Report
from pairaug.readers.image_paths import near
from pairaug.readers.labels import Labels, stated_findings
from pairaug.readers.listing import IMAGE_SUFFIXES, is_passed_over
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.reader import Access, Provenance
from pairaug.readers.rows import rows_of
from pairaug.readers.sections import unwrap
from pairaug.readers.splits import SplitFractions
from pairaug.settings import StageSettings
from pairaug.stage import RunContext
from pairaug.system.regular import read_regular

_LOG = logging.getLogger(__name__)

DROP_REASONS = {"unreadable_report": "the study's XML is damaged, or is not of this layout"}

_LICENSE = "CC BY-NC-ND 4.0"
_PROJECTIONS = "indiana_projections.csv"
_MAX_BYTES = 1 << 20
"""Bytes; larger files are not a study's XML."""

# Heading of a major MeSH entry → finding; with a location if only that makes it the finding.
_FINDING_OF = {
    "normal": "no finding",
    "cardiomegaly": "cardiomegaly",
    "cardiac shadow/enlarged": "cardiomegaly",
    "mediastinum/enlarged": "enlarged cardiomediastinum",
    "mediastinum/prominent": "enlarged cardiomediastinum",
    "opacity": "lung opacity",
    "infiltrate": "lung opacity",
    "airspace disease": "lung opacity",
    "nodule/lung": "lung lesion",
    "mass/lung": "lung lesion",
    "pulmonary edema": "edema",
    "consolidation": "consolidation",
    "pneumonia": "pneumonia",
    "pulmonary atelectasis": "atelectasis",
    "pneumothorax": "pneumothorax",
    "hydropneumothorax": "pneumothorax",
    "pleural effusion": "pleural effusion",
    "thickening/pleura": "pleural other",
    "fractures, bone": "fracture",
    "catheters, indwelling": "support devices",
    "implanted medical device": "support devices",
    "medical device": "support devices",
    "tube, inserted": "support devices",
}


class OpenISource(StageSettings):
    """The Indiana University collection of Open-i: one XML file per study, and PNG images."""

    access: ClassVar[Access] = "public"

    layout: Literal["openi"] = Field("openi", description="The layout: Open-i.")
    root: Path = Field(description="Folder with the XML files, or with `ecgen-radiology`.")
    image_root: Path | None = Field(
        default=None, description="Folder of the images; without it, `read.root`."
    )
    projections: Path | None = Field(
        default=None,
        description="Table of views; without it, `indiana_projections.csv` in `read.root` if it "
        "exists.",
    )
    name: str = Field(default="openi", min_length=1, description="First part of every pair's id.")
    views: tuple[str, ...] = Field(
        default=(),
        description="Views to keep, Frontal or Lateral; needs the table of views. Empty: all.",
    )
    images: Literal["required", "optional"] = Field(
        default="required",
        description="`optional`: keep studies without an image as text-only pairs, for rewriting.",
    )
    split: SplitFractions = Field(
        default_factory=SplitFractions, description="Split of studies; the dataset has none."
    )


class OpenIReader:
    """The real pairs of Open-i, one per image, in the order of study numbers."""

    def __init__(self, settings: OpenISource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        root = absolute(settings.root)
        self._reports = root / "ecgen-radiology" if (root / "ecgen-radiology").is_dir() else root
        self._images = absolute(settings.image_root) if settings.image_root else root
        self._normalizer = RecordNormalizer(
            layout="openi",
            name=settings.name,
            root=self._images,
            fractions=settings.split,
            views=frozenset(view.lower() for view in settings.views),
            needs_image=settings.images == "required",
        )
        self._projections = absolute(settings.projections) if settings.projections else None
        if self._projections is None and (root / _PROJECTIONS).is_file():
            self._projections = root / _PROJECTIONS
        if settings.views and self._projections is None:
            raise DataError(
                f"read.views is set, but {root} has no {_PROJECTIONS} with the images' views; "
                "put it there, set read.projections, or leave read.views out"
            )

    def describe(self) -> Provenance:
        """Open-i's terms, with one hash over all XML files."""
        digest = sha256()
        for path in self._files:
            digest.update(path.read_bytes())
        return Provenance(
            layout="openi",
            name=self._settings.name,
            license=_LICENSE,
            access="public",
            citation="Demner-Fushman et al., JAMIA 23:304-310 (2016)",
            hashes={self._reports.name: digest.hexdigest()},
        )

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image; a study without images gives one, text-only or dropped."""
        return self._normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Raw records: each image of a study with its report."""
        names, views = _names_in(self._images), self._views()
        if not names:
            _LOG.warning("%s: no images, reports only", self._settings.name)
        for number, path in enumerate(self._files, 1):
            where = f"report {number}"
            study = _study(path)
            if study is None:
                # The file's number is the study's, not a patient's.
                unreadable = ("unreadable_report", where)
                yield RawRecord(where, f"CXR{path.stem}", Report(), None, drop=unreadable)
                continue
            yield from self._images_of(study, where, names, views)

    def _images_of(
        self, study: _Study, where: str, names: dict[str, Path], views: dict[str, str]
    ) -> Iterator[RawRecord]:
        images = [(image, _found(image, names)) for image in study.images]
        is_optional = self._settings.images == "optional"
        if not images or (is_optional and not any(path for _, path in images)):
            images = [("", None)]
        for number, (image, path) in enumerate(images, 1):
            if path is None and image:
                path = Path(f"{image}.png")  # the expected path
            yield RawRecord(
                where=f"{where} image {number}",
                id=image or study.id,
                report=study.report,
                image=path,
                patient_id=study.id,
                view=views.get(_kaggle_name(image)) if image else None,
                labels=study.labels,
                trace={"study": study.id},
            )

    def _views(self) -> dict[str, str]:
        """Image, by its name on Kaggle without suffix → view."""
        if self._projections is None:
            return {}
        rows = rows_of(self._projections, {"image": "filename", "view": "projection"})
        return {(row["image"] or "").split(".")[0]: row["view"] or "" for _, row in rows}

    @cached_property
    def _files(self) -> list[Path]:
        if not self._reports.is_dir():
            raise DataError(f"{self._reports} is not a folder; set read.root to Open-i's folder")
        files = [
            path
            for path in self._reports.iterdir()
            if path.suffix.lower() == ".xml" and path.is_file() and not is_passed_over(path.name)
        ]
        if not files:
            hint = near(self._reports, "*.xml") or (
                "; unpack NLMCXR_reports.tgz (openi.nlm.nih.gov) and set read.root to its folder"
            )
            raise DataError(f"{self._reports} has no XML files{hint}")
        return sorted(files, key=_numerically)


@dataclass(frozen=True, slots=True)
class _Study:
    id: str
    report: Report
    images: Sequence[str]
    labels: Labels


def _study(path: Path) -> _Study | None:
    """The study in an XML file; None if it is damaged or of another layout."""
    try:
        root = ElementTree.fromstring(read_regular(path, _MAX_BYTES))
    except (ElementTree.ParseError, OSError, ValueError, LookupError):
        return None
    own_id = root.find("uId")
    if own_id is None or not own_id.get("id"):
        return None
    texts: dict[str, list[str]] = {}
    for section in root.iter("AbstractText"):
        texts.setdefault((section.get("Label") or "").upper(), []).append(
            unwrap("".join(section.itertext()))
        )
    findings, impression = (
        "\n\n".join(filter(None, texts.get(label, []))) for label in ("FINDINGS", "IMPRESSION")
    )
    images = dict.fromkeys(image.get("id") or "" for image in root.iter("parentImage"))
    return _Study(
        id=own_id.get("id") or "",
        report=Report(findings, impression),
        images=tuple(filter(None, images)),
        labels=coded_findings([(major.text or "").strip() for major in root.iter("major")]),
    )


def coded_findings(majors: Sequence[str]) -> Labels:
    """Findings of the major MeSH entries; an indexer's "borderline" leaves a finding open."""
    labels: Labels = {}
    for major in majors:
        parts = [part.strip().lower() for part in major.split("/")]
        named = stated_findings(("/".join(parts[:2]), parts[0]), _FINDING_OF)
        for finding in named:
            is_open = "borderline" in parts[1:] and labels.get(finding) is not True
            labels[finding] = None if is_open else True
    return labels


def _names_in(folder: Path) -> dict[str, Path]:
    """Name without suffix → file, of the images in `folder` and its sub-folders."""
    names: dict[str, Path] = {}
    for inner, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not is_passed_over(name):
                # Kaggle's copy has two suffixes: 1_IM-0001-4001.dcm.png.
                names.setdefault(name.split(".")[0], Path(inner) / name)
    return names


def _found(image: str, names: dict[str, Path]) -> Path | None:
    return names.get(image) or names.get(_kaggle_name(image))


def _kaggle_name(image: str) -> str:
    """The image's name without Open-i's prefix "CXR1_"."""
    return re.sub(r"^CXR\d+_", "", image)


def _numerically(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdecimal() else 10**9, path.name)
