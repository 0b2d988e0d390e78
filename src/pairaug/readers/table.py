"""Pairs from a table of reports beside a folder of films, with the column names in the settings.

The table is CSV, TSV, JSONL or Parquet; provenance, licence and access terms are the user's to
state. Films are referred to by absolute path and never copied; nothing is written beside them.
"""

from __future__ import annotations

import logging
import os.path
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pairaug.errors import DataError
from pairaug.images import fault, load_image, sha256
from pairaug.pair import FINDINGS, Branch, ImageRef, Pair, Report
from pairaug.readers.reader import Access, Provenance, Split, SplitShares
from pairaug.readers.rows import Row, file_sha256, rows_of
from pairaug.settings import StageSettings
from pairaug.stage import Context

_LOG = logging.getLogger(__name__)

DROP_REASONS = {
    "missing_id": "the row has no id",
    "duplicate_id": "an earlier row of the table has the same id",
    "view_excluded": "the film's view is not among `read.views`",
    "empty_report": "neither findings nor impression has any text",
    "outside_root": "the film's path leads out of `read.root`",
    "missing_image": "the row names no film, or the film is not on disk",
    "unreadable_image": "the film is damaged, cut short, or not an image",
    "image_constant": "the film has one grey level only",
    "image_saturated": "nearly all of the film is pure black or pure white",
}
"""Why a row gives no usable pair; a film's faults come from `pairaug.images.fault`."""

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validate": "validate",
    "validation": "validate",
    "valid": "validate",
    "val": "validate",
    "dev": "validate",
    "test": "test",
    "testing": "test",
}

# -1 is CheXpert's mark for an uncertain statement.
_LABEL_STATES = {"1": True, "0": False, "-1": None, "true": True, "false": False}


class TableColumns(StageSettings):
    """Which column of the table holds what; null: the table does not have it."""

    id: str = Field(default="id", description="Column of the study's or film's own id.")
    file: str = Field(
        default="file", description="Column of the film's path, relative to `read.root`."
    )
    findings: str | None = Field(default="findings", description="Column of the findings section.")
    impression: str | None = Field(
        default="impression", description="Column of the impression section."
    )
    patient_id: str | None = Field(
        default=None,
        description="Column of the patient's id; without it each row is its own patient.",
    )
    view: str | None = Field(default=None, description="Column of the view, such as PA.")
    split: str | None = Field(
        default=None,
        description="Column of the split; without it patients are divided by `read.split`.",
    )
    labels: dict[str, str] = Field(
        default={},
        description="Finding to the column with 1 (present), 0 (absent), -1 or empty (not stated).",
    )

    @model_validator(mode="after")
    def _can_make_reports(self) -> TableColumns:
        if self.findings is None and self.impression is None:
            raise ValueError("name a column for findings, for impression, or for both")
        unknown = [name for name in self.labels if name not in FINDINGS]
        if unknown:
            names = ", ".join(FINDINGS)
            raise ValueError(f"unknown finding {unknown[0]!r}; the names are: {names}")
        return self

    def by_key(self) -> dict[str, str]:
        """Each setting that names a column, with the column's name."""
        named = self.model_dump(exclude={"labels"}, exclude_none=True)
        return {**named, **{f"labels.{name}": column for name, column in self.labels.items()}}


class TableSource(StageSettings):
    """A table of reports and a folder of films."""

    source: Literal["table"] = Field(
        default="table", description="The layout: this one is a table."
    )
    table: Path = Field(description="The table: .csv, .tsv, .jsonl or .parquet, also .csv.gz.")
    root: Path | None = Field(
        default=None,
        description="The folder that film paths start from; without it, the table's folder.",
    )
    name: str = Field(
        default="", description="First part of every pair's id; without it, the table's file name."
    )
    columns: TableColumns = Field(
        default_factory=TableColumns, description="What the columns are called."
    )
    views: tuple[str, ...] = Field(
        default=(), description="Views to keep, compared without regard to case; none named: all."
    )
    split: SplitShares = Field(
        default_factory=SplitShares, description="Division of patients without a column."
    )
    encoding: str = Field(
        default="utf-8", description="Text encoding of a CSV, TSV or JSONL table."
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="What separates the cells of a CSV table.",
    )
    licence: str = Field(default="not stated", description="The licence that exports inherit.")
    access: Access = Field(
        default="private",
        description="Terms of access: public, credentialed (as PhysioNet) or private.",
    )

    citation: str = Field(default="", description="How the source asks to be cited.")

    @model_validator(mode="after")
    def _views_have_a_column(self) -> TableSource:
        if self.views and self.columns.view is None:
            raise ValueError("views are chosen but columns.view names no column")
        return self


@dataclass(slots=True)
class _Seen:
    """What must be remembered from row to row. Digests, so that half a million rows stay small."""

    ids: set[bytes] = field(default_factory=set)
    splits: dict[bytes, Split] = field(default_factory=dict)
    num_rows: int = 0
    drops: Counter[str] = field(default_factory=Counter)


class TableReader:
    """The real pairs of a table."""

    def __init__(self, settings: TableSource, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._table = _absolute(settings.table)
        self._root = _absolute(settings.root or self._table.parent)
        self._name = settings.name or self._table.name.split(".")[0]
        self._views = frozenset(view.lower() for view in settings.views)

    def describe(self) -> Provenance:
        """Where the table is from, as its user states it, with the table's hash."""
        return Provenance(
            source="table",
            name=self._name,
            licence=self._settings.licence,
            access=self._settings.access,
            citation=self._settings.citation,
            hashes={self._table.name: file_sha256(self._table)},
        )

    def __iter__(self) -> Iterator[Pair]:
        """One pair for each row, in the table's order; an unusable row is a dropped pair."""
        settings = self._settings
        if not self._root.is_dir():
            raise DataError(f"the folder of films {self._root} does not exist; set read.root")
        seen = _Seen()
        rows = rows_of(
            self._table, settings.columns.by_key(), settings.encoding, settings.delimiter
        )
        for row in rows:
            pair = self._with_film(self._listed(row, seen), row["file"])
            if pair.drop:
                seen.drops[pair.drop.reason] += 1
            self._context.report_progress(1)
            yield pair
        if seen.drops:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(seen.drops.items()))
            _LOG.warning("%s: of %d rows, dropped: %s", self._table, seen.num_rows, reasons)

    def _listed(self, row: Row, seen: _Seen) -> Pair:
        """The pair as the table states it, without its film; dropped where the row is no use."""
        seen.num_rows += 1
        number = seen.num_rows
        own_id = row["id"] or f"row-{number}"
        patient_id = row.get("patient_id") or own_id
        pair = Pair(
            id=f"{self._name}/{own_id}",
            branch=Branch.REAL,
            patient_id=patient_id,
            report=Report(row.get("findings") or "", row.get("impression") or ""),
            split=self._split(row, patient_id, seen),
            labels=self._labels(row, number),
        ).with_trace("read", source="table", row=number, view=row.get("view"))
        if row["id"] is None:
            return pair.dropped("read", "missing_id", f"row {number}")
        digest = _digest(own_id)
        if digest in seen.ids:
            # Ids are unique in a run, those of dropped pairs too.
            again = replace(pair, id=f"{pair.id}#row-{number}")
            return again.dropped("read", "duplicate_id", f"row {number}")
        seen.ids.add(digest)
        if self._views and (row.get("view") or "").lower() not in self._views:
            return pair.dropped("read", "view_excluded", f"row {number}")
        if not pair.report.text:
            return pair.dropped("read", "empty_report", f"row {number}")
        return pair

    def _split(self, row: Row, patient_id: str, seen: _Seen) -> Split:
        column = self._settings.columns.split
        if column is None:
            return self._settings.split.split_of(patient_id)
        stated = row["split"] or ""
        split = _SPLITS.get(stated.lower())
        if split is None:
            raise DataError(
                f"{self._table}: row {seen.num_rows} has split {stated!r} in column {column!r}; "
                f"known are: {', '.join(_SPLITS)}"
            )
        if seen.splits.setdefault(_digest(patient_id), split) != split:
            raise DataError(
                f"{self._table}: by column {column!r}, the patient of row {seen.num_rows} is in "
                "two splits. Set read.columns.split to null to have patients divided."
            )
        return split

    def _labels(self, row: Row, number: int) -> dict[str, bool | None]:
        labels: dict[str, bool | None] = {}
        for finding, column in self._settings.columns.labels.items():
            stated = row[f"labels.{finding}"]
            if stated is None:
                continue
            key = stated.lower().removesuffix(".0")
            if key not in _LABEL_STATES:
                raise DataError(
                    f"{self._table}: row {number} has {stated!r} in column {column!r}; "
                    f"a label is 1, 0, -1 or empty"
                )
            labels[finding] = _LABEL_STATES[key]
        return labels

    def _with_film(self, pair: Pair, file: str | None) -> Pair:
        """`pair` with its film, decoded once to see that it is one."""
        if pair.drop:
            return pair
        where = f"row {pair.trace['read']['row']}"
        if file is None:
            return pair.dropped("read", "missing_image", where)
        path = _absolute(self._root / file)
        # By the path as written: a link inside the root may well point to another disk.
        if not path.is_relative_to(self._root):
            return pair.dropped("read", "outside_root", where)
        try:
            content = path.read_bytes()
            image = load_image(ImageRef(png=content))
        except (FileNotFoundError, NotADirectoryError):
            return pair.dropped("read", "missing_image", where)
        except (OSError, DataError) as error:
            # A path may hold a patient's id, so only the kind of the problem is kept.
            kind = type(error.__cause__ or error).__name__
            return pair.dropped("read", "unreadable_image", f"{where}, {kind}")
        wrong = fault(image)
        if wrong:
            return pair.dropped("read", wrong, where)
        height, width = image.shape
        return pair.with_image(
            ImageRef(path=str(path), sha256=sha256(content), height=height, width=width)
        )


def _absolute(path: Path) -> Path:
    """`path` without `..`, links left alone, which `Path.resolve` would follow."""
    return Path(os.path.normpath(path.absolute()))


def _digest(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=12).digest()
