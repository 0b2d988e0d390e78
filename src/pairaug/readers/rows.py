"""Rows of a CSV, TSV, JSONL or Parquet file, streamed; the caller interprets the cells.

Messages name files, columns and row numbers, never the content of a row. Rows of a CSV are numbered
as in a spreadsheet: the header is row 1. Rows of a JSONL file are numbered by line.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from pairaug.errors import DataError
from pairaug.readers.opened import MAX_CHARACTERS, open_lines
from pairaug.readers.text import cell_text
from pairaug.readers.unquoted import are_names, name_list
from pairaug.system.json_text import MAX_FILE_BYTES, JSONTextError, parse_json

Row = Mapping[str, str | None]

_BATCH_ROWS = 1024
_SUFFIXES = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet",
}  # fmt: skip
_DELIMITERS = {"csv": ",;\t|", "tsv": "\t,;|"}
"""Tried in this order if none is stated."""


def rows_of(
    path: Path, columns: Mapping[str, str], encoding: str = "utf-8", delimiter: str | None = None
) -> Iterator[tuple[int, Row]]:
    """Each row's number, and a mapping from the keys of `columns` to the text of the column.

    Cells are converted by `readers.text.cell_text`. The format follows from the file's name and, if
    no delimiter is stated, the delimiter from the header. A missing, empty or undecodable file and
    an unknown column raise `DataError`.
    """
    for number, cells in cells_of(path, columns, encoding, delimiter):
        yield number, {key: cell_text(value) for key, value in cells.items()}


def cells_of(
    path: Path, columns: Mapping[str, str], encoding: str = "utf-8", delimiter: str | None = None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows as from `rows_of`, with the cells' original values."""
    kind = _format_of(path)
    if kind == "parquet":
        rows = _parquet_rows(path, columns)
    elif kind == "jsonl":
        rows = _jsonl_rows(path, columns, encoding)
    else:
        rows = _csv_rows(path, columns, encoding, delimiter or _DELIMITERS[kind])
    is_empty = True
    for number, row in rows:
        is_empty = False
        yield number, {key: row[column] for key, column in columns.items()}
    if is_empty:
        raise DataError(f"{path} has no rows")


def column_names(
    path: Path, encoding: str = "utf-8", delimiter: str | None = None
) -> tuple[str, ...]:
    """Names of a table's columns, in order; for a JSONL file, the keys of its first row.

    Raises `DataError` as `rows_of` does.
    """
    kind = _format_of(path)
    if kind == "parquet":
        with _parquet_file(path) as file:
            return tuple(file.schema_arrow.names)
    with open_lines(path, encoding) as lines:
        if kind == "jsonl":
            return tuple(next((row for _, row in json_objects(path, lines)), {}))
        return tuple(next(_records(path, lines, delimiter or _DELIMITERS[kind], ()))[1])


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; a missing file raises `DataError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or type(error).__name__}") from error


def _format_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if kind is None:
        choices = ", ".join(_SUFFIXES)
        raise DataError(f"{path} is not a table; its name must end in {choices}")
    return kind


def _csv_rows(
    path: Path, columns: Mapping[str, str], encoding: str, delimiters: str
) -> Iterator[tuple[int, Mapping[str, str]]]:
    with open_lines(path, encoding) as lines:
        records = _records(path, lines, delimiters, tuple(columns.values()))
        _, names = next(records)
        _check_columns(path, columns, names)
        indices = {column: names.index(column) for column in columns.values()}
        for number, cells in records:
            if len(cells) != len(names):
                _check_width(path, number, cells, len(names))
            yield number, {column: cells[index] for column, index in indices.items()}


def _records(
    path: Path, lines: Iterator[str], delimiters: str, wanted: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells) of a CSV, header first; blank rows are skipped but numbered."""
    first = next(lines, "")
    number = 0
    # Excel's "sep=;" line states the delimiter.
    stated = re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE)
    if stated:
        first, delimiters, number = next(lines, ""), stated.group(1), 1
    delimiter = _delimiter_of(first, delimiters, wanted)
    source = _Chained(first, lines)
    # Applies to the whole process; the default of 131,072 is too low for some datasets' columns.
    csv.field_size_limit(MAX_CHARACTERS)
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=delimiter != " ")
    is_header = True
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error:
            raise DataError(
                f"{path}: row {number} is not well-formed CSV; is a quote not closed?"
            ) from None
        if cells is None:
            break
        if source.has_ended:
            raise DataError(f"{path}: a quote that opens in row {number} is not closed")
        if not any(cell.strip() for cell in cells) and (len(cells) <= 1 or is_header):
            continue
        if is_header:
            cells = [name.strip().removeprefix("\ufeff") for name in cells]
        is_header = False
        yield number, cells
    if is_header:
        raise DataError(f"{path} is empty")


class _Chained(Iterator[str]):
    """Lines after a first one; records if a reader asked for more lines than exist.

    A CSV reader does so in the middle of a row only if a quote is open.
    """

    def __init__(self, first: str, rest: Iterator[str]) -> None:
        self._first: str | None = first or None
        self._rest = rest
        self.has_ended = False

    def __next__(self) -> str:
        if self._first is not None:
            line, self._first = self._first, None
            return line
        try:
            return next(self._rest)
        except StopIteration:
            self.has_ended = True
            raise


def _delimiter_of(header: str, delimiters: str, wanted: Sequence[str]) -> str:
    """The first of `delimiters` that splits the header into the wanted columns.

    If none does, or no columns are wanted, the one that gives the most columns.
    """
    if len(delimiters) == 1:
        return delimiters
    by_sign = {
        sign: [name.strip() for name in next(csv.reader([header], delimiter=sign), [])]
        for sign in delimiters
    }
    for sign, names in by_sign.items():
        if wanted and set(wanted) <= set(names):
            return sign
    return max(delimiters, key=lambda sign: len(by_sign[sign]))


def _check_width(path: Path, number: int, cells: list[str], width: int) -> None:
    # Spreadsheets end rows with a separator that the header may lack.
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return
    raise DataError(
        f"{path}: row {number} has {len(cells)} columns, its header has {width}; "
        "check the delimiter and the quotes"
    )


def _jsonl_rows(
    path: Path, columns: Mapping[str, str], encoding: str
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with open_lines(path, encoding) as lines:
        checked = False
        for number, row in json_objects(path, lines):
            if not checked:
                _check_columns(path, columns, list(row))
                checked = True
            # Later rows may omit a key without a value.
            yield number, {column: row.get(column) for column in columns.values()}


def json_objects(path: Path, lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, row) of each line that is not blank.

    If the file is one JSON array, its elements are the rows, numbered from 1.
    """
    is_first = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if is_first and line.lstrip().startswith("["):
            yield from _array_rows(path, number, line, lines)
            return
        is_first = False
        try:
            row = parse_json(line, nan_is_null=True)
        except JSONTextError as error:
            raise DataError(f"{path}: line {number} is not a JSON object ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number} is not a JSON object")
        yield number, row


def _array_rows(
    path: Path, number: int, first: str, rest: Iterator[str]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Elements of a JSON array, which is read as a whole."""
    text = first
    for line in rest:
        text += line
        if len(text) > MAX_FILE_BYTES:
            raise DataError(f"{path} is one JSON array and too large; write one row per line")
    where = f"{path}: line {number} is not a JSON object, nor the file one JSON array of them"
    try:
        rows = parse_json(text, nan_is_null=True)
    except JSONTextError as error:
        raise DataError(f"{where} ({error})") from None
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(where)
    yield from enumerate(rows, 1)


def _parquet_rows(
    path: Path, columns: Mapping[str, str]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with _parquet_file(path) as file:
        _check_columns(path, columns, file.schema_arrow.names)
        wanted = list(dict.fromkeys(columns.values()))
        first = 1
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                cells = [_values(path, name, batch.column(name), first) for name in wanted]
                for index in range(batch.num_rows):
                    row = {name: of[index] for name, of in zip(wanted, cells, strict=True)}
                    yield first + index, row
                first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged, or uses unsupported Parquet features") from error


def _parquet_file(path: Path) -> parquet.ParquetFile:
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file") from error


def _values(path: Path, name: str, column: pa.Array, first: int) -> list[Any]:
    """A column's cells; dates as text, since Python's dates cover fewer years than Arrow's."""
    is_date = pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)
    try:
        cells = (column.cast(pa.string()) if is_date else column).to_pylist()
        # Arrow's text for a year outside the calendar.
        return [None if is_date and cell and cell[0] == "<" else cell for cell in cells]
    except (ValueError, OverflowError, TypeError, pa.ArrowException):
        # Not chained: a decoder's error carries the text.
        last = first + len(column) - 1
        raise DataError(
            f"{path}: column {name!r} has values in rows {first} to {last} that are not text"
        ) from None


def _check_columns(path: Path, columns: Mapping[str, str], available: Sequence[str]) -> None:
    for key, column in columns.items():
        if column in available:
            if available.count(column) > 1:
                raise DataError(f"{path} has more than one column {column!r}")
            continue
        # Only names are suggested, so that a first row of data is not quoted.
        near = difflib.get_close_matches(column, available if are_names(available) else (), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise DataError(f"{path} has no column {column!r} (for {key}){hint} {name_list(available)}")
