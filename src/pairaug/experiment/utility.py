"""The paper's question: does training on real and kept pairs beat training on the real ones?

Every arm is trained for the same number of steps, with several seeds, on the same real pairs, and
evaluated by zero-shot classification on the same images of other patients. Finished work is kept:
an interrupted experiment resumes at the next pair or step.
"""

from __future__ import annotations

from pathlib import Path

from pairaug.config import Settings
from pairaug.errors import SettingsError
from pairaug.experiment.arms import num_steps_of, sources_of
from pairaug.experiment.comparison import (
    compare_arms,
    context_of,
    num_pairs_of,
    open_test_set,
    prepared_run,
    trial_of,
)
from pairaug.experiment.pairs import make_image_only, make_text_only
from pairaug.experiment.results import Utility, write_results
from pairaug.experiment.settings import Arm, UtilitySettings
from pairaug.experiment.upper_bounds import make_upper_bound, reword_upper_bound
from pairaug.run import RunFolder
from pairaug.run.progress import NoProgress, ProgressReport


def run_utility(
    settings: UtilitySettings, out: Path, progress: ProgressReport | None = None
) -> Path:
    """Writes `utility.json` and its tables to `out`; returns the former's path.

    Pairs and finished trials of the same settings in the folder are reused.
    """
    progress = progress or NoProgress()
    with prepared_run(settings, out, progress) as run_settings:
        _make_other_pairs(settings, run_settings, out, progress)
        test_set = open_test_set(settings)
        num_pairs = _num_pairs(settings, out)
        num_kept = num_pairs["inter_and_intra"] - num_pairs["real"]
        num_steps = {arm: num_steps_of(arm, settings, num_pairs) for arm in settings.arms}
        trials = [
            trial_of(
                arm, seed, sources_of(arm, out, num_kept), num_steps[arm], settings, test_set, out
            )
            # Seed by seed, so that an interrupted experiment has whole comparisons.
            for seed in range(settings.num_seeds)
            for arm in settings.arms
        ]
        macros = compare_arms(trials, settings, test_set, out, progress)
        found = Utility(num_pairs, num_steps, macros, test_set.findings, len(test_set.labels))
        return write_results(out, settings, found)


def _make_other_pairs(
    settings: UtilitySettings, run_settings: Settings, out: Path, progress: ProgressReport
) -> None:
    """Writes the pairs of the arms that the run itself does not have."""
    run = RunFolder(out / "run")
    num = settings.controls_per_report
    if "image_only" in settings.arms:
        make_image_only(run, out / "image_only", run_settings, num, progress)
    if "text_only" in settings.arms:
        make_text_only(run, out / "text_only", run_settings, num)
    if settings.extra_real_data and {"upper_bound", "upper_bound_reworded"} & set(settings.arms):
        num_wanted = num_pairs_of(sources_of("inter_and_intra", out, 0))
        progress.start("upper_bound", num_wanted)
        make_upper_bound(
            out / "upper_bound",
            settings.extra_real_data,
            num_wanted,
            context_of(run_settings, progress),
        )
        if "upper_bound_reworded" in settings.arms:
            reword_upper_bound(out / "upper_bound", out / "upper_bound_reworded", run, run_settings)
        progress.finish()


def _num_pairs(settings: UtilitySettings, out: Path) -> dict[str, int]:
    """Number of training pairs per arm; always includes `real` and `inter_and_intra`."""
    counted: tuple[Arm, ...] = (*settings.arms, "real", "inter_and_intra")
    counts = {arm: num_pairs_of(sources_of(arm, out, 0)) for arm in counted}
    counts["unpruned_matched_size"] = counts["inter_and_intra"]
    empty = [arm for arm, count in counts.items() if count == 0]
    if empty:
        raise SettingsError(f"the arm {empty[0]!r} has no pairs to train on; see {out / 'run'}")
    return counts
