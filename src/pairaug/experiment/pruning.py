"""The gain by pruning on the pairs of one run, at several noise rates.

Images are exchanged between pairs at known rates (`noise.py`); the run's rule, fitted again at
each, prunes them. At every rate, models train for the same number of steps on three sets of pairs:
all, a random subset of the kept size, and the kept ones.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pairaug.errors import SettingsError
from pairaug.experiment.comparison import (
    compare_arms,
    context_of,
    num_pairs_of,
    open_test_set,
    prepared_run,
    trial_of,
)
from pairaug.experiment.noise import TRACE, make_noisy
from pairaug.experiment.pruning_results import Level, Pruning, write_pruning
from pairaug.experiment.settings import BASE, PruningSettings
from pairaug.manifest import part_paths, read_columns, trace_in
from pairaug.run import RunFolder
from pairaug.run.progress import NoProgress, ProgressReport
from pairaug.train.clip import PairSource
from pairaug.train.clip.sources import is_used, run_stage

_SYNTHETIC = ("inter", "intra")


def run_pruning(
    settings: PruningSettings, out: Path, progress: ProgressReport | None = None
) -> Path:
    """Writes `pruning.json` and its tables to `out`; returns the former's path.

    Pairs and finished trials of the same settings in the folder are reused.
    """
    progress = progress or NoProgress()
    with prepared_run(settings, out, progress) as run_settings:
        run = RunFolder(out / "run")
        folders = {
            rate: out / f"noise-{rate:.0%}".replace("%", "") for rate in settings.noise_rates
        }
        progress.start("noise", len(folders), unit="set")
        for rate, folder in folders.items():
            make_noisy(run, folder, rate, run_settings, context_of(run_settings, NoProgress()))
            progress.advance(1)
        progress.finish()
        levels = [_level(rate, folder) for rate, folder in folders.items()]
        sources = {BASE: (PairSource(run=out / "run", branches=("real",)),)}
        for level in levels:
            sources |= _sources(level, folders[level.noise_rate])
        test_set = open_test_set(settings)
        trials = [
            trial_of(arm, seed, of_row, settings.max_steps, settings, test_set, out)
            # Seed by seed, so that an interrupted experiment has whole comparisons.
            for seed in range(settings.num_seeds)
            for arm, of_row in sources.items()
        ]
        macros = compare_arms(trials, settings, test_set, out, progress)
        num_real = num_pairs_of(sources[BASE])
        found = Pruning(levels, num_real, macros, test_set.findings, len(test_set.labels))
        return write_pruning(out, settings, found)


def _level(rate: float, folder: Path) -> Level:
    """Pruning of the synthetic pairs, by whether their image was exchanged."""
    every = PairSource(run=folder, branches=_SYNTHETIC, keep="all")
    counts: Counter[tuple[bool, bool]] = Counter()
    for part in part_paths(run_stage(folder)):
        for arm in read_columns(part, ("split", "branch", "drop_stage", "trace")).to_pylist():
            if is_used(arm, every):
                counts[TRACE in trace_in(arm["trace"]), arm["drop_stage"] is None] += 1
    level = Level(rate, counts[False, True], counts[False, False], counts[True, True],
                  counts[True, False])  # fmt: skip
    if not level.num_kept:
        raise SettingsError(
            f"at a noise rate of {rate:.0%} the rule keeps nothing to train on; see {folder}"
        )
    return level


def _sources(level: Level, folder: Path) -> dict[str, tuple[PairSource, ...]]:
    """Sources of the three arms of a noise rate."""
    real = PairSource(run=folder, branches=("real",))
    as_many = PairSource(run=folder, branches=_SYNTHETIC, keep="all", max_pairs=level.num_kept)
    return {
        level.arm("unpruned"): (PairSource(run=folder, keep="all"),),
        level.arm("unpruned_matched_size"): (real, as_many),
        level.arm("pruned"): (PairSource(run=folder),),
    }
