"""The pairs of each step: real and synthetic ones mixed, in shuffled epochs.

All follows from the seed and the step's number, so that a resumed training continues with the
same pairs, and every process finds its slice by itself.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from pairaug.errors import SettingsError
from pairaug.settings import StageSettings

_REAL, _SYNTHETIC = 1, 2  # Streams of the seed; `union` needs none.


class MixSettings(StageSettings):
    """Mixing of real and synthetic pairs."""

    order: Literal["union", "ratio", "synthetic-first"] = Field(
        default="union",
        description="Order of the pairs. `union`: all shuffled together, as in the paper. `ratio`: "
        "a fixed fraction of each batch is synthetic. `synthetic-first`: synthetic "
        "pairs first, then real ones.",
    )
    synthetic_fraction: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Synthetic fraction of each batch (`ratio`) or of the steps "
        "(`synthetic-first`).",
    )
    max_per_epoch: dict[Literal["real", "inter", "intra"], int] = Field(
        default={},
        description="Branch → largest number of its pairs per epoch, sampled again for each epoch.",
    )


class Shuffles:
    """Endless shuffled epochs over some pairs.

    `weights` gives the number of times a pair is in an epoch: 2 twice, 0.5 in every other one on
    average. `groups` numbers the pairs' groups; `caps` bounds the pairs of a group in an epoch.
    """

    def __init__(
        self,
        positions: np.ndarray,
        weights: np.ndarray,
        groups: np.ndarray,
        caps: dict[int, int],
        seed: tuple[int, ...],
    ) -> None:
        self._positions, self._weights, self._groups = positions, weights, groups
        self._caps = {group: cap for group, cap in caps.items() if (groups == group).any()}
        self._seed = seed
        self._last: tuple[int, np.ndarray] | None = None
        self.size = len(self._order(0))

    def take(self, start: int, count: int) -> np.ndarray:
        """Pairs `start` to `start + count` of the endless sequence."""
        positions = np.arange(start, start + count)
        epochs = positions // self.size
        taken = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            inside = epochs == epoch
            taken[inside] = self._order(int(epoch))[positions[inside] % self.size]
        return taken

    def _order(self, epoch: int) -> np.ndarray:
        if self._last is None or self._last[0] != epoch:
            self._last = (epoch, self._shuffle(epoch))
        return self._last[1]

    def _shuffle(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([*self._seed, epoch])
        if not self._caps and (self._weights == 1.0).all():
            return self._positions[rng.permutation(len(self._positions))]
        chosen = []
        for group in np.unique(self._groups):
            own = np.flatnonzero(self._groups == group)
            for weight in np.unique(self._weights[own]):
                same = own[self._weights[own] == weight]
                whole = math.floor(weight)
                # The same number in every epoch, so that all have one length.
                rest = rng.permutation(same)[: round((weight - whole) * len(same))]
                chosen.append((group, np.concatenate([*[same] * whole, rest])))
        kept = []
        for group in np.unique(self._groups):
            own = np.concatenate([positions for of, positions in chosen if of == group])
            cap = self._caps.get(int(group), len(own))
            kept.append(rng.permutation(own)[:cap])
        order = np.concatenate(kept)
        return self._positions[order[rng.permutation(len(order))]]


class Mix:
    """Selects the pairs of each step."""

    def __init__(
        self,
        settings: MixSettings,
        branches: np.ndarray,
        weights: np.ndarray,
        seed: int,
        batch_size: int,
    ) -> None:
        """`branches` (0 real, 1 inter, 2 intra) and `weights` are those of the pairs in order."""
        self._settings, self._batch_size = settings, batch_size
        caps = {
            ("real", "inter", "intra").index(name): cap
            for name, cap in settings.max_per_epoch.items()
        }
        every = np.arange(len(branches))

        def shuffles(chosen: np.ndarray, *stream: int) -> Shuffles:
            return Shuffles(every[chosen], weights[chosen], branches[chosen], caps, (seed, *stream))

        self._num_synthetic_steps = 0
        self._all = shuffles(branches >= 0)
        if settings.order != "union":
            if (branches > 0).all() or (branches == 0).all():
                raise SettingsError(
                    f"mixing.order is {settings.order}, which needs synthetic and real pairs, but "
                    "sources have one kind only"
                )
            self._real = shuffles(branches == 0, _REAL)
            self._synthetic = shuffles(branches > 0, _SYNTHETIC)

    def num_steps(self, epochs: float) -> int:
        """Number of steps for this number of passes over all pairs."""
        return max(1, math.ceil(epochs * self._all.size / self._batch_size))

    def plan(self, max_steps: int | None) -> None:
        """Sets the number of steps, which synthetic-first needs."""
        if self._settings.order == "synthetic-first":
            assert max_steps is not None
            self._num_synthetic_steps = round(self._settings.synthetic_fraction * max_steps)

    def positions(self, step: int) -> np.ndarray:
        """The pairs of a step, one full batch."""
        size = self._batch_size
        if self._settings.order == "union":
            return self._all.take(step * size, size)
        if self._settings.order == "synthetic-first":
            if step < self._num_synthetic_steps:
                return self._synthetic.take(step * size, size)
            return self._real.take((step - self._num_synthetic_steps) * size, size)
        fraction = self._settings.synthetic_fraction * size
        # Exact over all steps, where it cannot be within each batch.
        before, after = math.floor(step * fraction), math.floor((step + 1) * fraction)
        synthetic = self._synthetic.take(before, after - before)
        real = self._real.take(step * size - before, size - (after - before))
        return np.concatenate([real, synthetic])
