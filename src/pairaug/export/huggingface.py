"""A saved dataset: the folder that `DatasetDict.save_to_disk` of `datasets` writes.

Written with pyarrow in groups of rows: the library would first copy everything into its cache.
Tests compare the folder with one that the library wrote.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pairaug.export.columns import FEATURES, RowFiles, TableFile, file_name, schema_of
from pairaug.export.record import Exported, Terms
from pairaug.export.tally import SPLITS


class HuggingFaceWriter:
    """Writes `<split>/…-00000.arrow`, …, and the files that `load_from_disk` needs."""

    def __init__(self, folder: Path, pairs_per_file: int, terms: Terms) -> None:
        self._folder = folder
        self._terms = terms
        self._schema = schema_of(terms)
        self._files = RowFiles(self._open, self._schema, pairs_per_file)
        self._names: dict[str, list[str]] = {}
        folder.mkdir(parents=True)

    def add(self, item: Exported) -> None:
        """Appends a pair to its split's file."""
        self._files.add(item)

    def close(self) -> None:
        """Finishes the open files."""
        self._files.close()

    def finish(self, edition: str) -> None:
        """Writes the lists of files by split."""
        splits = [split for split in SPLITS if split in self._names]
        for split in splits:
            folder = self._folder / split
            _write_json(folder / "dataset_info.json", self._about())
            _write_json(folder / "state.json", self._state(split, edition))
        _write_json(self._folder / "dataset_dict.json", {"splits": splits})

    def _open(self, split: str, number: int) -> TableFile:
        folder = self._folder / split
        folder.mkdir(exist_ok=True)
        name = file_name(self._terms, split, number, "arrow")
        self._names.setdefault(split, []).append(name)
        return _ArrowFile(folder / name, self._schema)

    def _about(self) -> dict[str, Any]:
        mark = "Restricted. " if self._terms.restricted else ""
        return {
            "citation": "",
            "description": f"{mark}Image-report pairs of {self._terms.source}, real and synthetic.",
            "features": FEATURES,
            "homepage": "",
            "license": self._terms.license,
        }

    def _state(self, split: str, edition: str) -> dict[str, Any]:
        return {
            "_data_files": [{"filename": name} for name in self._names[split]],
            # `datasets` caches the results of its operations on this dataset under this name.
            "_fingerprint": f"{edition[:12]}{split}",
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }


class _ArrowFile:
    """An Arrow stream in one file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._stream = pa.ipc.new_stream(self._file, schema)

    def write_table(self, table: pa.Table) -> None:
        """Appends rows."""
        self._stream.write_table(table)

    def close(self) -> None:
        """Ends the stream and the file."""
        self._stream.close()
        self._file.close()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
