"""Selects the pairs to write, by branch, split and the ratio of synthetic to real pairs."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from pairaug.export.settings import ExportSettings
from pairaug.pair import Branch, Pair
from pairaug.stage import seed_for

REASONS = {
    "real_excluded": "the pair is real, and `export.include_real` is false",
    "branch_excluded": "the pair's branch is not among `export.branches`",
    "split_excluded": "the pair's split is not among `export.splits`, or, where the pair is "
    "synthetic, not among `export.synthetic_splits`",
    "beyond_ratio": "the split has its limit of synthetic pairs by `export.synthetic_per_real`",
}


class Outline(NamedTuple):
    """The fields of a living pair that sampling needs."""

    id: str
    branch: str
    split: str


class Subset:
    """Decides for each pair whether it is written; the order of the pairs does not matter."""

    def __init__(self, settings: ExportSettings, outlines: Iterable[Outline], seed: int) -> None:
        """`outlines` are those of all living pairs; without a ratio they are not read."""
        self._settings = settings
        self._seed = seed
        self._limits: Mapping[str, int] = {}
        if settings.synthetic_per_real is not None:
            self._limits = self._sample(outlines, settings.synthetic_per_real)

    def why_not(self, pair: Pair) -> str | None:
        """The reason why a living pair is not written; None if it is."""
        settings = self._settings
        if pair.split not in settings.splits:
            return "split_excluded"
        if pair.branch is Branch.REAL:
            return None if settings.include_real else "real_excluded"
        if pair.split not in settings.synthetic_splits:
            return "split_excluded"
        if pair.branch.value not in settings.branches:
            return "branch_excluded"
        limit = self._limits.get(pair.split)
        return None if limit is None or self._lot(pair.id) <= limit else "beyond_ratio"

    def _sample(self, outlines: Iterable[Outline], per_real: float) -> dict[str, int]:
        """Split → the highest lot to write, for splits with more synthetic pairs than allowed.

        Memory: eight bytes per pair.
        """
        num_real: Counter[str] = Counter()
        lots: dict[str, array[int]] = {}
        for outline in outlines:
            if outline.branch == Branch.REAL.value:
                num_real[outline.split] += 1
            elif outline.branch in self._settings.branches:
                lots.setdefault(outline.split, array("Q")).append(self._lot(outline.id))
        limits: dict[str, int] = {}
        for split, sampled in lots.items():
            # Rounding can leave a product such as 0.29 * 100 just below the whole number.
            most = math.floor(per_real * num_real[split] + 1e-9)
            if most < len(sampled):
                lowest = np.partition(np.asarray(sampled), max(most - 1, 0))
                limits[split] = int(lowest[most - 1]) if most else -1
        return limits

    def _lot(self, pair_id: str) -> int:
        return seed_for(self._seed, pair_id, "export")
