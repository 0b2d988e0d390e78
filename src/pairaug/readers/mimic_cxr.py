"""Pairs of MIMIC-CXR-JPG, or of MIMIC-CXR's DICOM images, with the reports of MIMIC-CXR.

Beth Israel Deaconess Medical Center, 2011 to 2016: 377,110 images of 227,835 studies of 65,379
patients (Johnson et al. 2019, Sci Data 6:317). Images and labels: physionet.org/content/
mimic-cxr-jpg; reports: physionet.org/content/mimic-cxr, `mimic-cxr-reports.zip`. Both need a
credentialed PhysioNet account and a signed data use agreement, which forbids passing them on, to a
language model's provider too. Splits, views and labels are the dataset's own.

One pair for each image; the study's report is that of all its images.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pairaug.errors import DataError
from pairaug.pair import Pair, Report
from pairaug.readers.identifiers import whole_number
from pairaug.readers.labels import CHEXPERT_COLUMNS, chexpert_labels, pack, unpack
from pairaug.readers.listing import UnusableReportError, one_file, read_text
from pairaug.readers.lookup import Lookup
from pairaug.readers.mimic_studies import RANGE_OF, SECTION_OF
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.reader import Access, Provenance
from pairaug.readers.rows import Row, file_sha256, rows_of
from pairaug.readers.sections import SectionChoice, Sections, report_of, split_sections
from pairaug.readers.splits import SPLIT_NAMES, Split, SplitFractions
from pairaug.settings import StageSettings
from pairaug.stage import RunContext

_METADATA = {
    "image": "dicom_id",
    "patient": "subject_id",
    "study": "study_id",
    "view": "ViewPosition",
}
_SPLIT = {"patient": "subject_id", "split": "split"}
_SECTIONED: tuple[str, ...] = ("impression", "findings", "last_paragraph", "comparison")
_DOWNLOAD = "it is on physionet.org/content/mimic-cxr-jpg"
# Folders searched for reports before a tree counts as one without.
_NUM_SEARCHED = 50


class MimicCxrSource(StageSettings):
    """MIMIC-CXR-JPG as PhysioNet lays it out, with the reports of MIMIC-CXR."""

    access: ClassVar[Access] = "credentialed"

    layout: Literal["mimic-cxr"] = Field("mimic-cxr", description="The layout: MIMIC-CXR.")
    root: Path = Field(
        description="Folder of MIMIC-CXR-JPG, with its CSV files and, unless `read.image_root` is "
        "set, the images in `files/p10/…`."
    )
    image_root: Path | None = Field(
        default=None,
        description="Folder with the images in `files/p10/…`, if other than `read.root`.",
    )
    image_suffix: Literal[".jpg", ".png", ".dcm"] = Field(
        default=".jpg", description="Suffix of the image files; `.dcm` for MIMIC-CXR."
    )
    reports: Path | None = Field(
        default=None,
        description="Unpacked `mimic-cxr-reports`, or `mimic_cxr_sectioned.csv`. Without it: "
        "whichever is in `read.root`.",
    )
    name: str = Field(
        default="mimic-cxr", min_length=1, description="First part of every pair's id."
    )
    views: tuple[str, ...] = Field(
        default=("PA", "AP"),
        description="Values of `ViewPosition` to keep, case-insensitive. Empty: all.",
    )
    text: SectionChoice = Field(
        default="impression+findings",
        description="Report sections to read; a study without them is dropped.",
    )
    labels: Literal["chexpert", "negbio", "none"] = Field(
        default="chexpert", description="Labeler of the file with the labels."
    )
    encoding: str = Field(default="utf-8", description="Text encoding of the reports' files.")


class MimicCxrReader:
    """The real pairs of MIMIC-CXR, in the order of its metadata."""

    def __init__(self, settings: MimicCxrSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        root = absolute(settings.root)
        self._metadata = one_file(root, "mimic-cxr-*-metadata.csv*", "list of images", _DOWNLOAD)
        self._splits = one_file(root, "mimic-cxr-*-split.csv*", "list of splits", _DOWNLOAD)
        self._labels: Path | None = None
        if settings.labels != "none":
            self._labels = one_file(
                root,
                f"mimic-cxr-*-{settings.labels}.csv*",
                f"labels by {settings.labels}",
                f"{_DOWNLOAD}, or set read.labels: none",
            )
        self._reports = _reports_in(root, settings.reports)
        self._normalizer = RecordNormalizer(
            layout="mimic-cxr",
            name=settings.name,
            root=absolute(settings.image_root) if settings.image_root else root,
            fractions=SplitFractions(),
            views=frozenset(view.lower() for view in settings.views),
        )

    def describe(self) -> Provenance:
        """PhysioNet's terms, with hashes of the dataset's tables and the path of the reports."""
        tables = [self._metadata, self._splits, self._labels]
        if self._reports.is_file():
            tables.append(self._reports)
        return Provenance(
            layout="mimic-cxr",
            name=self._settings.name,
            license="PhysioNet Credentialed Health Data License 1.5.0",
            access="credentialed",
            citation="Johnson et al., MIMIC-CXR, Sci Data 6:317 (2019); MIMIC-CXR-JPG, "
            "arXiv 1901.07042",
            hashes={path.name: file_sha256(path) for path in tables if path},
        )

    def count(self) -> int:
        """Number of images in the metadata, of all views."""
        return sum(1 for _ in rows_of(self._metadata, {"image": _METADATA["image"]}))

    def __iter__(self) -> Iterator[Pair]:
        """One pair per image; other views and images without a report are dropped."""
        return self._normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Raw records: each row of the metadata with its split, labels and report."""
        splits = Lookup(self._split_rows())
        labels = Lookup(self._label_rows())
        reports = self._open_reports()
        for number, row in rows_of(self._metadata, _METADATA):
            where = f"row {number}"
            patient, study = (self._number(row, key, where) for key in ("patient", "study"))
            split = splits.get(patient)
            if split is None:
                raise DataError(
                    f"{self._splits} lacks the patient of {where} of the list of images"
                )
            report, sections = reports.of(patient, study)
            image = row["image"]
            yield RawRecord(
                where=where,
                id=None if image is None else f"s{study}/{image}",
                report=report if isinstance(report, Report) else Report(),
                image=None if image is None else self._image(patient, study, image),
                patient_id=str(patient),
                view=row["view"],
                split=split,
                labels=unpack(labels.get(study) or 0),
                trace={"row": number, "study": f"s{study}", "sections": sections},
                drop=None if isinstance(report, Report) else (report, where),
            )

    def _image(self, patient: int, study: int, image: str) -> Path:
        folder = _folder_of(Path("files"), patient) / f"s{study}"
        return folder / f"{image}{self._settings.image_suffix}"

    def _number(self, row: Row, key: str, where: str) -> int:
        number = whole_number(row[key])
        if number is None:
            raise DataError(f"{self._metadata}: {where} has no number in {_METADATA[key]}")
        return number

    def _split_rows(self) -> Iterator[tuple[int, Split]]:
        """Splits by patient; the rows of one patient are consecutive, and must agree."""
        last: tuple[int, Split] | None = None
        for number, row in rows_of(self._splits, _SPLIT):
            split = SPLIT_NAMES.get((row["split"] or "").lower())
            patient = whole_number(row["patient"])
            if split is None or patient is None:
                raise DataError(
                    f"{self._splits}: row {number} needs a subject_id and one of the splits train, "
                    "validate and test"
                )
            current = patient, split
            if last and last[0] == current[0] and last != current:
                raise DataError(f"{self._splits}: the patient of row {number} is in two splits")
            last = current
            yield current

    def _label_rows(self) -> Iterator[tuple[int, int]]:
        if self._labels is None:
            return
        columns = {"study": "study_id", **CHEXPERT_COLUMNS}
        for number, row in rows_of(self._labels, columns):
            study = whole_number(row["study"])
            if study is None:
                raise DataError(f"{self._labels}: row {number} has no number in study_id")
            labels = chexpert_labels(row, f"{self._labels}: row {number}")
            yield study, pack(labels)

    def _open_reports(self) -> _ReportTree | _SectionedReports:
        settings = self._settings
        if self._reports.is_file():
            return _SectionedReports(self._reports, settings.text)
        return _ReportTree(self._reports, settings.text, settings.encoding)


_Found = tuple[Report | str, str]
"""A study's report or its drop reason, and the rule that found the report."""


class _ReportTree:
    """Reports in one text file per study; caches the last, as a study's images are consecutive."""

    def __init__(self, folder: Path, text: SectionChoice, encoding: str) -> None:
        self._folder = folder
        self._text: SectionChoice = text
        self._encoding = encoding
        self._last: tuple[int, _Found] | None = None

    def of(self, patient: int, study: int) -> _Found:
        if self._last is None or self._last[0] != study:
            path = _folder_of(self._folder, patient) / f"s{study}.txt"
            try:
                found = self._split_report(study, read_text(path, self._encoding))
            except UnusableReportError as error:
                found = error.reason, "none"
            self._last = study, found
        return self._last[1]

    def _split_report(self, study: int, text: str) -> _Found:
        text = text.replace("\r\n", "\n")
        if study in RANGE_OF:
            reading = text[slice(*RANGE_OF[study])]
            return report_of({"findings": reading}, self._text), "authors' place"
        sections = dict(split_sections(text))
        if study in SECTION_OF:
            reading = sections.get(SECTION_OF[study], "")
            return report_of({"findings": reading}, self._text), "authors' section"
        return report_of(sections, self._text), _rule(sections)


class _SectionedReports:
    """Reports in the table of the authors' script, read only as far as needed.

    Texts are kept compressed, as the table is not quite in the images' order.
    """

    def __init__(self, table: Path, text: SectionChoice) -> None:
        self._text: SectionChoice = text
        self._lookup = Lookup(_pack_rows(table))

    def of(self, patient: int, study: int) -> _Found:
        del patient
        packed_texts = self._lookup.get(study)
        if packed_texts is None:
            return "missing_report", "none"
        texts = zlib.decompress(packed_texts).decode().split("\0")
        sections = dict(zip(_SECTIONED, texts, strict=True))
        return report_of(sections, self._text), _rule(sections)


def _pack_rows(table: Path) -> Iterator[tuple[int, bytes]]:
    columns = {"study": "study", **{name: name for name in _SECTIONED}}
    for number, row in rows_of(table, columns):
        study = whole_number((row["study"] or "").removeprefix("s"))
        if study is None:
            raise DataError(f"{table}: row {number} has no study such as s50000000")
        texts = "\0".join((row[name] or "").replace("\0", " ") for name in _SECTIONED)
        yield study, zlib.compress(texts.encode(), level=1)


def _rule(sections: Sections) -> str:
    names = ("findings", "impression", "last_paragraph", "comparison")
    found = [name for name in names if sections.get(name)]
    headed = [name for name in found if name in names[:2]]
    return "+".join(headed or found[:1]) or "none"


def _folder_of(base: Path, patient: int) -> Path:
    return base / f"p{patient // 1_000_000}" / f"p{patient}"


def _reports_in(root: Path, stated: Path | None) -> Path:
    """The sectioned table, or the folder with patients' reports in `p10`."""
    if stated is None:
        names = ("mimic_cxr_sectioned.csv", "mimic_cxr_sectioned.csv.gz", "mimic-cxr-reports")
        paths = [root / name for name in names if (root / name).exists()]
        paths += [root] if _holds_reports(root / "files") else []
        if not paths:
            raise DataError(
                f"{root} has no reports; unpack mimic-cxr-reports.zip there (it is on "
                "physionet.org/content/mimic-cxr), or set read.reports"
            )
    else:
        paths = [absolute(stated)]
        if not paths[0].exists():
            raise DataError(
                f"read.reports is {paths[0]}, which does not exist; give the unpacked "
                "mimic-cxr-reports or mimic_cxr_sectioned.csv"
            )
        if paths[0].suffix == ".zip":
            raise DataError(
                f"{paths[0]} is an archive; unpack it and set read.reports to the folder"
            )
    path = paths[0]
    return path / "files" if (path / "files").is_dir() else path


def _holds_reports(files: Path) -> bool:
    patients = islice(files.glob("p*/p*"), _NUM_SEARCHED)
    return any(next(patient.glob("s*.txt"), None) for patient in patients)
