"""The rows of a CSV, TSV, JSONL or Parquet file, streamed; which cell means what is the caller's.

Messages name files, columns and row numbers, never the content of a row. A CSV's rows are numbered
as a spreadsheet shows them: the header is row 1. A JSONL file's are its lines.
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
"""Tried in this order where none is stated."""


def rows_of(
    path: Path, columns: Mapping[str, str], encoding: str = "utf-8", delimiter: str | None = None
) -> Iterator[tuple[int, Row]]:
    """Each row's number, and a mapping from the keys of `columns` to the text of the column.

    A cell is what `readers.text.cell_text` makes of it. The format follows the file's name, and the
    delimiter, where none is stated, the header. A missing, empty or undecodable file and an
    unknown column raise `DataError`.
    """
    for number, cells in cells_of(path, columns, encoding, delimiter):
        yield number, {key: cell_text(value) for key, value in cells.items()}


def cells_of(
    path: Path, columns: Mapping[str, str], encoding: str = "utf-8", delimiter: str | None = None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows as `rows_of` gives them, with their cells as the file has them, whatever they are."""
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
    """The names of a table's columns, in order; of a JSONL file, those of its first row.

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
    """The SHA-256 of a file's content, in hexadecimal; a missing file raises `DataError`."""
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
        raise DataError(f"{path} is no table that can be read: its name must end in {choices}")
    return kind


def _csv_rows(
    path: Path, columns: Mapping[str, str], encoding: str, delimiters: str
) -> Iterator[tuple[int, Mapping[str, str]]]:
    with open_lines(path, encoding) as lines:
        records = _records(path, lines, delimiters, tuple(columns.values()))
        _, names = next(records)
        _check_columns(path, columns, names)
        places = {column: names.index(column) for column in columns.values()}
        for number, cells in records:
            if len(cells) != len(names):
                _check_width(path, number, cells, len(names))
            yield number, {column: cells[place] for column, place in places.items()}


def _records(
    path: Path, lines: Iterator[str], delimiters: str, wanted: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells) of a CSV, header first; blank rows count and are left out."""
    first = next(lines, "")
    number = 0
    # Excel's own way to say what separates the cells.
    stated = re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE)
    if stated:
        first, delimiters, number = next(lines, ""), stated.group(1), 1
    delimiter = _delimiter_of(first, delimiters, wanted)
    source = _Chained(first, lines)
    # Of the process as a whole; the standard limit of 131,072 is below what columns of others hold.
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
    """Lines after a first one, which know whether a reader has asked for more than there are.

    A reader of CSV does so in the middle of a row only where a quote is open.
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
    """The first of `delimiters` that parts the header into the columns that are wanted.

    Where none does, or nothing is asked for, the one that makes the most columns.
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
    # A spreadsheet ends rows with a separator that the header may lack.
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
            # A key may be left out of later rows where it has no value.
            yield number, {column: row.get(column) for column in columns.values()}


def json_objects(path: Path, lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, row) of each line that is not blank.

    A file that is one JSON array has its elements for rows, numbered from 1.
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
    """The elements of a JSON array, which has to be read as a whole."""
    text = first
    for line in rest:
        text += line
        if len(text) > MAX_FILE_BYTES:
            raise DataError(f"{path} is one JSON array, and too large for that; write a row a line")
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
                for place in range(batch.num_rows):
                    row = {name: of[place] for name, of in zip(wanted, cells, strict=True)}
                    yield first + place, row
                first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged, or of a kind that is not read") from error


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
    """A column's cells; dates as text, since Python's have fewer years than Arrow's."""
    is_date = pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)
    try:
        cells = (column.cast(pa.string()) if is_date else column).to_pylist()
        # What Arrow writes for a year that no calendar has.
        return [None if is_date and cell and cell[0] == "<" else cell for cell in cells]
    except (ValueError, OverflowError, TypeError, pa.ArrowException):
        # Not chained: a decoder's error carries the text.
        last = first + len(column) - 1
        raise DataError(
            f"{path}: column {name!r} has something in rows {first} to {last} that is no text"
        ) from None


def _check_columns(path: Path, columns: Mapping[str, str], available: Sequence[str]) -> None:
    for key, column in columns.items():
        if column in available:
            if available.count(column) > 1:
                raise DataError(f"{path} has more than one column {column!r}")
            continue
        # Names alone are compared: a first row of data would be quoted.
        near = difflib.get_close_matches(column, available if are_names(available) else (), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise DataError(f"{path} has no column {column!r} (for {key}){hint} {name_list(available)}")
