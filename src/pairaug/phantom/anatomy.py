"""The patient: a vector of anatomy that stays the same from study to study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The anatomy that distinguishes one phantom patient from another.

    Fields are in [0, 1] unless stated; 0.5 is the average patient. Lengths follow from them in
    `render.py`, where the image spans [-1, 1] in both directions.
    """

    seed: int  # vessel pattern, bone texture, grain, and the free choices of each finding
    build: float  # thin to heavy: wall thickness and soft-tissue veil
    thorax_width: float
    lung_volume: float  # below 0.2 low volumes, above 0.85 hyperinflated
    heart_size: float  # within the normal range; cardiomegaly comes on top
    heart_tilt: float
    aorta: float  # above 0.75 tortuous or unfolded
    rotation: float  # [-1, 1], positive turns the patient's left side forward
    scoliosis: float  # [-1, 1], positive convex to the patient's left
    diaphragm: float  # height of the right dome above the left
    rib_pitch: float
    rib_slope: float
    rib_contrast: float
    clavicle: float  # height of the clavicles
    vessels: float  # prominence of the lung vessels
    hila: float
    breast: float  # soft-tissue shadow over the lower zones
    exposure: float  # under- to overexposed
    contrast: float


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """A random patient: most measures cluster around the average, all stay in their range."""
    seed = int(rng.integers(2**31))
    shapes = rng.beta(2.2, 2.2, size=12)
    rotation, scoliosis = np.clip(rng.normal(0.0, 0.35, size=2), -1.0, 1.0)
    # Lung volume and aorta have flat distributions: their extremes are reported.
    lung_volume, aorta, breast, exposure = rng.random(4)
    values = [float(value) for value in shapes]
    return Anatomy(
        seed=seed,
        build=values[0],
        thorax_width=values[1],
        lung_volume=float(lung_volume),
        heart_size=values[2],
        heart_tilt=values[3],
        aorta=float(aorta),
        rotation=float(rotation),
        scoliosis=float(scoliosis),
        diaphragm=values[4],
        rib_pitch=values[5],
        rib_slope=values[6],
        rib_contrast=values[7],
        clavicle=values[8],
        vessels=values[9],
        hila=values[10],
        breast=float(breast),
        exposure=float(exposure),
        contrast=values[11],
    )
