"""The rows of a CSV, TSV, JSONL or Parquet file, streamed; which cell means what is the caller's.

Messages name files, columns and row numbers, never the content of a row.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from csv import Error as CsvError
from csv import reader as lines_of_csv
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from pairaug.errors import DataError
from pairaug.readers.text import cell_text

Row = Mapping[str, str | None]

_BLOCK_BYTES = 1 << 20
_BATCH_ROWS = 1024
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}


def rows_of(
    path: Path, columns: Mapping[str, str], encoding: str = "utf-8", delimiter: str | None = None
) -> Iterator[Row]:
    """One mapping for each row, from the keys of `columns` to the text of the column named there.

    A cell is what `readers.text.cell_text` makes of it. The format follows the file's name. A
    missing, empty or undecodable file and an unknown column raise `DataError`.
    """
    for cells in cells_of(path, columns, encoding, delimiter):
        yield {key: cell_text(value) for key, value in cells.items()}


def cells_of(
    path: Path, columns: Mapping[str, str], encoding: str = "utf-8", delimiter: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """Rows as `rows_of` gives them, with their cells as the file has them, whatever they are."""
    kind = _format_of(path)
    try:
        if kind == "parquet":
            rows = _parquet_rows(path, columns)
        elif kind == "jsonl":
            rows = _jsonl_rows(path, columns, encoding)
        else:
            rows = _csv_rows(path, columns, encoding, delimiter or _delimiter(kind))
        is_empty = True
        for row in rows:
            is_empty = False
            yield {key: row[column] for key, column in columns.items()}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise _not_encoded(path, encoding) from error
    if is_empty:
        raise DataError(f"{path} has no rows")


def column_names(
    path: Path, encoding: str = "utf-8", delimiter: str | None = None
) -> tuple[str, ...]:
    """What the columns of a table are called, in order; of a JSONL file, in its first row.

    Raises `DataError` as `rows_of` does.
    """
    kind = _format_of(path)
    try:
        if kind == "parquet":
            return tuple(parquet.read_schema(path).names)
        with io.TextIOWrapper(_opened(path), encoding=encoding, newline="") as lines:
            if kind == "jsonl":
                first = next((line for line in lines if line.strip()), "{}")
                return tuple(_json_object(path, 1, first))
            header = next(lines_of_csv(lines, delimiter=delimiter or _delimiter(kind)), [])
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise _not_encoded(path, encoding) from error
    except LookupError as error:
        raise DataError(f"{path}: unknown encoding {encoding!r}; try utf-8 or latin-1") from error
    except (pa.ArrowInvalid, CsvError) as error:
        raise DataError(f"{path} is not a readable table") from error
    # Some programs mark the beginning of a UTF-8 file.
    return tuple(name.removeprefix("\ufeff") for name in header)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal; a missing file raises `DataError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or type(error).__name__}") from error


def _delimiter(kind: str) -> str:
    return "\t" if kind == "tsv" else ","


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
    path: Path, columns: Mapping[str, str], encoding: str, delimiter: str
) -> Iterator[Mapping[str, Any]]:
    # One thread: rows stay in order, and an error can tell its row.
    read = csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, encoding=encoding)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        with csv.open_csv(_opened(path), read_options=read, parse_options=parse) as header:
            names = header.schema.names
        _check_columns(path, columns, names)
        # Everything is text: an id such as 007 must not become a number.
        convert = csv.ConvertOptions(
            include_columns=list(dict.fromkeys(columns.values())),
            column_types={name: pa.string() for name in names},
        )
        with csv.open_csv(_opened(path), read, parse, convert) as reader:
            for batch in reader:
                yield from batch.to_pylist()
    except LookupError as error:
        raise DataError(f"{path}: unknown encoding {encoding!r}; try utf-8 or latin-1") from error
    except pa.ArrowInvalid as error:
        raise _csv_error(path, str(error), encoding) from None


def _opened(path: Path) -> pa.NativeFile:
    # Unpacks .gz by the file's name.
    return pa.input_stream(str(path))


def _csv_error(path: Path, message: str, encoding: str) -> DataError:
    """`message` in our words: Arrow quotes the row, and a row is a patient's report."""
    if "Empty CSV file" in message:
        return DataError(f"{path} is empty")
    if "UTF8" in message or "UTF-8" in message:
        return _not_encoded(path, encoding)
    counts = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", message)
    if counts:
        row, expected, found = counts.groups()
        where = f"line {row}" if row else "a line"
        return DataError(
            f"{path}: {where} has {found} columns, its header has {expected}; "
            "check the delimiter and the quotes"
        )
    return DataError(f"{path} is not well-formed CSV; check the delimiter and the quotes")


def _jsonl_rows(
    path: Path, columns: Mapping[str, str], encoding: str
) -> Iterator[Mapping[str, Any]]:
    try:
        lines = io.TextIOWrapper(_opened(path), encoding=encoding)
    except LookupError as error:
        raise DataError(f"{path}: unknown encoding {encoding!r}; try utf-8 or latin-1") from error
    with lines:
        checked = False
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = _json_object(path, number, line)
            if not checked:
                _check_columns(path, columns, list(row))
                checked = True
            # A key may be left out of later rows where it has no value.
            yield {column: row.get(column) for column in columns.values()}


def _json_object(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        row = None
    if not isinstance(row, dict):
        # Not chained: the decoder's error carries the whole line, which is a patient's report.
        raise DataError(f"{path}: line {number} is not a JSON object") from None
    return row


def _parquet_rows(path: Path, columns: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, columns, file.schema_arrow.names)
            wanted = list(dict.fromkeys(columns.values()))
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a readable Parquet file") from error


def _check_columns(path: Path, columns: Mapping[str, str], available: Sequence[str]) -> None:
    for key, column in columns.items():
        if column in available:
            if available.count(column) > 1:
                raise DataError(f"{path} has more than one column {column!r}")
            continue
        near = difflib.get_close_matches(column, available, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise DataError(
            f"{path} has no column {column!r} (for {key}){hint} "
            f"Its columns are: {', '.join(available)}"
        )


def _not_encoded(path: Path, encoding: str) -> DataError:
    return DataError(
        f"{path} is not {encoding} text; set read.encoding to the encoding it has, such as latin-1"
    )
