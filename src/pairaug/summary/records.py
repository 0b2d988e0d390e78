"""A run's pairs for the page: light columns of all pairs, and whole pairs for the examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pairaug.errors import RunError
from pairaug.manifest import part_paths, read_columns, read_part
from pairaug.pair import FINDINGS, SCORES, Branch, Pair
from pairaug.record import RECORD_NAME, read_record

_COLUMNS = ("id", "parent_id", "branch", "drop_stage", "drop_reason", "labels", "scores")


@dataclass(frozen=True)
class RunPairs:
    """All pairs of a run, dropped ones included, in the order of its parts; one entry per pair."""

    ids: list[str]
    parents: list[str | None]
    branches: np.ndarray
    drop_stages: np.ndarray
    """The stage that dropped the pair; empty for a kept pair."""
    drop_reasons: np.ndarray
    scores: dict[str, np.ndarray]
    """Score name → float64, NaN if missing."""
    labels: dict[str, np.ndarray]
    """Finding → int8: 1 present, 0 absent, -1 not stated."""
    parts: tuple[Path, ...]
    part_of: np.ndarray
    """Index into `parts`."""

    @property
    def is_living(self) -> np.ndarray:
        return self.drop_stages == ""

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Id → index in the columns."""
        return {pair_id: row for row, pair_id in enumerate(self.ids)}

    def of(self, branch: Branch) -> np.ndarray:
        """True for the pairs of a branch."""
        return self.branches == branch.value

    def num(self, mask: np.ndarray) -> int:
        return int(np.count_nonzero(mask))

    def whole(self, ids: Iterable[str]) -> dict[str, Pair]:
        """The pairs with these ids, images included; only their parts are read."""
        wanted = set(ids)
        numbers = sorted({int(self.part_of[self.row_of[pair_id]]) for pair_id in wanted})
        return {
            pair.id: pair
            for number in numbers
            for pair in read_part(self.parts[number])
            if pair.id in wanted
        }

    def embeddings(self, rows: Sequence[int], column: str) -> tuple[np.ndarray, np.ndarray]:
        """(rows with an embedding, their vectors as float32 `row dimension`) of a column."""
        chosen = np.asarray(sorted(rows), dtype=np.int64)
        found: list[int] = []
        vectors: list[np.ndarray] = []
        for number, path in enumerate(self.parts):
            first = int(np.searchsorted(self.part_of, number))
            inside = chosen[self.part_of[chosen] == number] - first
            if not inside.size:
                continue
            values = read_columns(path, [column])[column].take(pa.array(inside))
            for row, value in zip(inside + first, values.to_pylist(), strict=True):
                if value is not None:
                    found.append(int(row))
                    vectors.append(np.asarray(value, dtype=np.float32))
        return np.asarray(found, dtype=np.int64), np.stack(vectors) if vectors else np.empty((0, 0))


def load_pairs(folder: Path) -> RunPairs:
    """The columns of all parts in `folder`, without images and texts."""
    paths = tuple(part_paths(folder))
    if not paths:
        raise RunError(
            f"{folder} has no parts, so there is nothing to summarize. "
            f"Finish the run first: pairaug run {folder.parent}"
        )
    tables = [read_columns(path, _COLUMNS) for path in paths]
    table = pa.concat_tables(tables)
    return RunPairs(
        ids=table["id"].to_pylist(),
        parents=table["parent_id"].to_pylist(),
        branches=np.asarray(table["branch"].to_pylist()),
        drop_stages=_texts(table["drop_stage"]),
        drop_reasons=_texts(table["drop_reason"]),
        scores={name: _numbers(table["scores"], name, np.nan, np.float64) for name in SCORES},
        labels={name: _numbers(table["labels"], name, -1, np.int8) for name in FINDINGS},
        parts=paths,
        part_of=np.repeat(np.arange(len(tables)), [part.num_rows for part in tables]),
    )


def load_facts(run_folder: Path) -> dict[str, Any]:
    """The contents of `run.json`."""
    record = read_record(run_folder / RECORD_NAME)
    if record is None:
        raise RunError(f"{run_folder} is not a run folder: it has no run.json")
    return record.as_json()


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray([value or "" for value in column.to_pylist()], dtype=np.str_)


def _numbers(column: pa.ChunkedArray, name: str, missing: float, dtype: Any) -> np.ndarray:
    values = (None if row is None else row.get(name) for row in column.to_pylist())
    return np.asarray([missing if value is None else value for value in values], dtype=dtype)
