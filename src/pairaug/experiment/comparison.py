"""Shared by all experiments: a run's pairs, models trained for equal steps, one test set."""

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
    """Models trained on different pairs for the same number of steps, evaluated on one test set."""

    run: Path | dict[str, Any] = Field(
        description="Run to train on: its settings, or a YAML file of them. It is written to the "
        "output folder first and resumed like any run. `limit` sets the number of real "
        "pairs."
    )
    num_seeds: int = Field(
        default=5, ge=1, description="Models trained per arm, each with its own seed."
    )
    max_steps: int = Field(default=500, ge=1, description="Optimizer steps of every arm.")
    train: ClipSettings = Field(
        description="Training settings of each model; the experiment sets sources, seed and steps."
    )
    data: LabelledData = Field(
        description="Test set of the models: labelled images of other patients."
    )
    findings: tuple[str, ...] = Field(
        default=(), description="Findings of the test set to evaluate; empty: all labelled ones."
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
        description="Models trained in parallel, each in a separate process with "
        "`train.num_threads` threads.",
    )
    keep_models: bool = Field(
        default=False, description="Keep every trained model, not only its probabilities."
    )


def run_settings_of(settings: ComparisonSettings) -> Settings:
    """Settings of the run, with its device chosen."""
    if isinstance(settings.run, Path):
        return with_device(load_settings(settings.run))
    return with_device(settings_of(settings.run, "run"))


@contextmanager
def prepared_run(
    settings: ComparisonSettings, out: Path, progress: ProgressReport
) -> Iterator[Settings]:
    """Settings of the run in `out`/run, which is run first; the folder stays locked meanwhile."""
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
    """The test set of all models."""
    return LabelledTestSet(settings.data, settings.findings, settings.templates)


def num_pairs_of(sources: Sequence[PairSource]) -> int:
    """Number of pairs in sources that have no bound on it."""
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
    """The training of an arm with one seed; decoded images are shared in the folder `out`."""
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
        # Other pairs make another trial.
        fingerprints[f"{source.run.name}/{stage.name}"] = part_fingerprint(part_paths(stage)[0])
    return Trial(arm, seed, train, fingerprints, test_set.fingerprint)


def _deciding_stage(source: PairSource) -> Path:
    """The folder of the stage that determines the pairs of a source.

    If pruning drops none of them, another rule is no reason to train again.
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
    """Macro AUROCs of the models of every arm, after training and evaluating all trials.

    Finished trials in the folder `out` are reused.
    """
    earlier = {trial: finished_probabilities(trial, out / "trials") for trial in trials}
    probabilities_of = {
        (trial.arm, trial.seed): scores for trial, scores in earlier.items() if scores is not None
    }
    progress.start("trials", len(trials), len(probabilities_of), unit="trial")
    for trial, probabilities in finish_trials(
        [trial for trial in trials if earlier[trial] is None],
        out / "trials",
        test_set,
        at_once=settings.num_parallel_trials,
        keep_models=settings.keep_models,
    ):
        probabilities_of[trial.arm, trial.seed] = probabilities
        progress.note(trial.name)
        progress.advance(1)
    progress.finish()
    arms = list(dict.fromkeys(trial.arm for trial in trials))
    scores = {
        arm: [probabilities_of[arm, seed] for seed in range(settings.num_seeds)] for arm in arms
    }
    return compare_macros(
        test_set.labels, scores, groups=test_set.patients, num_resamples=settings.num_resamples
    )
