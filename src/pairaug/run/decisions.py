"""The history of pruning decisions, kept beside the parts so that decisions can be compared.

`decisions/decision-00000.parquet` has a row for each pair that a rule was applied to, and
`changes-00001.csv` the pairs that only one of decisions 0 and 1 keeps.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pairaug.manifest import part_fingerprint, part_paths, read_columns
from pairaug.pair import Branch
from pairaug.record import RunRecord
from pairaug.run.folder import RunFolder
from pairaug.system.atomic import write_file

# Its functions are made at import, so no type checker knows them.
pc: Any = pyarrow.compute

_SYNTHETIC = (Branch.INTER.value, Branch.INTRA.value)


def append_decision(folder: RunFolder, record: RunRecord) -> None:
    """Adds the decisions in the complete parts of `prune` to the history, unless it has them.

    Called before parts are replaced and again when they are complete, so a killed run loses no
    decision and records none twice.
    """
    parts = part_paths(folder.stage("prune"))
    fingerprint = part_fingerprint(parts[0])
    if record.decisions and record.decisions[-1]["fingerprint"] == fingerprint:
        return
    number, table = len(record.decisions), _read_decisions(parts)
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_file(_path(folder, number), buffer.getvalue())
    kept = table.filter(pc.is_null(table["reason"]))["branch"].to_pylist()
    entry: dict[str, Any] = {
        "fingerprint": fingerprint,
        "rule": record.rule,
        "gate": record.gate,
        "kept": {branch: kept.count(branch) for branch in _SYNTHETIC},
    }
    if number and _path(folder, number - 1).is_file():
        before = pq.read_table(_path(folder, number - 1))
        entry["changed"] = _write_changes(before, table, changes_path(folder, number))
    record.decisions.append(entry)
    record.write(folder.record_path)


def changes_path(folder: RunFolder, number: int) -> Path:
    """The file with the pairs that differ between decision `number` and the one before it."""
    return folder.path / "decisions" / f"changes-{number:05d}.csv"


def format_changes(folder: RunFolder, record: RunRecord) -> str:
    """One line: pairs kept before and now; empty for the first decision."""
    if len(record.decisions) < 2:
        return ""
    before, after = record.decisions[-2:]
    branches = ", ".join(
        f"{name} {before['kept'][name]:,} → {after['kept'][name]:,}" for name in _SYNTHETIC
    )
    changed = after.get("changed")
    if changed is None:
        return f"kept before → now: {branches}"
    where = changes_path(folder, len(record.decisions) - 1)
    records = f", listed in {where}" if sum(changed.values()) else ""
    return (
        f"kept before → now: {branches}; newly kept {changed['newly_kept']:,}, "
        f"no longer kept {changed['no_longer_kept']:,}{records}"
    )


def _path(folder: RunFolder, number: int) -> Path:
    return folder.path / "decisions" / f"decision-{number:05d}.parquet"


def _read_decisions(parts: Sequence[Path]) -> pa.Table:
    """Id, branch and drop reason (null: kept) of the synthetic pairs that reached pruning."""
    tables = []
    for path in parts:
        table = read_columns(path, ["id", "branch", "drop_stage", "drop_reason"])
        reached = pc.equal(pc.fill_null(table["drop_stage"], "prune"), "prune")
        is_synthetic = pc.is_in(table["branch"], pa.array(_SYNTHETIC))
        table = table.filter(pc.and_(reached, is_synthetic)).drop_columns(["drop_stage"])
        tables.append(table.rename_columns(["id", "branch", "reason"]))
    # Without the schema's own metadata: that of parts is about images.
    return pa.concat_tables(tables).replace_schema_metadata(None)


def _write_changes(before: pa.Table, after: pa.Table, path: Path) -> dict[str, int]:
    """Writes the pairs that only one of two decisions keeps, and returns the two counts."""
    was = dict(zip(before["id"].to_pylist(), before["reason"].to_pylist(), strict=True))
    counts = {"newly_kept": 0, "no_longer_kept": 0}
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("id", "branch", "before", "now"))
    for pair_id, branch, reason in zip(
        *(after[name].to_pylist() for name in after.column_names), strict=True
    ):
        old = was.get(pair_id, "not there")
        if (old is None) == (reason is None):
            continue
        counts["newly_kept" if reason is None else "no_longer_kept"] += 1
        rows.writerow((pair_id, branch, old or "kept", reason or "kept"))
    write_file(path, text.getvalue().encode())
    return counts
