"""A run as an earlier PairAug left it, with the columns and names that it had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NEW_COLUMNS = ("source_report", "source_report_embedding")


def as_before(run: Path, folder: Path, layout: int = 1) -> Path:
    """A copy of `run` in `folder`, in the layout of format 1 or 2.

    Layout 1 lacks the text that was rewritten. Layout 2 has it; the score `directional` was called
    `change`, the split `validation` was `validate`, and settings had other names.
    """
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    record["pairaug"]["format"] = layout
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    for part in folder.glob("*/part-*.parquet"):
        _rewrite(part, layout)
    if layout == 2:
        path = folder / "run.yaml"
        text = path.read_text(encoding="utf-8")
        assert "directional" in text
        path.write_text(text.replace("directional", "change"), encoding="utf-8")
    return folder


def _rewrite(part: Path, layout: int) -> None:
    table = pq.read_table(part)
    metadata = table.schema.metadata
    own = json.loads(metadata[b"pairaug"])
    own["format"] = layout
    if layout == 1:
        table = table.drop_columns([name for name in NEW_COLUMNS if name in table.column_names])
    else:
        scores = table["scores"].combine_chunks()
        names = [field.name.replace("directional", "change") for field in scores.type]
        table = _with(table, "scores", pa.StructArray.from_arrays(scores.flatten(), names))
        splits = [
            "validate" if each == "validation" else each for each in table["split"].to_pylist()
        ]
        table = _with(table, "split", pa.array(splits, table["split"].type))
    metadata = {**metadata, b"pairaug": json.dumps(own).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), part)


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)
