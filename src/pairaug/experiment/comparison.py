"""What all experiments share: a run's pairs, models trained for as many steps, one test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from pairaug.config import Settings, load_settings, settings_of
from pairaug.evaluate.data.settings import LabelledData
from pairaug.evaluate.prompts import TEMPLATES, TemplatePair
from pairaug.evaluate.test_set import LabelledTestSet
from pairaug.experiment.trials import Trial, finish_trials, finished_probabilities
from pairaug.manifest import part_fingerprint, part_paths, read_columns
from pairaug.metrics.paired import PairedMacros, compare_macros
from pairaug.run import RunFolder
from pairaug.run import run as run_all
from pairaug.run.device import with_device
from pairaug.run.progress import ProgressReport
from pairaug.settings import StageSettings
from pairaug.stage import RunContext
from pairaug.system.locks import hold_lock
from pairaug.train.clip import ClipSettings, PairSource
from pairaug.train.clip.sources import is_used, run_stage


class ComparisonSettings(StageSettings):
    """Models trained on different pairs for as many steps, evaluated on the same images."""

    run: Path | dict[str, Any] = Field(
        description="The run whose pairs are trained on: its settings, or a YAML file of them. It "
        "is made first, in the output folder, and resumed like any run. `limit` says how many of "
        "the dataset's pairs are the real ones."
    )
    num_seeds: int = Field(default=5, ge=1, description="Models trained for each arm.")
    max_steps: int = Field(default=500, ge=1, description="Optimiser steps of every arm.")
    train: ClipSettings = Field(
        description="How each model is trained; sources, seed and steps are the experiment's."
    )
    data: LabelledData = Field(
        description="What the models are evaluated on: labelled images of other patients."
    )
    findings: tuple[str, ...] = Field(
        default=(), description="Which of its findings count; all that it labels if none is named."
    )
    templates: tuple[TemplatePair, ...] = Field(
        default=TEMPLATES, min_length=1, description="Captions for a finding, and for its absence."
    )
    num_resamples: int = Field(
        default=1000, ge=1, description="Bootstrap resamples behind each interval."
    )
    num_parallel_trials: int = Field(
        default=1,
        ge=1,
        description="Models trained side by side, each in a process of its own, with "
        "`train.num_threads` threads.",
    )
    keep_models: bool = Field(
        default=False, description="Keep every trained model, not only what it said."
    )


def run_settings_of(settings: ComparisonSettings) -> Settings:
    """The settings of the run, with its device chosen."""
    if isinstance(settings.run, Path):
        return with_device(load_settings(settings.run))
    return with_device(settings_of(settings.run, "run"))


@contextmanager
def prepared_run(
    settings: ComparisonSettings, out: Path, progress: ProgressReport
) -> Iterator[Settings]:
    """The settings of the run that is made in `out`/run; the folder stays locked meanwhile."""
    with hold_lock(out):
        run_settings = run_settings_of(settings)
        run_all(run_settings, RunFolder(out / "run"), progress)
        yield run_settings


def context_of(run_settings: Settings, progress: ProgressReport) -> RunContext:
    """The context that opens the stages of a run."""
    return RunContext(
        seed=run_settings.seed,
        device=run_settings.device,
        dtype=run_settings.dtype,
        compile=run_settings.compile,
        report_progress=progress.advance,
        report_status=progress.note,
    )


def open_test_set(settings: ComparisonSettings) -> LabelledTestSet:
    """The images that all models are evaluated on."""
    return LabelledTestSet(settings.data, settings.findings, settings.templates)


def num_pairs_of(sources: Sequence[PairSource]) -> int:
    """Pairs of sources without a bound on their number."""
    total = 0
    for source in sources:
        assert source.run is not None
        for part in part_paths(run_stage(source.run)):
            arms = read_columns(part, ("split", "branch", "drop_stage")).to_pylist()
            total += sum(is_used(arm, source) for arm in arms)
    return total


def trial_of(
    arm: str,
    seed: int,
    sources: tuple[PairSource, ...],
    num_steps: int,
    settings: ComparisonSettings,
    test_set: LabelledTestSet,
    out: Path,
) -> Trial:
    """The training of a arm with one seed; images are decoded once for all, in the folder `out`."""
    train = settings.train.model_copy(
        update={
            "sources": sources,
            "seed": seed,
            "max_steps": num_steps,
            "max_validation_pairs": 0,
            "cache": out / "cache",
        }
    )
    fingerprints: dict[str, str] = {}
    for source in sources:
        assert source.run is not None
        stage = _deciding_stage(source)
        # Other pairs are another trial.
        fingerprints[f"{source.run.name}/{stage.name}"] = part_fingerprint(part_paths(stage)[0])
    return Trial(arm, seed, train, fingerprints, test_set.fingerprint)


def _deciding_stage(source: PairSource) -> Path:
    """The folder of the stage that decides which pairs a source has.

    Where pruning takes none away, another rule is no reason to train again.
    """
    assert source.run is not None
    scored = source.run / "score"
    is_unpruned = source.keep == "all" or source.branches == ("real",)
    return scored if is_unpruned and part_paths(scored) else run_stage(source.run)


def compare_arms(
    trials: Sequence[Trial],
    settings: ComparisonSettings,
    test_set: LabelledTestSet,
    out: Path,
    progress: ProgressReport,
) -> PairedMacros:
    """Macro AUROCs of every arm's models, once all trials are trained and evaluated.

    What the folder `out` holds of them is kept.
    """
    earlier = {trial: finished_probabilities(trial, out / "trials") for trial in trials}
    told = {(trial.arm, trial.seed): said for trial, said in earlier.items() if said is not None}
    progress.start("trials", len(trials), len(told), unit="trial")
    for trial, probabilities in finish_trials(
        [trial for trial in trials if earlier[trial] is None],
        out / "trials",
        test_set,
        at_once=settings.num_parallel_trials,
        keep_models=settings.keep_models,
    ):
        told[trial.arm, trial.seed] = probabilities
        progress.note(trial.name)
        progress.advance(1)
    progress.finish()
    arms = list(dict.fromkeys(trial.arm for trial in trials))
    said = {arm: [told[arm, seed] for seed in range(settings.num_seeds)] for arm in arms}
    return compare_macros(
        test_set.labels, said, groups=test_set.patients, num_resamples=settings.num_resamples
    )
