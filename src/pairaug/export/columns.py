"""Pairs as Arrow rows in files by split, for the Parquet and the Hugging Face layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa

from pairaug.export.record import Exported, Terms
from pairaug.pair import FINDINGS, SCORES

# A group of images must fit in memory, for the writer and for readers.
_ROWS_PER_GROUP = 64
_BYTES_PER_GROUP = 64 * 1024**2

_TEXTS = (
    "id",
    "branch",
    "split",
    "patient_id",
    "parent_id",
    "source_patient_id",
    "report",
    "findings",
    "impression",
    "access",
)
_FLAGS = ("synthetic", "restricted")

FEATURES: dict[str, Any] = {
    "image": {"_type": "Image"},
    **{name: {"dtype": "string", "_type": "Value"} for name in _TEXTS},
    **{name: {"dtype": "bool", "_type": "Value"} for name in _FLAGS},
    "labels": {name: {"dtype": "int8", "_type": "Value"} for name in FINDINGS},
    "scores": {name: {"dtype": "float64", "_type": "Value"} for name in SCORES},
}
"""The columns as Hugging Face features, in the form that `datasets` stores in a schema."""


def schema_of(terms: Terms) -> pa.Schema:
    """The columns, with their features and the terms as metadata."""
    columns = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        *(pa.field(name, pa.bool_()) for name in _FLAGS),
        pa.field("labels", pa.struct([(name, pa.int8()) for name in FINDINGS])),
        pa.field("scores", pa.struct([(name, pa.float64()) for name in SCORES])),
    ]
    metadata = {
        "huggingface": json.dumps({"info": {"features": FEATURES}}),
        "pairaug": json.dumps(terms.as_metadata(), ensure_ascii=False),
    }
    return pa.schema(columns, metadata=metadata)


class TableFile(Protocol):
    """An open file that accepts tables, like pyarrow's writers."""

    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class RowFiles:
    """Writes rows to numbered files with a fixed number of pairs per split, in groups."""

    def __init__(
        self, open_file: Callable[[str, int], TableFile], schema: pa.Schema, pairs_per_file: int
    ) -> None:
        """`open_file` takes a split and the number of the file in it, from 0."""
        self._open_file = open_file
        self._schema = schema
        self._pairs_per_file = pairs_per_file
        self._open: dict[str, TableFile] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._num_bytes: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    def add(self, item: Exported) -> None:
        """Appends a pair to its split's file."""
        split = item.pair.split
        count = self._counts.get(split, 0)
        if count and count % self._pairs_per_file == 0:
            self._finish(split)
        rows = self._rows.setdefault(split, [])
        rows.append(_row(item))
        self._counts[split] = count + 1
        self._num_bytes[split] = self._num_bytes.get(split, 0) + len(item.image.content)
        if len(rows) == _ROWS_PER_GROUP or self._num_bytes[split] >= _BYTES_PER_GROUP:
            self._flush(split)

    def close(self) -> None:
        """Finishes the open files."""
        for split in list(self._rows):
            self._finish(split)

    def _finish(self, split: str) -> None:
        self._flush(split)
        if split in self._open:
            self._open.pop(split).close()

    def _flush(self, split: str) -> None:
        rows = self._rows[split]
        if not rows:
            return
        if split not in self._open:
            number = (self._counts[split] - 1) // self._pairs_per_file
            self._open[split] = self._open_file(split, number)
        self._open[split].write_table(pa.Table.from_pylist(rows, schema=self._schema))
        rows.clear()
        self._num_bytes[split] = 0


def file_name(terms: Terms, split: str, number: int, suffix: str) -> str:
    """The name of a numbered file of a split."""
    return f"{terms.stem(split)}-{number:05d}.{suffix}"


def _row(item: Exported) -> dict[str, Any]:
    # Absent labels and scores become null.
    return {
        **item.record,
        "image": {"bytes": item.image.content, "path": f"{item.key}.{item.image.suffix}"},
        "report": item.text,
    }
