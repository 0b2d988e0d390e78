"""Pairs from a table of reports beside a folder of images, with the column names in the settings.

The table is CSV, TSV, JSONL or Parquet; the user states provenance, license and access terms.
Images are referred to by absolute path and never copied; nothing is written beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pairaug.errors import DataError
from pairaug.pair import FINDINGS, Pair
from pairaug.readers.labels import label_state
from pairaug.readers.normalize import RawRecord, RecordNormalizer, absolute
from pairaug.readers.plain import report_of_sections
from pairaug.readers.reader import Provenance, StatedTerms
from pairaug.readers.rows import Row, cells_of, file_sha256
from pairaug.readers.splits import SPLIT_NAMES, Split, SplitFractions
from pairaug.readers.text import cell_text, report_of_cells
from pairaug.readers.unquoted import kind_of
from pairaug.settings import StageSettings
from pairaug.stage import RunContext


class TableColumns(StageSettings):
    """Names of the table's columns; null: the table has no such column."""

    id: str = Field(default="id", description="Column of the study's or image's id.")
    file: str | None = Field(
        default="file",
        description="Column of the image's path, relative to `read.root`; null: reports only, "
        "which can be rewritten.",
    )
    findings: str | None = Field(default="findings", description="Column of the findings section.")
    impression: str | None = Field(
        default="impression", description="Column of the impression section."
    )
    patient_id: str | None = Field(
        default=None,
        description="Column of the patient's id; without it each row is its own patient.",
    )
    study: str | None = Field(
        default=None,
        description="Column of the study, if studies have several images.",
    )
    view: str | None = Field(default=None, description="Column of the view, such as PA.")
    split: str | None = Field(
        default=None,
        description="Column of the split; without it, patients are split by `read.split`.",
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
        """Settings that name a column → the column's name."""
        named = self.model_dump(exclude={"labels"}, exclude_none=True)
        return {**named, **{f"labels.{name}": column for name, column in self.labels.items()}}


class TableSource(StatedTerms):
    """A table of reports and a folder of images."""

    layout: Literal["table"] = Field(default="table", description="The layout: a table.")
    table: Path = Field(
        description="Path of the table: .csv, .tsv, .jsonl, .json or .parquet, also .csv.gz."
    )
    root: Path | None = Field(
        default=None,
        description="Folder that image paths are relative to; without it, the table's folder.",
    )
    name: str = Field(
        default="", description="First part of every pair's id; without it, the table's file name."
    )
    columns: TableColumns = Field(default_factory=TableColumns, description="Names of the columns.")
    views: tuple[str, ...] = Field(
        default=(), description="Views to keep, case-insensitive. Empty: all."
    )
    split: SplitFractions = Field(
        default_factory=SplitFractions, description="Split of patients, without a column."
    )
    encoding: str = Field(
        default="utf-8", description="Text encoding of a CSV, TSV or JSONL table."
    )
    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="Delimiter of a CSV table; without it, detected from the header.",
    )

    @model_validator(mode="after")
    def _views_have_a_column(self) -> TableSource:
        if self.views and self.columns.view is None:
            raise ValueError("views needs a column of views; set columns.view")
        return self


class TableReader:
    """The real pairs of a table."""

    def __init__(self, settings: TableSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._table = absolute(settings.table)
        self._normalizer = RecordNormalizer(
            layout="table",
            name=settings.name or self._table.name.split(".")[0],
            root=absolute(settings.root or self._table.parent),
            fractions=settings.split,
            needs_image=settings.columns.file is not None,
            views=frozenset(view.lower() for view in settings.views),
        )

    def describe(self) -> Provenance:
        """Provenance from the settings, with the table's hash."""
        return Provenance(
            layout="table",
            name=self._normalizer.name,
            license=self._settings.license,
            access=self._settings.access,
            citation=self._settings.citation,
            hashes={self._table.name: file_sha256(self._table)},
        )

    def __iter__(self) -> Iterator[Pair]:
        """One pair per row, in the table's order; unusable rows are dropped pairs."""
        return self._normalizer.pairs(self.records(), self._context)

    def records(self) -> Iterator[RawRecord]:
        """Raw records of the rows."""
        settings = self._settings
        rows = cells_of(
            self._table, settings.columns.by_key(), settings.encoding, settings.delimiter
        )
        for number, cells in rows:
            where = f"row {number}"
            report, drop = report_of_cells(cells.get("findings"), cells.get("impression"), where)
            report = report_of_sections(report)
            row = {key: cell_text(value) for key, value in cells.items()}
            yield RawRecord(
                where=where,
                id=row["id"],
                report=report,
                image=Path(file) if (file := row.get("file")) else None,
                patient_id=row.get("patient_id"),
                view=row.get("view"),
                split=self._split(row, number),
                labels=self._labels(row, number),
                trace={"row": number, **({"study": row["study"]} if row.get("study") else {})},
                drop=drop,
            )

    def _split(self, row: Row, number: int) -> Split | None:
        column = self._settings.columns.split
        if column is None:
            return None
        stated = row["split"] or ""
        split = SPLIT_NAMES.get(stated.lower())
        if split is None:
            raise DataError(
                f"{self._table}: row {number}, column {column!r}, has {kind_of(stated)} for a "
                f"split; choose from: {', '.join(SPLIT_NAMES)}"
            )
        return split

    def _labels(self, row: Row, number: int) -> dict[str, bool | None]:
        labels: dict[str, bool | None] = {}
        for finding, column in self._settings.columns.labels.items():
            stated = row[f"labels.{finding}"]
            if stated is not None:
                where = f"{self._table}: row {number}, column {column!r},"
                labels[finding] = label_state(stated, where)
        return labels
