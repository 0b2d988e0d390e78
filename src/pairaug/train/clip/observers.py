"""Observers of a training besides the CSV files: progress bar, TensorBoard, W&B."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pairaug.errors import MissingExtraError, SettingsError
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.observers import Observer
from pairaug.train.processes import Processes


def open_observers(
    settings: ClipSettings, out: Path, progress: Any, processes: Processes, closing: ExitStack
) -> list[Observer]:
    """Observers of the settings, for the process that logs; `closing` closes them."""
    if not processes.is_first:
        return []
    observers: list[Observer] = []
    if progress is not None:
        total = settings.max_steps and settings.max_steps * settings.batch_size
        observers.append(ProgressObserver(progress, total))
        closing.callback(progress.finish)
    if "tensorboard" in settings.log_to:
        board = TensorBoardObserver(out / "training" / "tensorboard")
        observers.append(board)
        closing.callback(board.close)
    if "wandb" in settings.log_to:
        run = WandbObserver(settings, out)
        observers.append(run)
        closing.callback(run.close)
    return observers


class ProgressObserver:
    """Progress of pairs, as a bar or as lines."""

    def __init__(self, progress: Any, total: int | None) -> None:
        self._progress, self._total = progress, total
        self._is_started = False

    def stepped(self, step: int, num_pairs: int) -> None:
        if not self._is_started:
            self._progress.start("train", self._total, (step - 1) * num_pairs)
            self._is_started = True
        self._progress.advance(num_pairs)

    def logged(self, row: Mapping[str, float], losses: Mapping[str, float]) -> None:
        del row
        self._progress.note(f"loss {losses['loss']:.3f}")

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        del step, metrics


class TensorBoardObserver:
    """Event files for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("log_to: tensorboard", "tensorboard", "tensorboard") from error
        self._writer = SummaryWriter(str(folder))

    def stepped(self, step: int, num_pairs: int) -> None:
        del step, num_pairs

    def logged(self, row: Mapping[str, float], losses: Mapping[str, float]) -> None:
        for name, value in {**losses, "learning_rate": row["learning_rate"]}.items():
            self._writer.add_scalar(f"train/{name}", value, int(row["step"]))

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(f"validation/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


class WandbObserver:
    """A run of Weights & Biases, in `WANDB_MODE` as the user has set it; numbers only are sent."""

    def __init__(self, settings: ClipSettings, out: Path) -> None:
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise SettingsError("log_to: wandb needs wandb: pip install wandb") from error
        kept = settings.model_dump(mode="json", exclude={"sources", "validation", "data"})
        self._run = wandb.init(project="pairaug", name=out.name, dir=str(out), config=kept)

    def stepped(self, step: int, num_pairs: int) -> None:
        del step, num_pairs

    def logged(self, row: Mapping[str, float], losses: Mapping[str, float]) -> None:
        shown = {f"train/{name}": value for name, value in losses.items()}
        self._run.log({**shown, "learning_rate": row["learning_rate"]}, step=int(row["step"]))

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log({f"validation/{k}": value for k, value in metrics.items()}, step=step)

    def close(self) -> None:
        self._run.finish()
