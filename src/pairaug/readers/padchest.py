"""Pairs of PadChest: images and Spanish reports of the Hospital San Juan, Alicante.

Bustos et al. 2020, Med Image Anal 66:101797 (arXiv 1901.07441): more than 160,000 images of 67,000
patients, 2009 to 2017, with 174 findings and 19 diagnoses; bimcv.cipf.es/bimcv-projects/padchest.
On request, under the PadChest Dataset Research Use Agreement, for research; it counts as
credentialed here. The reports are kept as they are: Spanish, lower case, without accents. Findings
are read from English only, so these reports are not rewritten.

One pair per image. Patients are split by hash, as the dataset has no split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pairaug.pair import Pair, Report
from pairaug.readers.identifiers import patient_key
from pairaug.readers.labels import Labels, stated_findings
from pairaug.readers.listing import one_file
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.reader import Access, Provenance
from pairaug.readers.rows import file_sha256, rows_of
from pairaug.readers.sections import unwrap
from pairaug.readers.splits import SplitFractions
from pairaug.settings import StageSettings
from pairaug.stage import RunContext

_COLUMNS = {
    "image": "ImageID",
    "folder": "ImageDir",
    "study": "StudyID",
    "patient": "PatientID",
    "view": "Projection",
    "report": "Report",
    "labels": "Labels",
}

# Finding → PadChest's terms for it. Terms of other findings, such as "kyphosis", are left out.
_TERMS = {
    "no finding": "normal",
    "enlarged cardiomediastinum": "mediastinal enlargement, superior mediastinal enlargement",
    "cardiomegaly": "cardiomegaly",
    "lung lesion": "nodule, multiple nodules, mass, pulmonary mass, lung metastasis, cavitation",
    "lung opacity": "infiltrates, increased density, alveolar pattern, interstitial pattern, "
    "ground glass pattern, reticular interstitial pattern, reticulonodular interstitial pattern, "
    "miliary opacities",
    "edema": "pulmonary edema",
    "consolidation": "consolidation",
    "pneumonia": "pneumonia, atypical pneumonia",
    "atelectasis": "atelectasis, laminar atelectasis, lobar atelectasis, segmental atelectasis, "
    "total atelectasis, round atelectasis, atelectasis basal",
    "pneumothorax": "pneumothorax, hydropneumothorax",
    "pleural effusion": "pleural effusion, loculated pleural effusion",
    "pleural other": "pleural thickening, apical pleural thickening, calcified pleural thickening, "
    "pleural plaques, calcified pleural plaques, pleural mass",
    "fracture": "fracture, rib fracture, callus rib fracture, clavicle fracture, humeral fracture, "
    "vertebral fracture",
    "support devices": "catheter, central venous catheter, reservoir central venous catheter, "
    "central venous catheter via subclavian vein, central venous catheter via jugular vein, "
    "central venous catheter via umbilical vein, endotracheal tube, tracheostomy tube, nsg tube, "
    "chest drain tube, gastrostomy tube, nephrostomy tube, ventriculoperitoneal drain tube, "
    "electrical device, pacemaker, dual chamber device, single chamber device, dai, "
    "artificial heart valve, artificial mitral heart valve, artificial aortic heart valve",
}
_FINDING_OF = {
    term: finding for finding, terms in _TERMS.items() for term in terms.split(", ") if term
}


class PadChestSource(StageSettings):
    """PadChest: one table of images and reports, and numbered folders of images."""

    access: ClassVar[Access] = "credentialed"

    layout: Literal["padchest"] = Field("padchest", description="The layout: PadChest.")
    root: Path = Field(
        description="Folder with `PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv`."
    )
    image_root: Path | None = Field(
        default=None, description="Folder of the images; without it, `read.root`."
    )
    image_folders: Literal["numbered", "none"] = Field(
        default="numbered",
        description="`numbered`: images are in the table's folders 0 to 54; `none`: all images are "
        "in one folder.",
    )
    name: str = Field(
        default="padchest", min_length=1, description="First part of every pair's id."
    )
    views: tuple[str, ...] = Field(
        default=("PA", "AP", "AP_horizontal"),
        description="Values of `Projection` to keep, case-insensitive; others are L, COSTAL and "
        "EXCLUDE. Empty: all.",
    )
    split: SplitFractions = Field(
        default_factory=SplitFractions, description="Split of patients; the dataset has none."
    )


class PadChestReader:
    """The real pairs of PadChest, in the order of its table."""

    def __init__(self, settings: PadChestSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        root = absolute(settings.root)
        self._table = one_file(
            root,
            "PADCHEST_chest_x_ray_images_labels_160K*.csv*",
            "table of images and reports",
            "it is on bimcv.cipf.es/bimcv-projects/padchest",
        )
        self._normalizer = RecordNormalizer(
            layout="padchest",
            name=settings.name,
            root=absolute(settings.image_root) if settings.image_root else root,
            fractions=settings.split,
            views=frozenset(view.lower() for view in settings.views),
        )

    def describe(self) -> Provenance:
        """PadChest's terms, with a hash of its table."""
        return Provenance(
            layout="padchest",
            name=self._settings.name,
            license="PadChest Dataset Research Use Agreement",
            access="credentialed",
            citation="Bustos et al., PadChest, Med Image Anal 66:101797 (2020)",
            hashes={self._table.name: file_sha256(self._table)},
        )

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image; other views are dropped."""
        return self._normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Raw records of the rows."""
        for number, row in rows_of(self._table, _COLUMNS):
            image = row["image"]
            yield RawRecord(
                where=f"row {number}",
                id=None if image is None else image.rpartition(".")[0] or image,
                report=Report(findings=unwrap(row["report"] or "")),
                image=None if image is None else self._image(image, row["folder"]),
                patient_id=row["patient"],
                view=row["view"],
                labels=padchest_labels(row["labels"] or ""),
                trace={"row": number, "study": row["study"]},
            )

    def _image(self, image: str, folder: str | None) -> Path:
        if self._settings.image_folders == "none" or folder is None:
            return Path(image)
        return Path(patient_key(folder), image)


def padchest_labels(records: str) -> Labels:
    """Findings stated by a `Labels` cell such as "['cardiomegaly', 'NSG tube']"."""
    terms = re.findall(r"[^\[\],'\"]+", records)
    return stated_findings((" ".join(term.lower().split()) for term in terms), _FINDING_OF)
