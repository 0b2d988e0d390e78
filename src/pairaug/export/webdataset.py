"""WebDataset shards: tars with a film, its report and its record for each pair."""

from __future__ import annotations

import io
import json
import re
import tarfile
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

from pairaug.export.film import Film
from pairaug.export.record import record_of
from pairaug.pair import Pair

_LONGEST_SLUG = 64


class WebDatasetWriter:
    """Writes `<split>-000000.tar` and on; the same pairs give the same bytes.

    Members of a pair: `.png` or `.jpg`, `.txt` (impression, then findings) and `.json`. The text
    and the images are what open_clip reads.
    """

    def __init__(self, folder: Path, pairs_per_shard: int, access: str) -> None:
        self._folder = folder
        self._pairs_per_shard = pairs_per_shard
        self._access = access
        self._open: dict[str, tarfile.TarFile] = {}
        self._counts: dict[str, int] = {}
        self._closing = ExitStack()
        folder.mkdir(parents=True)

    def add(self, pair: Pair, film: Film) -> None:
        """Appends a pair to its split's shard."""
        shard = self._shard(pair.split)
        key = _key(pair.id)
        record = json.dumps(
            record_of(pair, self._access), ensure_ascii=False, sort_keys=True, indent=1
        )
        _add_member(shard, f"{key}.{film.suffix}", film.content)
        _add_member(shard, f"{key}.txt", pair.report.text.encode())
        _add_member(shard, f"{key}.json", record.encode())

    def close(self) -> None:
        """Finishes the open shards."""
        self._closing.close()

    def _shard(self, split: str) -> tarfile.TarFile:
        count = self._counts.get(split, 0)
        self._counts[split] = count + 1
        if count % self._pairs_per_shard == 0:
            if count:
                self._open[split].close()
            path = self._folder / f"{split}-{count // self._pairs_per_shard:06d}.tar"
            shard = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self._open[split] = self._closing.enter_context(shard)
        return self._open[split]


def _key(pair_id: str) -> str:
    """A name for a pair's members: readable, and unlike any other pair's.

    WebDataset ends a key at the first dot, so dots, slashes and the like are replaced.
    """
    slug = re.sub(r"[^A-Za-z0-9_~-]", "_", pair_id)[-_LONGEST_SLUG:]
    return f"{slug}-{blake2b(pair_id.encode(), digest_size=6).hexdigest()}"


def _add_member(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    # A new TarInfo has time 0, owner 0 and mode 644: nothing of this machine.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
