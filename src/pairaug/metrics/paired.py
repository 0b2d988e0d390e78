"""Macro AUROCs of several training arms, compared on the same cases and over several seeds.

Each arm has one model per seed. A resample shares its cases between all models and its seeds
between all arms, so their noise largely cancels in a difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from pairaug.metrics.auroc import column_aurocs
from pairaug.metrics.bootstrap import (
    NUM_RESAMPLES,
    Counts,
    Estimate,
    Groups,
    interval,
    resample_values,
)
from pairaug.metrics.ranking import mean_of_defined, rankings

Scores = Sequence[Shaped[np.ndarray, "case label"]]
"""One array per seed or fold, all in the same order."""


@dataclass(frozen=True, slots=True)
class PairedMacros:
    """Macro AUROCs by name, on shared resamples."""

    values: Mapping[str, Float[np.ndarray, " seed"]]
    """Values with every case once, one per seed."""
    resampled: Mapping[str, Float[np.ndarray, " resample"]]
    """Means over the resampled seeds, one per resample of cases."""
    num: int
    """Number of cases."""

    def estimate(self, name: str) -> Estimate:
        """Macro AUROC of one arm, averaged over seeds."""
        # The stretched deviations of the seeds could leave the range of an AUROC.
        return interval(self._mean(name), self.resampled[name].clip(0.0, 1.0), self.num)

    def deviation(self, name: str) -> float:
        """Standard deviation over seeds; NaN for one seed."""
        values = self.values[name]
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan

    def difference(self, name: str, base: str) -> Estimate:
        """Mean of `name` minus the mean of `base`."""
        resampled = self.resampled[name] - self.resampled[base]
        return interval(self._mean(name) - self._mean(base), resampled, self.num)

    def fraction_of_gap(self, name: str, base: str, upper_bound: str) -> Estimate:
        """Fraction of the gap between `base` and `upper_bound` that the mean of `name` closes.

        Resamples in which `base` reaches the upper bound have no gap and are left out.
        """
        gap = self._mean(upper_bound) - self._mean(base)
        value = (self._mean(name) - self._mean(base)) / gap if gap > 0 else math.nan
        gaps = self.resampled[upper_bound] - self.resampled[base]
        gains = self.resampled[name] - self.resampled[base]
        fractions = np.divide(gains, gaps, out=np.full(len(gaps), math.nan), where=gaps > 0)
        return interval(value, fractions, self.num)

    def _mean(self, name: str) -> float:
        return float(self.values[name].mean())


def compare_macros(
    labels: Shaped[np.ndarray, "case label"],
    scores: Mapping[str, Scores],
    seed: int = 0,
    groups: Groups | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> PairedMacros:
    """Macro AUROCs of the models of every name, one per seed, on common resamples.

    All names need the same number of seeds; seed 3 of one is compared with seed 3 of every other.
    Labels may be NaN (not stated); `groups` are resampled whole.

    Resampling S seeds with replacement understates their variance by a factor of (S - 1) / S,
    which is corrected (Rao and Wu 1988). With three to five seeds, intervals remain somewhat
    narrow where seeds vary more than cases.
    """
    nums = {len(models) for models in scores.values()}
    if len(nums) != 1 or 0 in nums:
        raise ValueError(
            "all names need the same number of models, one per seed; "
            f"the numbers are {sorted(nums)}"
        )
    num_seeds = nums.pop()
    columns = [rankings(labels, model) for models in scores.values() for model in models]

    def macros(counts: Counts) -> np.ndarray:
        each = [mean_of_defined(column_aurocs(ranked, counts)) for ranked in columns]
        return np.stack(each, axis=1)

    values, resampled = resample_values(macros, len(labels), seed, num_resamples, groups)
    by_seed = resampled.reshape(num_resamples, len(scores), num_seeds).transpose(0, 2, 1)
    means = over_resampled_seeds(by_seed, seed)
    rows = values.reshape(len(scores), num_seeds)
    return PairedMacros(
        dict(zip(scores, rows, strict=True)), dict(zip(scores, means.T, strict=True)), len(labels)
    )


def paired_macro_difference(
    labels: Shaped[np.ndarray, "case label"],
    scores: Scores,
    base_scores: Scores,
    seed: int = 0,
    groups: Groups | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Macro AUROC of `scores` minus that of `base_scores`, averaged over seeds.

    Resampled as in `compare_macros`.
    """
    both = {"scores": scores, "base": base_scores}
    return compare_macros(labels, both, seed, groups, num_resamples).difference("scores", "base")


def over_resampled_seeds(
    values: Float[np.ndarray, "resample seed value"], seed: int = 0
) -> Float[np.ndarray, "resample value"]:
    """Means over resampled seeds, one per resample of cases; the same seeds for all values.

    The deviations from the mean of all seeds are stretched by sqrt(S / (S - 1)).
    """
    num_resamples, num_seeds, _ = values.shape
    # A stream separate from that of the cases.
    rng = np.random.default_rng([seed, 1])
    chosen = rng.integers(num_seeds, size=(num_resamples, num_seeds))
    stretch = math.sqrt(num_seeds / (num_seeds - 1)) if num_seeds > 1 else 0.0
    of_all = values.mean(axis=1)
    of_chosen = np.take_along_axis(values, chosen[:, :, None], axis=1).mean(axis=1)
    return of_all + stretch * (of_chosen - of_all)
