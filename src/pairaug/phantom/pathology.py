"""What goes wrong in a lung: optical thickness added by each kind of finding.

The free choices of a finding (where in its zone, how ragged) come from the patient's seed and the
finding's kind and side, never from its severity: a lesion that grows stays where it was.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.canvas import Grid, Plane, ball, bump, ellipse, noise, step
from pairaug.phantom.findings import Finding
from pairaug.phantom.geometry import Lung


def choices(anatomy: Anatomy, finding: Finding, count: int) -> NDArray[np.float64]:
    """`count` numbers in [0, 1) that belong to this patient and this finding."""
    key = zlib.crc32(f"{finding.kind} {finding.side}".encode())
    return np.random.default_rng([anatomy.seed, key]).random(count)


def _grade(finding: Finding, mild: float, moderate: float, severe: float) -> float:
    return {"mild": mild, "moderate": moderate, "severe": severe}[finding.severity or "moderate"]


def draw_edema(anatomy: Anatomy, lung: Lung, finding: Finding, plane: Grid) -> Plane:
    """Haze that spreads from the hilum as wings, with septal lines at the side."""
    amount = np.float32(_grade(finding, 0.26, 0.46, 0.70))
    spread = _grade(finding, 0.46, 0.56, 0.70)
    wing = ball(
        ellipse(plane, (lung.hilum[0] + 0.10 * lung.sign, lung.hilum[1] + 0.12), (spread, 0.62))
    )
    offset = (anatomy.seed % 197, anatomy.seed // 197 % 223)
    cloud = noise(plane.x * np.float32(0.75), plane.y * np.float32(0.75), offset)
    septa = bump(np.sin((plane.y + np.float32(0.12) * plane.x) * np.float32(52.0)), 0.5) * bump(
        lung.lateral - np.float32(0.05), 0.09
    )
    septa = septa * step(plane.y - np.float32(0.0), 0.3)
    haze = wing * (np.float32(0.85) + np.float32(0.24) * cloud)
    return amount * np.maximum(haze, 0.0) + np.float32(0.18) * septa


def draw_effusion(anatomy: Anatomy, lung: Lung, finding: Finding, plane: Grid) -> Plane:
    """Fluid over the dome with a meniscus that climbs the chest wall, as dense as the abdomen."""
    (tilt,) = choices(anatomy, finding, 1)
    level = np.float32(_grade(finding, 0.07, 0.26, 0.52) + 0.04 * tilt)
    climb = np.float32(_grade(finding, 0.24, 0.24, 0.22))
    aside = np.maximum(np.float32(1.0) - lung.lateral * np.float32(2.4), 0.0)
    surface = level + climb * aside * aside - lung.above_dome
    wet = step(surface, 0.07)
    # A little fluid beyond the lung's own border blunts the angle instead of leaving a dark rim.
    field = np.maximum(lung.air, lung.depth) * wet
    return field * np.float32(1.0)


def draw_pneumothorax(
    anatomy: Anatomy, lung: Lung, finding: Finding, plane: Grid
) -> tuple[Plane, Plane, NDArray[np.bool_]]:
    """The part that stays aerated lung, what is added to the film, and where free air is.

    The lung comes away from wall and apex behind a thin white pleural line; outside it there are
    no vessels and less in the beam.
    """
    (lean,) = choices(anatomy, finding, 1)
    gap = np.float32(_grade(finding, 0.14, 0.23, 0.36))
    # The gap is widest at the apex, where air collects.
    rise = np.clip((np.float32(0.30 + 0.2 * lean) - plane.y) * np.float32(0.95), 0.0, 1.0)
    top = plane.y - np.float32(lung.apex + 0.05)
    edge = np.minimum(
        lung.lateral - gap * (np.float32(0.30) + np.float32(0.70) * rise),
        top - gap * np.float32(0.85) + np.float32(0.04),
    )
    kept = step(edge, 0.030)
    free = lung.air * (np.float32(1.0) - kept)
    line = bump(edge, 0.038) * lung.air
    collapse = np.float32(_grade(finding, 0.03, 0.09, 0.22)) * kept * lung.air
    added = np.float32(0.60) * line + collapse - np.float32(0.40) * free
    return lung.air * kept, added, free > 0.5


def draw_consolidation(anatomy: Anatomy, lung: Lung, finding: Finding, plane: Grid) -> Plane:
    """An ill-defined cloud in its zone, mottled, with air bronchograms where it is dense."""
    across, along, wide, first, second = choices(anatomy, finding, 5)
    centre = lung.at(finding.zone or "lower", 0.15 + 0.5 * across, 0.3 + 0.4 * along)
    size = _grade(finding, 0.17, 0.23, 0.30)
    offset = (int(first * 251), int(second * 251))
    cloud = noise(plane.x * np.float32(0.55), plane.y * np.float32(0.55), offset)
    squared = ellipse(plane, centre, (size * (0.9 + 0.5 * wide), size * (1.3 - 0.4 * wide)))
    ragged = squared + np.float32(0.30) * cloud
    body = step(np.float32(0.85) - ragged, 0.9)
    bronchi = np.maximum(np.float32(1.0) - np.abs(cloud) * np.float32(4.0), 0.0)
    amount = np.float32(_grade(finding, 0.50, 0.66, 0.82))
    return amount * body * (np.float32(1.0) - np.float32(0.22) * bronchi)


def draw_atelectasis(anatomy: Anatomy, lung: Lung, finding: Finding, plane: Grid) -> Plane:
    """Plate-like bands above a raised dome (the dome is raised in `geometry.py`)."""
    tilt, lift, length = choices(anatomy, finding, 3)
    drawn: Plane = np.zeros((1, 1), dtype=np.float32)
    for number in range(2 if finding.severity == "mild" else 3):
        centre_x, _ = lung.at("lower", 0.15 + 0.25 * number + 0.2 * length, 0.5)
        height = lung.base - 0.05 - 0.09 * number - 0.05 * lift
        slope = np.float32(lung.sign * (0.10 - 0.45 * tilt + 0.12 * number))
        line = plane.y - np.float32(height) - slope * (plane.x - np.float32(centre_x))
        band = bump(line, 0.052) * step(
            np.float32(0.20 + 0.06 * number) - np.abs(plane.x - np.float32(centre_x)), 0.10
        )
        drawn = np.maximum(drawn, band)
    crowding = bump(lung.above_dome - np.float32(0.04), 0.13)
    amount = np.float32(_grade(finding, 0.66, 0.82, 0.82))
    return amount * drawn + np.float32(_grade(finding, 0.16, 0.26, 0.26)) * crowding


def draw_lesion(anatomy: Anatomy, lung: Lung, finding: Finding, plane: Grid) -> Plane:
    """A round nodule, or a larger lobulated mass, in its zone."""
    across, along, size, lobe, phase = choices(anatomy, finding, 5)
    centre = lung.at(finding.zone or "upper", 0.1 + 0.75 * across, 0.25 + 0.5 * along)
    radius = 0.075 + 0.030 * size if finding.kind == "nodule" else 0.150 + 0.06 * size
    squared = ellipse(plane, centre, (radius, radius * (0.88 + 0.24 * lobe)))
    if finding.kind == "mass":
        angle = np.arctan2(plane.y - np.float32(centre[1]), plane.x - np.float32(centre[0]))
        squared = squared * (
            np.float32(1.0) + np.float32(0.16) * np.sin(angle * 3 + np.float32(6.3 * phase))
        )
    amount = np.float32(0.85 if finding.kind == "nodule" else 0.90)
    return (
        amount
        * step(np.float32(1.0) - squared, 0.8)
        * (np.float32(0.55) + np.float32(0.45) * ball(squared))
    )
