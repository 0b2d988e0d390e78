"""Early stopping: keeps the weights of the best validation metric and stops after `patience`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pairaug.errors import SettingsError
from pairaug.train.checkpoint import load_state, save_state


@dataclass(frozen=True, slots=True)
class BestMetric:
    """The deciding validation metric, and the number of poorer ones in a row that ends training."""

    name: str
    is_lower_better: bool = False
    patience: int | None = None


class BestWeights:
    """Saves the weights with the best metric to a separate file.

    `state` goes into the checkpoint. Files are named by step, so that a training resumed from an
    earlier step finds the earlier file.
    """

    def __init__(self, metric: BestMetric, folder: Path) -> None:
        self._metric, self._folder = metric, folder
        self.state: dict[str, Any] = {}

    @property
    def step(self) -> int | None:
        """Step of the best metric; None before the first."""
        return self.state.get("step")

    @property
    def is_stopped(self) -> bool:
        """True after `patience` validations in a row without improvement."""
        patience = self._metric.patience
        return patience is not None and self.state.get("waited", 0) >= patience

    def consider(
        self,
        step: int,
        metrics: Mapping[str, float],
        modules: Mapping[str, nn.Module],
        is_writing: bool,
    ) -> None:
        """Saves the current weights of `modules` if their metric is the best so far."""
        value = metrics.get(self._metric.name)
        if value is None:
            raise SettingsError(
                f"best_by is {self._metric.name}, but the validation metrics are: "
                f"{', '.join(metrics)}"
            )
        best = self.state.get("value")
        sign = -1.0 if self._metric.is_lower_better else 1.0
        if best is not None and not sign * value > sign * best:
            self.state["waited"] += 1
            return
        self.state = {"step": step, "value": value, "waited": 0, "metrics": dict(metrics)}
        if is_writing:
            weights = {name: module.state_dict() for name, module in modules.items()}
            save_state(weights, self._path(step))

    def forget_others(self) -> None:
        """Removes files of metrics that are no longer the best."""
        for path in self._folder.glob("best-*.pt"):
            if self.step is None or path != self._path(self.step):
                path.unlink()

    def take(self, modules: Mapping[str, nn.Module]) -> dict[str, float]:
        """Loads the best weights into `modules`; returns their metrics."""
        assert self.step is not None
        remedy = f"delete {self._folder} and train again"
        weights = load_state(self._path(self.step), "cpu", modules, remedy)
        for name, module in modules.items():
            module.load_state_dict(weights[name])
        return self.state["metrics"]

    def _path(self, step: int) -> Path:
        return self._folder / f"best-{step:08d}.pt"
