"""The paper's question: does training on real and kept pairs beat training on the real ones?

Every row is trained for as many steps, with several seeds, on the same real pairs, and evaluated by
zero-shot classification on the same images of other patients. What is done stays done: an
interrupted experiment goes on with the next pair, or the next step.
"""

from __future__ import annotations

from pathlib import Path

from pairaug.config import Settings
from pairaug.errors import SettingsError
from pairaug.experiment.arms import num_steps_of, sources_of
from pairaug.experiment.comparison import (
    cell_of,
    compared,
    context_of,
    num_pairs_of,
    open_test_set,
    prepared_run,
)
from pairaug.experiment.pairs import make_image_only, make_text_only
from pairaug.experiment.results import Utility, write_results
from pairaug.experiment.settings import Row, UtilitySettings
from pairaug.experiment.upper_bounds import make_ceiling, reword_ceiling
from pairaug.run import RunFolder
from pairaug.run.progress import NoProgress, ProgressReport


def run_utility(
    settings: UtilitySettings, out: Path, progress: ProgressReport | None = None
) -> Path:
    """The path of `utility.json` in the folder `out`; its tables are beside it.

    What the folder holds of the same settings is kept, pairs and trained cells alike.
    """
    progress = progress or NoProgress()
    with prepared_run(settings, out, progress) as chain:
        _make_other_pairs(settings, chain, out, progress)
        test_set = open_test_set(settings)
        num_pairs = _num_pairs(settings, out)
        num_kept = num_pairs["+both"] - num_pairs["real"]
        num_steps = {row: num_steps_of(row, settings, num_pairs) for row in settings.rows}
        cells = [
            cell_of(
                row, seed, sources_of(row, out, num_kept), num_steps[row], settings, test_set, out
            )
            # Seed by seed, so that an experiment that is cut short has whole comparisons.
            for seed in range(settings.num_seeds)
            for row in settings.rows
        ]
        macros = compared(cells, settings, test_set, out, progress)
        found = Utility(num_pairs, num_steps, macros, test_set.findings, len(test_set.labels))
        return write_results(out, settings, found)


def _make_other_pairs(
    settings: UtilitySettings, chain: Settings, out: Path, progress: ProgressReport
) -> None:
    """The pairs of those rows that the run itself does not make."""
    run = RunFolder(out / "run")
    num = settings.controls_per_report
    if "image-only" in settings.rows:
        make_image_only(run, out / "image-only", chain, num, progress)
    if "text-only" in settings.rows:
        make_text_only(run, out / "text-only", chain, num)
    if settings.more_real and {"ceiling", "ceiling, reworded"} & set(settings.rows):
        num_wanted = num_pairs_of(sources_of("+both", out, 0))
        progress.start("ceiling", num_wanted)
        make_ceiling(out / "ceiling", settings.more_real, num_wanted, context_of(chain, progress))
        if "ceiling, reworded" in settings.rows:
            reword_ceiling(out / "ceiling", out / "ceiling-reworded", run, chain)
        progress.finish()


def _num_pairs(settings: UtilitySettings, out: Path) -> dict[str, int]:
    """How many pairs each row trains on; those of `real` and `+both` in any case."""
    counted: tuple[Row, ...] = (*settings.rows, "real", "+both")
    counts = {row: num_pairs_of(sources_of(row, out, 0)) for row in counted}
    counts["no pruning, as many"] = counts["+both"]
    empty = [row for row, count in counts.items() if count == 0]
    if empty:
        raise SettingsError(f"the row {empty[0]!r} has no pairs to train on; see {out / 'run'}")
    return counts
