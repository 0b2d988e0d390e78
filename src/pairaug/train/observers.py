"""Who is told how a training goes, beside the curves on disk: bars, TensorBoard, W&B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Observer(Protocol):
    """Told of steps, of the losses' means and of validation metrics; changes nothing."""

    def stepped(self, step: int, num_pairs: int) -> None:
        """A step is done, the `step`-th, on so many pairs."""
        ...

    def logged(self, row: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Another line of the curves: `row` has step, seconds and learning rate."""
        ...

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """validation metrics after a step."""
        ...
