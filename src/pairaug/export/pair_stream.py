"""The pairs to export, read several times in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pairaug.export.subset import Outline
from pairaug.manifest import part_paths, read_columns, read_pairs
from pairaug.pair import Pair


class PairStream(Protocol):
    """Pairs in the same order each time, dropped ones included."""

    def __iter__(self) -> Iterator[Pair]: ...

    def outlines(self) -> Iterator[Outline]:
        """The outlines of the living pairs, without their images."""
        ...


class PartPairs:
    """The pairs in a folder of parts, one part in memory at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[Pair]:
        """All pairs."""
        return read_pairs(self._folder)

    def outlines(self) -> Iterator[Outline]:
        """The outlines of the living pairs, read from a few columns."""
        for path in part_paths(self._folder):
            columns = read_columns(path, ["id", "branch", "split", "drop_stage"])
            for row in columns.to_pylist():
                if row["drop_stage"] is None:
                    yield Outline(row["id"], row["branch"], row["split"])
