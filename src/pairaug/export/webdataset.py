"""WebDataset shards: tar files with an image, a caption and a record for each pair."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import ExitStack
from pathlib import Path

from pairaug.export.record import Exported, Terms


class WebDatasetWriter:
    """Writes `<split>-000000.tar`, …; the same pairs give the same bytes.

    Members of a pair: `.png` or `.jpg`, `.txt` (the chosen text) and `.json`. open_clip reads the
    first two, and the number of pairs from `sizes.json`.
    """

    def __init__(self, folder: Path, pairs_per_shard: int, terms: Terms) -> None:
        self._folder = folder
        self._pairs_per_shard = pairs_per_shard
        self._terms = terms
        self._open: dict[str, tarfile.TarFile] = {}
        self._counts: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._closing = ExitStack()
        folder.mkdir(parents=True)

    def add(self, item: Exported) -> None:
        """Appends a pair to its split's shard."""
        shard = self._shard(item.pair.split)
        record = json.dumps(item.record, ensure_ascii=False, sort_keys=True, indent=1)
        _add_member(shard, f"{item.key}.{item.image.suffix}", item.image.content)
        _add_member(shard, f"{item.key}.txt", item.text.encode())
        _add_member(shard, f"{item.key}.json", record.encode())

    def close(self) -> None:
        """Finishes the open shards."""
        self._closing.close()

    def finish(self, edition: str) -> None:
        """Writes the number of pairs of each shard to `sizes.json`."""
        del edition
        text = json.dumps(dict(sorted(self._sizes.items())), indent=1)
        (self._folder / "sizes.json").write_text(f"{text}\n", encoding="utf-8")

    def _shard(self, split: str) -> tarfile.TarFile:
        count = self._counts.get(split, 0)
        self._counts[split] = count + 1
        number = count // self._pairs_per_shard
        name = f"{self._terms.stem(split)}-{number:06d}.tar"
        self._sizes[name] = self._sizes.get(name, 0) + 1
        if count % self._pairs_per_shard == 0:
            if count:
                self._open[split].close()
            path = self._folder / name
            shard = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self._open[split] = self._closing.enter_context(shard)
        return self._open[split]


def _add_member(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    # A new TarInfo has time 0, owner 0 and mode 644, and nothing about this machine.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
