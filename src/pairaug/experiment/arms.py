"""Which pairs each row of the comparison trains on, and for how many steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pairaug.experiment.settings import Row, UtilitySettings
from pairaug.train.clip import PairSource
from pairaug.train.clip.sources import BranchName


def sources_of(row: Row, folder: Path, num_kept: int) -> tuple[PairSource, ...]:
    """The sources of a row's pairs; `folder` is the experiment's.

    `num_kept` is the number of synthetic pairs that pruning kept. The row that has as many without
    pruning has the same real pairs, and of all synthetic ones a subset by hash, another for each
    seed.
    """
    run = folder / "run"
    real = _source(run, "real")
    match row:
        case "real" | "real, equal compute":
            return (real,)
        case "+inter":
            return (_source(run, "real", "inter"),)
        case "+intra":
            return (_source(run, "real", "intra"),)
        case "+both":
            return (_source(run, "real", "inter", "intra"),)
        case "no pruning":
            return (PairSource(run=run, keep="all"),)
        case "no pruning, as many":
            synthetic = PairSource(
                run=run, branches=("inter", "intra"), keep="all", max_pairs=max(1, num_kept)
            )
            return (real, synthetic)
        case "image-only":
            return (real, _source(folder / "image-only", "inter"))
        case "text-only":
            return (real, _source(folder / "text-only", "intra"))
        case "ceiling":
            return (_source(folder / "ceiling", "real"),)
        case "ceiling, reworded":
            return (_source(folder / "ceiling-reworded", "real", "intra"),)


def num_steps_of(row: Row, settings: UtilitySettings, num_pairs: Mapping[str, int]) -> int:
    """Optimiser steps of a row: the same for all, but for `real`.

    `real` makes as many passes over its pairs as `+both` does over its own, as a comparison by
    epochs would have it; so it takes fewer steps.
    """
    if row != "real":
        return settings.num_steps
    share = num_pairs["real"] / max(1, num_pairs["+both"])
    return max(1, round(settings.num_steps * share))


def _source(run: Path, *branches: BranchName) -> PairSource:
    return PairSource(run=run, branches=branches)
