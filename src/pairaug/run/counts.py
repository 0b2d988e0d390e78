"""Counts of the pairs that each stage took in, created and dropped, from its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pairaug.manifest import read_columns
from pairaug.pair import Branch
from pairaug.run.stages import is_work


def count_stage(stage: str, parts: Sequence[Path], before: Sequence[Path]) -> dict[str, Any]:
    """{in, created, living: {branch: pairs}, dropped: {reason: pairs}} of a complete stage.

    `in` counts the pairs that the stage works on, `created` the new pairs. `before` are the parts
    that the stage read; empty for the first stage.
    """
    num_all = num_before = num_in = 0
    living: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for branch, drop_stage, reason, number in outcomes(parts):
        num_all += number
        if drop_stage is None:
            living[branch] += number
        elif drop_stage == stage:
            dropped[reason] += number
    for branch, drop_stage, _, number in outcomes(before):
        num_before += number
        num_in += number * (drop_stage is None and is_work(stage, Branch(branch)))
    return {
        "in": num_in if before else num_all,
        "created": num_all - num_before,
        "living": dict(sorted(living.items())),
        "dropped": dict(dropped.most_common()),
    }


def num_work(stage: str, path: Path) -> int:
    """Number of pairs in a part that `stage` works on."""
    return sum(
        number
        for branch, drop_stage, _, number in outcomes([path])
        if drop_stage is None and is_work(stage, Branch(branch))
    )


def outcomes(parts: Sequence[Path]) -> Iterator[tuple[str, str | None, str, int]]:
    """(branch, drop stage, drop reason, number of pairs) per part, in the order of the first pair.

    Counts columns, not pairs: a run of a million pairs is counted each time it is pruned.
    """
    names = ["branch", "drop_stage", "drop_reason"]
    for path in parts:
        groups = read_columns(path, names).group_by(names, use_threads=False)
        counted = groups.aggregate([([], "count_all")])
        for row in counted.to_pylist():
            yield row["branch"], row["drop_stage"], row["drop_reason"], row["count_all"]
