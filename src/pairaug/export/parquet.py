"""Parquet files for `datasets.load_dataset`, with the images inside."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pairaug.export.columns import RowFiles, TableFile, file_name, schema_of
from pairaug.export.record import Exported, Terms


class ParquetWriter:
    """Writes `<split>-00000.parquet`, …; the same pairs give the same bytes."""

    def __init__(self, folder: Path, pairs_per_file: int, terms: Terms) -> None:
        self._folder = folder
        self._terms = terms
        self._schema = schema_of(terms)
        self._files = RowFiles(self._open, self._schema, pairs_per_file)
        folder.mkdir(parents=True)

    def add(self, item: Exported) -> None:
        """Appends a pair to its split's file."""
        self._files.add(item)

    def close(self) -> None:
        """Finishes the open files."""
        self._files.close()

    def finish(self, edition: str) -> None:
        """Does nothing: the files are complete."""
        del edition

    def _open(self, split: str, number: int) -> TableFile:
        path = self._folder / file_name(self._terms, split, number, "parquet")
        return pq.ParquetWriter(path, self._schema, compression="zstd")
