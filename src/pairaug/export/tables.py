"""CSV tables of pairs, one per split, written row by row."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pairaug.export.record import Exported
from pairaug.pair import FINDINGS, SCORES

RECORD_COLUMNS = (
    "id",
    "branch",
    "synthetic",
    "split",
    "patient_id",
    "parent_id",
    "source_patient_id",
    "access",
    "restricted",
)
"""The columns of every pair, apart from image, text, labels and scores."""

MEASURED_COLUMNS = (*FINDINGS, *SCORES)
"""Labels (1 present, 0 absent, empty not stated) and scores (empty if missing)."""


class Tables:
    """Tables with the same columns, opened at their first row."""

    def __init__(self, columns: Sequence[str], delimiter: str = ",") -> None:
        self._columns = columns
        self._delimiter = delimiter
        self._open: dict[Path, Any] = {}
        self._closing = ExitStack()

    def add(self, path: Path, row: Mapping[str, Any]) -> None:
        """Appends a row to the table at `path`; missing values stay empty."""
        if path not in self._open:
            # Not translated: line ends inside reports stay as they are.
            file = self._closing.enter_context(path.open("w", encoding="utf-8", newline=""))
            self._open[path] = csv.DictWriter(
                file, self._columns, delimiter=self._delimiter, lineterminator="\n"
            )
            self._open[path].writeheader()
        self._open[path].writerow(row)

    def close(self) -> None:
        """Finishes the tables."""
        self._closing.close()


def cells_of(item: Exported) -> dict[str, Any]:
    """The cells of `RECORD_COLUMNS` and `MEASURED_COLUMNS`."""
    record = item.record
    return {
        **{name: _cell(record[name]) for name in RECORD_COLUMNS},
        **record["labels"],
        **record["scores"],
    }


def _cell(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
