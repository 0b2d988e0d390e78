"""Which patients to train on when only a fraction of the labels may be used."""

from __future__ import annotations

import math

import numpy as np


def patients_for(
    fraction: float, labels: np.ndarray, patients: np.ndarray, seed: int
) -> np.ndarray:
    """True for each image of the patients resampled, `image`: a fraction of all patients, at least one.

    `labels` is `image finding` (1, 0, NaN), `patients` a number for each image. Where the patients
    resampled have no image with a finding, or none without it, one is added who has: a layer cannot
    learn from one class. For one seed a greater fraction holds all patients of a smaller one.
    """
    names, places = np.unique(patients, return_inverse=True)
    order = np.random.default_rng([seed, 2]).permutation(len(names))
    num = max(1, math.ceil(fraction * len(names)))
    chosen = set(order[:num].tolist())
    for state in (1, 0):
        for column in (labels == state).T:
            having = set(places[column].tolist())
            if having and not having & chosen:
                chosen.add(next(place for place in order.tolist() if place in having))
    return np.isin(places, sorted(chosen))
