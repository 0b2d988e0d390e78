"""A folder of images with tables: a CSV for people and scripts, a TSV for open_clip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pairaug.export.captions import as_caption
from pairaug.export.record import Exported, Terms
from pairaug.export.tables import MEASURED_COLUMNS, RECORD_COLUMNS, Tables, cells_of

# Folders with more files are slow to list on some file systems.
_IMAGES_PER_FOLDER = 1000

_TEXT_COLUMNS = ("report", "findings", "impression")
_ROW_COLUMNS = (*_TEXT_COLUMNS, *RECORD_COLUMNS, *MEASURED_COLUMNS)
_COLUMNS = ("file", *_ROW_COLUMNS)
_METADATA_COLUMNS = ("file_name", *_ROW_COLUMNS)


class FolderWriter:
    """Writes `<split>/00000/<key>.png`, `<split>.csv` and `<split>-open_clip.tsv`.

    Paths in the tables are relative to the folder, so that you can move it. The TSV has the default
    columns and separator of open_clip's csv dataset. `<split>/metadata.csv` has the same rows by
    `file_name`, for `datasets.load_dataset("imagefolder")`.
    """

    def __init__(self, folder: Path, terms: Terms) -> None:
        self._folder = folder
        self._terms = terms
        self._counts: Counter[str] = Counter()
        self._tables = Tables(_COLUMNS)
        self._metadata = Tables(_METADATA_COLUMNS)
        self._captions = Tables(("filepath", "title"), delimiter="\t")
        folder.mkdir(parents=True)

    def add(self, item: Exported) -> None:
        """Writes an image and its rows."""
        split = item.pair.split
        stem = self._terms.stem(split)
        number = self._counts[split] // _IMAGES_PER_FOLDER
        self._counts[split] += 1
        name = f"{number:05d}/{item.key}.{item.image.suffix}"
        file = f"{stem}/{name}"
        path = self._folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.image.content)
        texts = {
            "report": item.text,
            "findings": item.pair.report.findings,
            "impression": item.pair.report.impression,
        }
        row = {**{kind: as_caption(text) for kind, text in texts.items()}, **cells_of(item)}
        self._tables.add(self._folder / f"{stem}.csv", {"file": file, **row})
        self._metadata.add(self._folder / stem / "metadata.csv", {"file_name": name, **row})
        caption = {"filepath": file, "title": as_caption(item.text)}
        self._captions.add(self._folder / f"{stem}-open_clip.tsv", caption)

    def close(self) -> None:
        """Finishes the tables."""
        self._tables.close()
        self._metadata.close()
        self._captions.close()

    def finish(self, edition: str) -> None:
        """Does nothing: the files are complete."""
        del edition
