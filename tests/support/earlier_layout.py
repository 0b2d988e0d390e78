"""A run as an earlier PairAug left it: parts without the text that was rewritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

NEW_COLUMNS = ("source_report", "source_report_embedding")
EARLIER = 1


def as_before(run: Path, folder: Path) -> Path:
    """A copy of `run` in `folder`, in the layout of format 1."""
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    record["pairaug"]["format"] = EARLIER
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    for part in folder.glob("*/part-*.parquet"):
        _rewrite(part)
    return folder


def _rewrite(part: Path) -> None:
    table = pq.read_table(part)
    own = json.loads(table.schema.metadata[b"pairaug"])
    own["format"] = EARLIER
    table = table.drop_columns([name for name in NEW_COLUMNS if name in table.column_names])
    metadata = {**table.schema.metadata, b"pairaug": json.dumps(own).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), part)
