"""Pathology of the lung: optical thickness added by each kind of finding.

Free choices (position in the zone, irregularity) depend on the patient's seed and on the finding's
kind and side, never on its severity, so a lesion that grows keeps its position.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.canvas import Plane, ball, bump, ellipse, noise, step
from pairaug.phantom.findings import Finding
from pairaug.phantom.geometry import Lung


def choices(anatomy: Anatomy, finding: Finding, count: int) -> list[float]:
    """`count` numbers in [0, 1), fixed for this patient and finding."""
    key = zlib.crc32(f"{finding.kind} {finding.side}".encode())
    return np.random.default_rng([anatomy.seed, key]).random(count).tolist()


def _grade(finding: Finding, mild: float, moderate: float, severe: float) -> float:
    return {"mild": mild, "moderate": moderate, "severe": severe}[finding.severity or "moderate"]


def sample_edema(anatomy: Anatomy, lung: Lung, finding: Finding) -> Plane:
    """Haze that spreads from the hilum like wings, with septal lines laterally."""
    plane = lung.plane
    spread = _grade(finding, 0.46, 0.56, 0.70)
    wing = ball(
        ellipse(plane, (lung.hilum[0] + 0.10 * lung.sign, lung.hilum[1] + 0.12), (spread, 0.62))
    )
    offset = (anatomy.seed % 197, anatomy.seed // 197 % 223)
    cloud = noise(plane.x * 0.75, plane.y * 0.75, offset)
    haze = wing * (0.85 + 0.24 * cloud)
    layer = _grade(finding, 0.26, 0.46, 0.70) * np.maximum(haze, 0.0)
    low = plane.window(y=(-0.15, 1.0))
    septa = bump(np.sin((low.y + 0.12 * low.x) * 52.0), 0.5)
    septa *= bump(lung.lateral[low.at] - 0.05, 0.09)
    layer[low.at] += septa * (0.18 * low.below(0.0, 0.3))
    return layer


def sample_effusion(anatomy: Anatomy, lung: Lung, finding: Finding) -> Plane:
    """Fluid over the dome with a meniscus that climbs the chest wall, as dense as the abdomen."""
    (tilt,) = choices(anatomy, finding, 1)
    level = _grade(finding, 0.07, 0.26, 0.52) + 0.04 * tilt
    climb = _grade(finding, 0.24, 0.24, 0.22)
    aside = np.maximum(1.0 - lung.lateral * 2.4, 0.0)
    surface = level + climb * aside * aside - lung.above_dome
    # A little fluid beyond the lung's own border blunts the angle instead of leaving a dark rim.
    return np.maximum(lung.air, lung.depth) * step(surface, 0.07)


def sample_pneumothorax(
    anatomy: Anatomy, lung: Lung, finding: Finding
) -> tuple[Plane, Plane, NDArray[np.bool_]]:
    """The lung that stays aerated, the thickness added to the image, and the mask of free air.

    The lung is separated from wall and apex by a thin white pleural line; outside it there are no
    vessels and less tissue in the beam.
    """
    (lean,) = choices(anatomy, finding, 1)
    gap = _grade(finding, 0.14, 0.23, 0.36)
    # The gap is widest at the apex, where air collects.
    rise = ((0.30 + 0.2 * lean - lung.plane.y) * 0.95).clip(0.0, 1.0)
    top = lung.plane.y - (lung.apex + 0.05)
    edge = np.minimum(lung.lateral - gap * (0.30 + 0.70 * rise), top - gap * 0.85 + 0.04)
    aerated = lung.air * step(edge, 0.030)
    free = lung.air - aerated
    line = bump(edge, 0.038) * lung.air
    added = 0.60 * line + _grade(finding, 0.03, 0.09, 0.22) * aerated - 0.40 * free
    return aerated, added, free > 0.5


def sample_consolidation(anatomy: Anatomy, lung: Lung, finding: Finding) -> Plane:
    """An ill-defined cloud in its zone, mottled, with air bronchograms where it is dense."""
    across, along, wide, first, second = choices(anatomy, finding, 5)
    centre = lung.at(finding.zone or "lower", 0.15 + 0.5 * across, 0.3 + 0.4 * along)
    size = _grade(finding, 0.17, 0.23, 0.30)
    cloud = noise(lung.plane.x * 0.55, lung.plane.y * 0.55, (int(first * 251), int(second * 251)))
    squared = ellipse(lung.plane, centre, (size * (0.9 + 0.5 * wide), size * (1.3 - 0.4 * wide)))
    ragged = squared + 0.30 * cloud
    body = step(0.85 - ragged, 0.9)
    bronchi = np.maximum(1.0 - np.abs(cloud) * 4.0, 0.0)
    return _grade(finding, 0.50, 0.66, 0.82) * body * (1.0 - 0.22 * bronchi)


def sample_atelectasis(anatomy: Anatomy, lung: Lung, finding: Finding) -> Plane:
    """Plate-like bands above a raised dome (the dome is raised in `geometry.py`)."""
    tilt, lift, length = choices(anatomy, finding, 3)
    plane = lung.plane
    layer: Plane = np.zeros((1, 1), dtype=np.float32)
    for number in range(2 if finding.severity == "mild" else 3):
        centre_x, _ = lung.at("lower", 0.15 + 0.25 * number + 0.2 * length, 0.5)
        height = lung.base - 0.05 - 0.09 * number - 0.05 * lift
        slope = lung.sign * (0.10 - 0.45 * tilt + 0.12 * number)
        line = plane.y - height - slope * (plane.x - centre_x)
        band = bump(line, 0.052) * step(0.20 + 0.06 * number - np.abs(plane.x - centre_x), 0.10)
        layer = np.maximum(layer, band)
    crowding = bump(lung.above_dome - 0.04, 0.13)
    return _grade(finding, 0.66, 0.82, 0.82) * layer + _grade(finding, 0.16, 0.26, 0.26) * crowding


def sample_lesion(anatomy: Anatomy, lung: Lung, finding: Finding) -> Plane:
    """A round nodule, or a larger lobulated mass, in its zone."""
    across, along, size, lobe, phase = choices(anatomy, finding, 5)
    centre = lung.at(finding.zone or "upper", 0.1 + 0.75 * across, 0.25 + 0.5 * along)
    radius = 0.075 + 0.030 * size if finding.kind == "nodule" else 0.150 + 0.06 * size
    radii = (radius, radius * (0.88 + 0.24 * lobe))
    # The soft rim and a lobe's bulge end within 1.3 radii.
    near = lung.plane.around(centre, (1.3 * radii[0], 1.3 * radii[1]))
    squared = ellipse(near, centre, radii)
    if finding.kind == "mass":
        angle = np.arctan2(near.y - centre[1], near.x - centre[0])
        squared *= 1.0 + 0.16 * np.sin(angle * 3 + 6.3 * phase)
    layer = np.zeros(lung.plane.shape, dtype=np.float32)
    amount = 0.85 if finding.kind == "nodule" else 0.90
    layer[near.at] = amount * step(1.0 - squared, 0.8) * (0.55 + 0.45 * ball(squared))
    return layer
