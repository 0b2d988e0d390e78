"""Parquet files for `datasets.load_dataset`, with the films inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pairaug.export.film import Film
from pairaug.export.record import record_of
from pairaug.pair import FINDINGS, SCORES, Pair

# Few enough that a group of large films fits in memory, on both sides.
_ROWS_PER_GROUP = 64

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


def _schema() -> pa.Schema:
    features = {
        "image": {"_type": "Image"},
        **{name: {"dtype": "string", "_type": "Value"} for name in _TEXTS},
        "synthetic": {"dtype": "bool", "_type": "Value"},
        "labels": {name: {"dtype": "int8", "_type": "Value"} for name in FINDINGS},
        "scores": {name: {"dtype": "float64", "_type": "Value"} for name in SCORES},
    }
    columns = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        pa.field("synthetic", pa.bool_()),
        pa.field("labels", pa.struct([(name, pa.int8()) for name in FINDINGS])),
        pa.field("scores", pa.struct([(name, pa.float64()) for name in SCORES])),
    ]
    return pa.schema(
        columns, metadata={"huggingface": json.dumps({"info": {"features": features}})}
    )


SCHEMA = _schema()


class ParquetWriter:
    """Writes `<split>-00000.parquet` and on; the same pairs give the same bytes."""

    def __init__(self, folder: Path, pairs_per_file: int, access: str) -> None:
        self._folder = folder
        self._pairs_per_file = pairs_per_file
        self._access = access
        self._open: dict[str, pq.ParquetWriter] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._counts: dict[str, int] = {}
        folder.mkdir(parents=True)

    def add(self, pair: Pair, film: Film) -> None:
        """Appends a pair to its split's file."""
        count = self._counts.get(pair.split, 0)
        if count and count % self._pairs_per_file == 0:
            self._finish(pair.split)
        rows = self._rows.setdefault(pair.split, [])
        rows.append(_row(pair, film, self._access))
        self._counts[pair.split] = count + 1
        if len(rows) == _ROWS_PER_GROUP:
            self._flush(pair.split)

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
            path = self._folder / f"{split}-{number:05d}.parquet"
            self._open[split] = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._open[split].write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
        rows.clear()


def _row(pair: Pair, film: Film, access: str) -> dict[str, Any]:
    # Absent labels and scores become null.
    return {
        **record_of(pair, access),
        "image": {"bytes": film.content, "path": f"{pair.id}.{film.suffix}"},
        "report": pair.report.text,
    }
