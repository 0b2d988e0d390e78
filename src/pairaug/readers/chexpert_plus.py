"""Pairs of CheXpert Plus: Stanford's CheXpert images with their reports.

Chambon et al. 2024, arXiv 2405.19538: 223,228 images, 187,711 reports, 64,725 patients;
aimi.stanford.edu/datasets/chexpert-plus. For research, under the Stanford University School of
Medicine's research use agreement, which each user accepts and which forbids passing the data on; it
counts as credentialed here. The reports' sections and the split (train, valid) are columns of
`df_chexpert_plus_240401.csv`; CheXbert's labels are JSON lines in `chexbert_labels`.

One pair for each image.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pydantic import Field

from pairaug.errors import DataError
from pairaug.pair import Pair
from pairaug.readers.labels import CHEXPERT_COLUMNS, chexpert_labels, pack, unpack
from pairaug.readers.listing import one_file
from pairaug.readers.lookup import Lookup
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.opened import open_lines
from pairaug.readers.reader import Access, Provenance
from pairaug.readers.rows import Row, file_sha256, json_objects, rows_of
from pairaug.readers.sections import SectionChoice, report_of
from pairaug.readers.splits import SPLIT_NAMES, SplitFractions
from pairaug.settings import StageSettings
from pairaug.stage import RunContext

_LOG = logging.getLogger(__name__)

_COLUMNS = {
    "image": "path_to_image",
    "patient": "deid_patient_id",
    "direction": "frontal_lateral",
    "view": "ap_pa",
    "findings": "section_findings",
    "impression": "section_impression",
    "split": "split",
}


class CheXpertPlusSource(StageSettings):
    """CheXpert Plus: one table of images and reports, and a tree of images."""

    access: ClassVar[Access] = "credentialed"

    layout: Literal["chexpert-plus"] = Field(
        "chexpert-plus", description="The layout: CheXpert Plus."
    )
    root: Path = Field(description="Folder with `df_chexpert_plus_240401.csv`.")
    image_root: Path | None = Field(
        default=None,
        description="Folder with the images in `train` and `valid`. Without it: `PNG` in "
        "`read.root` if it exists, else `read.root`.",
    )
    image_suffix: Literal[".png", ".jpg", ".dcm"] = Field(
        default=".png", description="Suffix of the image files; replaces the table's."
    )
    name: str = Field(
        default="chexpert-plus", min_length=1, description="First part of every pair's id."
    )
    views: tuple[str, ...] = Field(
        default=("PA", "AP"),
        description="Views to keep: PA, AP, Frontal (neither PA nor AP stated) or Lateral. None "
        "named: all.",
    )
    text: SectionChoice = Field(
        default="impression+findings",
        description="Report sections to read; an image without them is dropped.",
    )
    labels: Literal["report", "impression", "findings", "none"] = Field(
        default="report",
        description="Text labeled by CheXbert, for labels from `chexbert_labels` if it exists.",
    )


class CheXpertPlusReader:
    """The real pairs of CheXpert Plus, in the order of its table."""

    def __init__(self, settings: CheXpertPlusSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        root = absolute(settings.root)
        self._table = one_file(
            root,
            "df_chexpert_plus_*.csv*",
            "table of images and reports",
            "it is on aimi.stanford.edu/datasets/chexpert-plus",
        )
        labels = root / "chexbert_labels" / f"{settings.labels}_fixed.json"
        self._labels = labels if labels.is_file() else None
        self._normalizer = RecordNormalizer(
            layout="chexpert-plus",
            name=settings.name,
            root=absolute(settings.image_root) if settings.image_root else _images_in(root),
            fractions=SplitFractions(),
            views=frozenset(view.lower() for view in settings.views),
        )

    def describe(self) -> Provenance:
        """Stanford's terms, with the hashes of the table and the labels."""
        files = [path for path in (self._table, self._labels) if path]
        return Provenance(
            layout="chexpert-plus",
            name=self._settings.name,
            license="Stanford University School of Medicine research use agreement",
            access="credentialed",
            citation="Chambon et al., CheXpert Plus, arXiv 2405.19538",
            hashes={path.name: file_sha256(path) for path in files},
        )

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image; other views and images without the sections are dropped."""
        return self._normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Each row with its labels."""
        if self._labels is None and self._settings.labels != "none":
            _LOG.warning("%s: no chexbert_labels, so no labels", self._settings.name)
        labels = Lookup(self._label_rows())
        for number, row in rows_of(self._table, _COLUMNS):
            image = row["image"]
            path = None if image is None else PurePosixPath(image)
            sections = {key: row[key] or "" for key in ("findings", "impression")}
            yield RawRecord(
                where=f"row {number}",
                id=None if path is None else path.with_suffix("").as_posix(),
                report=report_of(sections, self._settings.text),
                image=None if path is None else Path(path.with_suffix(self._settings.image_suffix)),
                patient_id=row["patient"] or (None if path is None else _patient_in(path)),
                view=_view(row),
                split=SPLIT_NAMES.get((row["split"] or "").lower()),
                labels=unpack((labels.get(image) if image and self._labels else None) or 0),
                trace={"row": number, "study": None if path is None else path.parent.as_posix()},
            )

    def _label_rows(self) -> Iterator[tuple[str, int]]:
        if self._labels is None:
            return
        with open_lines(self._labels, "utf-8") as lines:
            for number, row in json_objects(self._labels, lines):
                where = f"{self._labels}: line {number}"
                image = row.get("path_to_image")
                if not isinstance(image, str):
                    raise DataError(f"{where} is not a JSON object with path_to_image")
                stated = {key: row.get(column) for key, column in CHEXPERT_COLUMNS.items()}
                yield image, pack(chexpert_labels(stated, where))


def _view(row: Row) -> str | None:
    direction = row["direction"] or ""
    return row["view"] or direction if direction.lower() == "frontal" else direction or None


def _patient_in(path: PurePosixPath) -> str | None:
    return next((part for part in path.parts if part.startswith("patient")), None)


def _images_in(root: Path) -> Path:
    """Folder of images: the archive PNG.zip unpacks to PNG, or to PNG in PNG."""
    for folder in (root / "PNG" / "PNG", root / "PNG"):
        if folder.is_dir():
            return folder
    return root
