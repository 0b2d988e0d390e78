"""Training pairs and optimizer steps of each arm of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pairaug.experiment.settings import Arm, UtilitySettings
from pairaug.train.clip import PairSource
from pairaug.train.clip.sources import BranchName


def sources_of(arm: Arm, folder: Path, num_kept: int) -> tuple[PairSource, ...]:
    """Sources of an arm's pairs; `folder` is the experiment's.

    `num_kept` is the number of synthetic pairs that pruning kept. The unpruned arm of matched size
    has the same real pairs, and of all synthetic ones that number, as a subset by hash that differs
    between seeds.
    """
    run = folder / "run"
    real = _source(run, "real")
    match arm:
        case "real" | "real_matched_steps":
            return (real,)
        case "inter":
            return (_source(run, "real", "inter"),)
        case "intra":
            return (_source(run, "real", "intra"),)
        case "inter_and_intra":
            return (_source(run, "real", "inter", "intra"),)
        case "unpruned":
            return (PairSource(run=run, keep="all"),)
        case "unpruned_matched_size":
            synthetic = PairSource(
                run=run, branches=("inter", "intra"), keep="all", max_pairs=max(1, num_kept)
            )
            return (real, synthetic)
        case "image_only":
            return (real, _source(folder / "image_only", "inter"))
        case "text_only":
            return (real, _source(folder / "text_only", "intra"))
        case "upper_bound":
            return (_source(folder / "upper_bound", "real"),)
        case "upper_bound_reworded":
            return (_source(folder / "upper_bound_reworded", "real", "intra"),)


def num_steps_of(arm: Arm, settings: UtilitySettings, num_pairs: Mapping[str, int]) -> int:
    """Optimizer steps of an arm: the same for all, except `real`.

    `real` makes as many passes over its pairs as `inter_and_intra`, as in a comparison by epochs;
    so it takes fewer steps.
    """
    if arm != "real":
        return settings.max_steps
    fraction = num_pairs["real"] / max(1, num_pairs["inter_and_intra"])
    return max(1, round(settings.max_steps * fraction))


def _source(run: Path, *branches: BranchName) -> PairSource:
    return PairSource(run=run, branches=branches)
