"""Observers of a training besides the curves on disk: progress bars, TensorBoard, W&B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Observer(Protocol):
    """Receives steps, mean losses and validation metrics; changes nothing."""

    def stepped(self, step: int, num_pairs: int) -> None:
        """Step number `step` is done, on `num_pairs` pairs."""
        ...

    def logged(self, row: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """A new line of the curves: `row` has step, seconds and learning rate."""
        ...

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Validation metrics after a step."""
        ...
