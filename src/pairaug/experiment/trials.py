"""One trial of the comparison: a model trained on an arm's pairs with one seed, and its results.

A trial is done once its folder has `trial.json`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pairaug.errors import RunError
from pairaug.manifest import fingerprint
from pairaug.system.atomic import new_file, write_file
from pairaug.system.json_text import read_json_object
from pairaug.system.workers import open_workers
from pairaug.train.clip.settings import ClipSettings

_DONE, _PROBABILITIES = "trial.json", "probabilities.npy"


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A training to do: an arm, a seed, and everything that determines the results."""

    arm: str
    seed: int
    train: ClipSettings
    """With the arm's sources, the seed and the steps."""
    pairs: Mapping[str, str]
    """Fingerprint of each source's pairs."""
    evaluated_on: str
    """Fingerprint of the images and captions of the test set."""

    @property
    def name(self) -> str:
        """The trial's folder: `inter_and_intra-3`."""
        words = "".join(c if c.isalnum() or c == "_" else " " for c in self.arm).split()
        return f"{'-'.join(words)}-{self.seed}"

    def fingerprint(self) -> str:
        """Hash of everything that determines the model's probabilities."""
        # The image cache and the number of threads change nothing.
        without = {"cache", "num_workers", "num_threads", "log_to"}
        settings = self.train.model_dump(mode="json", exclude=without)
        for source in settings["sources"]:
            source.pop("run", None)
        return fingerprint(
            {"train": settings, "pairs": dict(self.pairs), "evaluated on": self.evaluated_on}
        )


def finished_probabilities(trial: Trial, folder: Path) -> np.ndarray | None:
    """Probabilities of a finished trial, float32 `image finding`; None if it is not done.

    Removes a model that a kill left behind and that was not to be kept. Raises `RunError` if the
    folder holds the same trial with other settings or pairs.
    """
    path = folder / trial.name / _DONE
    if not path.is_file():
        return None
    remedy = f"delete {path.parent} and run the same command again"
    record = read_json_object(path, RunError, remedy)
    if record.get("fingerprint") != trial.fingerprint():
        raise RunError(
            f"{folder / trial.name} was trained with other settings or other pairs. Delete it, or "
            "pass a new --out folder."
        )
    if record.get("keeps_model") is False:
        _remove_model(path.parent)
    probabilities = path.parent / _PROBABILITIES
    try:
        return np.load(probabilities)
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{probabilities} is damaged or cut short; {remedy}") from error


def finish_trials(
    trials: Sequence[Trial],
    folder: Path,
    test_set: Callable[[Path], np.ndarray],
    *,
    at_once: int,
    keep_models: bool,
) -> Iterator[tuple[Trial, np.ndarray]]:
    """Each unfinished trial with its probabilities, in the order of completion.

    `at_once` are trained in parallel, each in a separate process unless it is 1. `evaluate` returns
    the probabilities of a trained model's folder, in this process.
    """
    for trial, record in _train_all(trials, folder, at_once):
        yield trial, _evaluate(trial, folder, record, test_set, keep_model=keep_models)


def _train_all(
    trials: Sequence[Trial], folder: Path, at_once: int
) -> Iterator[tuple[Trial, dict[str, Any]]]:
    if at_once == 1 or len(trials) < 2:
        for trial in trials:
            yield trial, _train(trial, folder)
        return
    with open_workers(at_once) as pool:
        trainings: dict[Future[dict[str, Any]], Trial] = {
            pool.submit(_train, trial, folder): trial for trial in trials
        }
        try:
            for training in as_completed(trainings):
                yield trainings[training], training.result()
        except (
            BaseException
        ):  # Also after a stop: the trainings resume from their checkpoints next time.
            pool.shutdown(kill_workers=True)
            raise


def _train(trial: Trial, folder: Path) -> dict[str, Any]:
    """Trains the trial, from its last checkpoint if there is one; returns its record."""
    from pairaug.train.clip import train_clip

    own = folder / trial.name
    own.mkdir(parents=True, exist_ok=True)
    outcome = train_clip(trial.train, own)
    return {
        "num_steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "metrics": outcome.metrics,
    }


def _evaluate(
    trial: Trial,
    folder: Path,
    record: Mapping[str, Any],
    test_set: Callable[[Path], np.ndarray],
    *,
    keep_model: bool,
) -> np.ndarray:
    own = folder / trial.name
    probabilities = test_set(own / "clip")
    with new_file(own / _PROBABILITIES) as file:
        np.save(file, probabilities)
    record = {
        "arm": trial.arm,
        "seed": trial.seed,
        "fingerprint": trial.fingerprint(),
        "keeps_model": keep_model,
        **record,
    }
    # Written last: its presence means that the trial is done.
    write_file(own / _DONE, (json.dumps(record, indent=2) + "\n").encode())
    if not keep_model:
        _remove_model(own)
    return probabilities


def _remove_model(own: Path) -> None:
    for name in ("clip", "training"):
        shutil.rmtree(own / name, ignore_errors=True)
    (own / "chexzero.pt").unlink(missing_ok=True)
