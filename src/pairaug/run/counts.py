"""How many pairs each stage took in, made and dropped, counted from the parts themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pairaug.manifest import read_outcomes
from pairaug.run.chain import is_work


def count_stage(stage: str, parts: Sequence[Path], before: Sequence[Path]) -> dict[str, Any]:
    """{in, made, living: {branch: pairs}, dropped: {reason: pairs}} of a complete stage.

    `in` counts the pairs that the stage had work with, `made` the pairs that are new. `before` are
    the parts that it read; there are none for the first stage.
    """
    num_all = num_before = num_in = 0
    living: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for path in parts:
        for outcome in read_outcomes(path):
            num_all += 1
            if outcome.drop is None:
                living[outcome.branch.value] += 1
            elif outcome.drop.stage == stage:
                dropped[outcome.drop.reason] += 1
    for path in before:
        outcomes = read_outcomes(path)
        num_before += len(outcomes)
        num_in += sum(o.drop is None and is_work(stage, o.branch) for o in outcomes)
    return {
        "in": num_in if before else num_all,
        "made": num_all - num_before,
        "living": dict(sorted(living.items())),
        "dropped": dict(dropped.most_common()),
    }


def num_work(stage: str, path: Path) -> int:
    """How many pairs of a part are work for `stage`."""
    return sum(o.drop is None and is_work(stage, o.branch) for o in read_outcomes(path))
