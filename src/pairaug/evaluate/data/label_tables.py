"""Labels as published by datasets: each layout as rows of image, patient and labels.

A label is 1 present, 0 absent, -1 uncertain, None not stated. Findings are spelled as by
`prompts.finding_name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pairaug.errors import DataError
from pairaug.evaluate.data.settings import (
    CheXpertData,
    LabelTable,
    MimicData,
    NihData,
    PadChestData,
    TableData,
    VinDrData,
)
from pairaug.evaluate.prompts import finding_name
from pairaug.pair import FINDINGS
from pairaug.readers.identifiers import patient_key
from pairaug.readers.labels import label_state
from pairaug.readers.rows import column_names, rows_of
from pairaug.readers.unquoted import are_names, is_name, name_list

LabelRow = Mapping[str, int | None]

NIH_FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "pleural effusion",
    "emphysema",
    "fibrosis",
    "hernia",
    "infiltration",
    "mass",
    "no finding",
    "nodule",
    "pleural thickening",
    "pneumonia",
    "pneumothorax",
)
"""ChestX-ray14's, including "no finding"."""

_PATIENT = re.compile(r"patient\d+")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
# Listed by PadChest among the findings without being one.
_NO_FINDINGS = frozenset({"", "unchanged", "exclude", "suboptimal study"})


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of a table."""

    paths: tuple[Path, ...]
    """Possible paths, relative to the root; the first that exists is used."""
    patient_id: str = field(repr=False)
    labels: LabelRow
    split: str | None = None


def labelled_images(settings: LabelTable, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    """The images of a table in its order, without rows that its settings leave out.

    `findings` are those of `findings_of`.
    """
    for image in _images_of(settings, findings):
        yield replace(image, patient_id=patient_key(image.patient_id))


def _images_of(settings: LabelTable, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    match settings:
        case CheXpertData():
            return _chexpert(settings, findings)
        case MimicData():
            return _mimic(settings, findings)
        case NihData():
            return _nih(settings, findings)
        case PadChestData():
            return _padchest(settings, findings)
        case VinDrData():
            return _vindr(settings, findings)
        case TableData():
            return _table(settings, findings)
    raise TypeError(type(settings).__name__)


def findings_of(settings: LabelTable) -> tuple[str, ...]:
    """The labelled findings of a table, in its order; those of a list alphabetically."""
    match settings:
        case NihData():
            return NIH_FINDINGS
        case CheXpertData() | MimicData():
            return _known(settings.table, FINDINGS)
        case VinDrData():
            columns = column_names(settings.table)
            if not are_names(columns):
                raise DataError(
                    f"{settings.table} is not a table of VinDr-CXR: {name_list(columns)}"
                )
            names = (name for name in columns if name not in ("image_id", "rad_id"))
            return tuple(map(finding_name, names))
        case PadChestData():
            rows = _padchest_rows(settings)
            return tuple(sorted({name for row in rows for name in _padchest_terms(row["labels"])}))
        case TableData():
            if settings.columns:
                return tuple(finding_name(name) for name in settings.columns)
            found: set[str] = set()
            for number, row in _table_rows(settings):
                names = _terms(row["labels"], settings.separator)
                _check_names(names, settings.table, number)
                found.update(names)
            return tuple(sorted(found))
    raise TypeError(type(settings).__name__)


def _chexpert(settings: CheXpertData, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    columns = {"file": "Path", **_columns_of(settings.table, findings)}
    for number, row in rows_of(settings.table, columns):
        path = Path(_required(row, "file", settings.table, number))
        if settings.views == "frontal" and "lateral" in path.name.lower():
            continue
        patient = next((part for part in path.parts if _PATIENT.fullmatch(part)), str(path.parent))
        # Users' folders often start below "CheXpert-v1.0-small".
        paths = (path, Path(*path.parts[1:])) if len(path.parts) > 1 else (path,)
        labels = _states(row, findings, settings.table, number)
        yield LabelledImage(paths, patient, labels)


def _mimic(settings: MimicData, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    columns = {
        "subject": "subject_id",
        "study": "study_id",
        **_columns_of(settings.table, findings),
    }
    # A study's labels in one byte per finding: the tables have different orders.
    labels: dict[str, np.ndarray] = {}
    for number, row in rows_of(settings.table, columns):
        states = _states(row, findings, settings.table, number)
        codes = [2 if state is None else state for state in states.values()]
        labels[patient_key(_required(row, "study", settings.table, number))] = np.array(
            codes, dtype=np.int8
        )
    for number, row in _mimic_images(settings):
        study = patient_key(_required(row, "study", settings.images, number))
        if study not in labels:
            continue
        subject = patient_key(_required(row, "subject", settings.images, number))
        image = f"{_required(row, 'image', settings.images, number)}.jpg"
        inner = Path(f"p{subject[:2]}", f"p{subject}", f"s{study}", image)
        states = {
            finding: None if code == 2 else int(code)
            for finding, code in zip(findings, labels[study], strict=True)
        }
        yield LabelledImage((Path("files", inner), inner), subject, states, row.get("split"))


def _mimic_images(settings: MimicData) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """(number, row) of each image of the requested split and views."""
    columns = {"image": "dicom_id", "subject": "subject_id", "study": "study_id"}
    listed = column_names(settings.images)
    if settings.views and "ViewPosition" not in listed:
        raise DataError(
            f"{settings.images} has no column 'ViewPosition': for data.views, set data.images to "
            "the table of metadata and data.splits to that of splits"
        )
    columns |= {"view": "ViewPosition"} if settings.views else {}
    columns |= {"split": "split"} if "split" in listed else {}
    if settings.split != "all" and "split" not in listed and settings.splits is None:
        raise DataError(
            f"{settings.images} has no column 'split'; set data.splits to the table of splits, or "
            "data.split to all"
        )
    splits: dict[str | None, str | None] = {}
    if settings.splits is not None:
        rows = rows_of(settings.splits, {"image": "dicom_id", "split": "split"})
        splits = {row["image"]: row["split"] for _, row in rows}
    for number, row in rows_of(settings.images, columns):
        split = splits.get(row["image"], row.get("split"))
        is_wanted = settings.split in ("all", split)
        if is_wanted and (not settings.views or (row["view"] or "") in settings.views):
            yield number, {**row, "split": split}


def _nih(settings: NihData, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    columns = {"file": "Image Index", "labels": "Finding Labels", "patient": "Patient ID"}
    wanted = None if settings.only is None else _names_in(settings.only)
    folders = [Path(), Path("images"), *(Path(f"images_{i:03d}", "images") for i in range(1, 13))]
    for number, row in rows_of(settings.table, columns):
        name = _required(row, "file", settings.table, number)
        if wanted is not None and name not in wanted:
            continue
        labels = _labels_listed(_terms(row["labels"], "|"), findings)
        patient = row["patient"] or name
        yield LabelledImage(tuple(folder / name for folder in folders), patient, labels)


def _padchest_rows(settings: PadChestData) -> Iterator[Mapping[str, str | None]]:
    columns = {
        "file": "ImageID",
        "folder": "ImageDir",
        "patient": "PatientID",
        "view": "Projection",
        "method": "MethodLabel",
        "labels": "Labels",
    }
    for _, row in rows_of(settings.table, columns):
        if settings.projections and (row["view"] or "") not in settings.projections:
            continue
        if settings.by_hand and (row["method"] or "").lower() != "physician":
            continue
        # A study without labels was not labelled; one without findings says "normal".
        if row["file"] is not None and row["labels"] is not None:
            yield row


def _padchest(settings: PadChestData, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    for row in _padchest_rows(settings):
        name = row["file"] or ""
        paths = (Path(patient_key(row["folder"] or ""), name), Path(name), Path("images", name))
        labels = _labels_listed(_padchest_terms(row["labels"]), findings)
        yield LabelledImage(paths, row["patient"] or name, labels)


def _vindr(settings: VinDrData, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    columns = {"image": "image_id", **_columns_of(settings.table, findings)}
    # Three radiologists read each image of the training set, in rows that may be apart.
    votes: dict[str, np.ndarray] = {}
    for number, row in rows_of(settings.table, columns):
        states = _states(row, findings, settings.table, number)
        found = votes.setdefault(
            _required(row, "image", settings.table, number), np.zeros((2, len(findings)), np.int16)
        )
        found[0] += [state == 1 for state in states.values()]
        found[1] += [state is not None for state in states.values()]
    for image, (present, asked) in votes.items():
        needed = asked // 2 + 1 if settings.readers == "majority" else np.ones_like(asked)
        labels = {
            finding: int(present[index] >= needed[index]) if asked[index] else None
            for index, finding in enumerate(findings)
        }
        name = f"{image}{settings.suffix}"
        paths = (Path(name), Path("train", name), Path("test", name))
        yield LabelledImage(paths, image, labels)


def _table_rows(settings: TableData) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    columns = {"file": settings.file}
    for key, column in (
        ("patient", settings.patient_id),
        ("split", settings.split_column),
        ("labels", settings.list_column),
    ):
        columns |= {} if column is None else {key: column}
    columns |= {
        f"finding {finding_name(name)}": column for name, column in settings.columns.items()
    }
    columns |= {f"where {column}": column for column in settings.where}
    rows = rows_of(settings.table, columns, settings.encoding, settings.delimiter)
    for number, row in rows:
        if all((row[f"where {each}"] or "") in kept for each, kept in settings.where.items()):
            yield number, row


def _table(settings: TableData, findings: tuple[str, ...]) -> Iterator[LabelledImage]:
    for number, row in _table_rows(settings):
        path = Path(_required(row, "file", settings.table, number))
        if settings.list_column is not None:
            labels = _labels_listed(_terms(row["labels"], settings.separator), findings)
        else:
            own = {finding: row[f"finding {finding}"] for finding in findings}
            labels = _states(own, findings, settings.table, number)
        yield LabelledImage((path,), row.get("patient") or str(path), labels, row.get("split"))


def _known(table: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Columns of a table that are findings of CheXpert."""
    known = set(names)
    found = [finding_name(column) for column in column_names(table)]
    chosen = tuple(name for name in found if name in known)
    if not chosen:
        raise DataError(f"{table} has no column that is a finding of CheXpert, such as Edema")
    return chosen


def _columns_of(table: Path, findings: Iterable[str]) -> dict[str, str]:
    """Finding → its column as spelled in the table."""
    spelled = {finding_name(column): column for column in column_names(table)}
    return {finding: spelled[finding] for finding in findings}


def _states(
    row: Mapping[str, str | None], findings: Iterable[str], table: Path, number: int
) -> dict[str, int | None]:
    return {finding: _state(row[finding], finding, table, number) for finding in findings}


def _state(stated: str | None, finding: str, table: Path, number: int) -> int | None:
    if stated is None:
        return None
    state = label_state(stated, f"{table}: row {number}, {finding!r},")
    return -1 if state is None else int(state)


def _check_names(names: Iterable[str], table: Path, number: int) -> None:
    """Raises `DataError` for a list of other texts, such as reports: results name the findings."""
    if not all(map(is_name, names)):
        raise DataError(
            f"{table}: row {number} lists a text that is not the name of a finding; check "
            "data.list_column and data.separator"
        )


def _labels_listed(present: Iterable[str], findings: Iterable[str]) -> dict[str, int | None]:
    named = set(present)
    return {finding: int(finding in named) for finding in findings}


def _terms(cell: str | None, separator: str) -> list[str]:
    return [finding_name(term) for term in (cell or "").split(separator) if term.strip()]


def _padchest_terms(cell: str | None) -> list[str]:
    quoted = (one or other for one, other in _QUOTED.findall(cell or ""))
    names = (finding_name(term) for term in quoted)
    return [name for name in names if name not in _NO_FINDINGS]


def _required(row: Mapping[str, str | None], key: str, table: Path, number: int) -> str:
    value = row[key]
    if value is None:
        raise DataError(f"{table}: row {number} has no {key}")
    return value


def _names_in(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}); see data.only") from error
