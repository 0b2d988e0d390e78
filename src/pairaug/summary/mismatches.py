"""Scores of mismatched pairs, images and reports of different patients, for the histograms."""

from __future__ import annotations

import numpy as np

from pairaug.pair import SCORES, Branch
from pairaug.prune.columns import columns_of_part
from pairaug.prune.mismatches import MismatchSample
from pairaug.summary.figures import Mismatches
from pairaug.summary.records import RunPairs

_SAMPLE = 512
_MAX_CURVE_POINTS = 2000


def mismatches_of(pairs: RunPairs, seed: int) -> Mismatches:
    """The scores of mismatched pairs by branch and score, from a sample of the parts.

    Parts are read in an order sampled with `seed` until there are enough pairs of each branch.
    """
    samples = {branch: MismatchSample(_SAMPLE) for branch in (Branch.INTER, Branch.INTRA)}
    num_seen = dict.fromkeys(samples, 0)
    for number in np.random.default_rng(seed).permutation(len(pairs.parts)):
        columns = columns_of_part(pairs.parts[number], with_vectors=True)
        sources = columns.take(np.flatnonzero(columns.branches == Branch.REAL.value))
        for branch, sample in samples.items():
            # Pairs that pruning dropped count too: the distribution is of all scored pairs.
            mine = columns.take(np.flatnonzero(columns.branches == branch.value))
            sample.add(mine, sources)
            num_seen[branch] += int(mine.vectors.is_there.sum()) if mine.vectors else 0
        if min(num_seen.values()) >= _SAMPLE:
            break
    found = {
        (branch.value, score): sample.values(score)
        for branch, sample in samples.items()
        for score in SCORES
    }
    return {name: _thin(values) for name, values in found.items() if len(values)}


def _thin(values: np.ndarray) -> np.ndarray:
    """Sorted values, reduced evenly so that their curve is quick to compute."""
    if len(values) <= _MAX_CURVE_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, _MAX_CURVE_POINTS).astype(np.int64)]
