"""Upper bounds of the gain: synthetic pairs replaced by real ones, with and without rewording.

Quick to write, so another number of pairs is no reason to restart the experiment: parts of other
settings are written again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pairaug.config import Settings
from pairaug.errors import DataError
from pairaug.experiment.pairs import in_other_words
from pairaug.manifest import (
    fingerprint,
    part_fingerprint,
    part_index,
    part_path,
    part_paths,
    read_pairs,
    read_part,
    write_part,
)
from pairaug.pair import Pair
from pairaug.readers import ReadSettings, open_reader
from pairaug.run.folder import RunFolder
from pairaug.stage import RunContext

_PART_SIZE = 256


def make_upper_bound(
    folder: Path, reader_settings: ReadSettings, num_pairs: int, context: RunContext
) -> None:
    """Writes the first `num_pairs` usable training pairs of a reader to the folder's `read`."""
    inputs = {
        "kind": "extra real data",
        "read": reader_settings.model_dump(mode="json"),
        "num_pairs": num_pairs,
        "seed": context.seed,
    }
    own_fingerprint = fingerprint(inputs)
    stage = folder / "read"
    _discard_others(stage, own_fingerprint)
    num_parts = -(-num_pairs // _PART_SIZE)
    if part_path(stage, num_parts - 1).exists():
        context.report_progress(num_pairs)
        return
    usable = (
        pair
        for pair in open_reader(reader_settings, context)
        if pair.drop is None and pair.image is not None and pair.split == "train"
    )
    pairs = islice(usable, num_pairs)
    num_found = 0
    for index in range(num_parts):
        part = list(islice(pairs, _PART_SIZE))
        num_found += len(part)
        if part and not part_path(stage, index).exists():
            write_part(stage, index, part, own_fingerprint, is_last=index + 1 == num_parts)
        context.report_progress(len(part))
    if num_found < num_pairs:
        raise DataError(
            f"the upper bound needs {num_pairs} real pairs, but extra_real_data has {num_found}; "
            "add more, or leave `upper_bound` out of arms"
        )


def reword_upper_bound(upper_bound: Path, folder: Path, run: RunFolder, settings: Settings) -> None:
    """Writes the upper bound's pairs, reworded by rules, to the folder's `read`.

    The run's own real pairs keep their reports, as they do beside synthetic pairs. So does a report
    that the rules cannot reword.
    """
    own = {pair.id for pair in read_pairs(run.stage("read"))}

    def reword(pairs: list[Pair]) -> Iterator[Pair]:
        for pair in pairs:
            child = None if pair.id in own else in_other_words(pair, "reworded", settings)
            yield pair if child is None or child.drop else child

    before = part_paths(upper_bound / "read")
    inputs = {
        "kind": "reworded",
        "own": sorted(own),
        "seed": settings.seed,
        "max_words": settings.rewrite.max_words,
    }
    own_fingerprint = fingerprint(inputs, part_fingerprint(before[0]))
    stage = folder / "read"
    _discard_others(stage, own_fingerprint)
    for path in before:
        index = part_index(path)
        if not part_path(stage, index).exists():
            part = list(reword(read_part(path)))
            write_part(stage, index, part, own_fingerprint, is_last=path == before[-1])


def _discard_others(stage: Path, own_fingerprint: str) -> None:
    """Removes a folder's parts if any was written with other settings."""
    parts = part_paths(stage)
    if any(part_fingerprint(path) != own_fingerprint for path in parts):
        for path in parts:
            path.unlink()
