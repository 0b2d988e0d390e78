"""Selection of training patients when only a fraction of the labels may be used."""

from __future__ import annotations

import math

import numpy as np


def patients_for(
    fraction: float, labels: np.ndarray, patients: np.ndarray, seed: int
) -> np.ndarray:
    """True for each image of the selected patients, `image`: a fraction of all, at least one.

    `labels` is `image finding` (1, 0, NaN), `patients` a number per image. If the selected patients
    have no image with a finding, or none without it, one patient who has is added: a layer cannot
    learn from one class. With the same seed, a larger fraction includes all patients of a smaller
    one.
    """
    names, patient_of = np.unique(patients, return_inverse=True)
    order = np.random.default_rng([seed, 2]).permutation(len(names))
    num = max(1, math.ceil(fraction * len(names)))
    chosen = set(order[:num].tolist())
    for state in (1, 0):
        for column in (labels == state).T:
            having = set(patient_of[column].tolist())
            if having and not having & chosen:
                chosen.add(next(patient for patient in order.tolist() if patient in having))
    return np.isin(patient_of, sorted(chosen))
