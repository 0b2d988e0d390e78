"""One cell of the comparison: a model trained on a row's pairs with one seed, and what it says.

A cell's folder has `cell.json` once it is done, and nothing else decides that it is.
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

_DONE, _PROBABILITIES = "cell.json", "probabilities.npy"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What is to be trained: a row, a seed, and all that decides the outcome."""

    row: str
    seed: int
    train: ClipSettings
    """With the row's sources, the seed and the steps."""
    pairs: Mapping[str, str]
    """Fingerprint of each source's pairs."""
    evaluated_on: str
    """Fingerprint of the images and captions that the model is evaluated on."""

    @property
    def name(self) -> str:
        """The cell's folder: `both-3`."""
        words = "".join(c if c.isalnum() else " " for c in self.row).split()
        return f"{'-'.join(words)}-{self.seed}"

    def fingerprint(self) -> str:
        """The hash of all that decides what the model says."""
        # Where images are cached, by how many threads, changes nothing.
        without = {"cache", "num_workers", "num_threads", "log_to"}
        settings = self.train.model_dump(mode="json", exclude=without)
        for source in settings["sources"]:
            source.pop("run", None)
        return fingerprint(
            {"train": settings, "pairs": dict(self.pairs), "evaluated on": self.evaluated_on}
        )


def done(cell: Cell, folder: Path) -> np.ndarray | None:
    """The probabilities of a finished cell, float32 `image finding`; None: still to be done.

    A kill may have left a model that was not to be kept; it goes. `RunError` where the folder holds
    the same cell of other settings or pairs.
    """
    path = folder / cell.name / _DONE
    if not path.is_file():
        return None
    remedy = f"delete {path.parent} and run the same command again"
    record = read_json_object(path, RunError, remedy)
    if record.get("fingerprint") != cell.fingerprint():
        raise RunError(
            f"{folder / cell.name} was trained with other settings or other pairs. Delete it, or "
            "pass a new --out folder."
        )
    if record.get("keeps_model") is False:
        _remove_model(path.parent)
    probabilities = path.parent / _PROBABILITIES
    try:
        return np.load(probabilities)
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{probabilities} is damaged or cut short; {remedy}") from error


def finish_cells(
    cells: Sequence[Cell],
    folder: Path,
    test_set: Callable[[Path], np.ndarray],
    *,
    at_once: int,
    keep_models: bool,
) -> Iterator[tuple[Cell, np.ndarray]]:
    """Each cell, none of which is done, with its probabilities, as they come.

    `at_once` are trained side by side, each in a process of its own unless it is 1. `evaluate` gives
    the probabilities of a trained model's folder, in this process.
    """
    for cell, record in _trained(cells, folder, at_once):
        yield cell, _evaluated(cell, folder, record, test_set, keep_model=keep_models)


def _trained(
    cells: Sequence[Cell], folder: Path, at_once: int
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    if at_once == 1 or len(cells) < 2:
        for cell in cells:
            yield cell, _train(cell, folder)
        return
    with open_workers(at_once) as pool:
        trainings: dict[Future[dict[str, Any]], Cell] = {
            pool.submit(_train, cell, folder): cell for cell in cells
        }
        try:
            for training in as_completed(trainings):
                yield trainings[training], training.result()
        except BaseException:  # a stop too: what runs goes on from its checkpoint another time
            pool.shutdown(kill_workers=True)
            raise


def _train(cell: Cell, folder: Path) -> dict[str, Any]:
    """Trains the cell from its last checkpoint, if there is one; what is to be recorded of it."""
    from pairaug.train.clip import train_clip

    own = folder / cell.name
    own.mkdir(parents=True, exist_ok=True)
    outcome = train_clip(cell.train, own)
    return {
        "num_steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "metrics": outcome.metrics,
    }


def _evaluated(
    cell: Cell,
    folder: Path,
    record: Mapping[str, Any],
    test_set: Callable[[Path], np.ndarray],
    *,
    keep_model: bool,
) -> np.ndarray:
    own = folder / cell.name
    probabilities = test_set(own / "clip")
    with new_file(own / _PROBABILITIES) as file:
        np.save(file, probabilities)
    record = {
        "row": cell.row,
        "seed": cell.seed,
        "fingerprint": cell.fingerprint(),
        "keeps_model": keep_model,
        **record,
    }
    # Written last: its presence means that the cell is done.
    write_file(own / _DONE, (json.dumps(record, indent=2) + "\n").encode())
    if not keep_model:
        _remove_model(own)
    return probabilities


def _remove_model(own: Path) -> None:
    for name in ("clip", "training"):
        shutil.rmtree(own / name, ignore_errors=True)
    (own / "chexzero.pt").unlink(missing_ok=True)
