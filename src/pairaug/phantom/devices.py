"""Devices on the image: metal and tubes, rendered over the tissue as (opacity, mask)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.canvas import Grid, Plane, polyline, step, wire
from pairaug.phantom.findings import Finding
from pairaug.phantom.geometry import Thorax
from pairaug.phantom.pathology import choices


def sample_device(
    anatomy: Anatomy, thorax: Thorax, finding: Finding, plane: Grid
) -> tuple[Plane, NDArray[np.bool_]]:
    """Opacity of the device in [0, 1], and its mask."""
    jitter = [choice - 0.5 for choice in choices(anatomy, finding, 4)]
    match finding.kind:
        case "pacemaker":
            layer = _pacemaker(thorax, finding, jitter, plane)
        case "central line":
            layer = _central_line(thorax, finding, jitter, plane)
        case _:
            layer = _endotracheal_tube(thorax, jitter, plane)
    return layer, layer > 0.3


def _pacemaker(thorax: Thorax, finding: Finding, jitter: list[float], plane: Grid) -> Plane:
    """A can below the clavicle, one lead to the right atrium and one to the right ventricle."""
    sign = 1.0 if finding.side == "left" else -1.0
    x, y = sign * (0.56 + 0.06 * jitter[0]), -0.52 + 0.08 * jitter[1]
    near = plane.around((x, y), (0.12, 0.11))
    across, down = np.abs(near.x - x), np.abs(near.y - y)
    # A rounded box: the corner's distance is Euclidean, the sides' is straight.
    corner = np.sqrt(np.maximum(across - 0.045, 0.0) ** 2 + np.maximum(down - 0.035, 0.0) ** 2)
    can = step(0.055 - corner, 0.025)
    header = step(0.03 - np.maximum(across - 0.02, down - 0.01), 0.02)
    vein = (0.04 + thorax.shift - 0.12, -0.42)
    entry = [(x - sign * 0.05, y - 0.06), (sign * 0.34, -0.66), (sign * 0.14, -0.60), vein]
    atrium = (thorax.atrium_centre[0] - 0.05, thorax.atrium_centre[1] - 0.02)
    apex_x = thorax.heart_centre[0] + 0.55 * thorax.heart_radii[0]
    apex = (apex_x, thorax.heart_centre[1] + 0.62 * thorax.heart_radii[1])
    through = (thorax.shift - 0.07, thorax.heart_centre[1] + 0.02)
    right_atrial = [*entry, (vein[0] - 0.01, -0.12), (through[0], atrium[1] + 0.06), atrium]
    ventricular = [
        *entry,
        (vein[0] + 0.015, -0.10),
        through,
        (through[0] + 0.12, apex[1] + 0.03),
        apex,
    ]
    layer = np.zeros(plane.shape, dtype=np.float32)
    layer[near.at] = np.maximum(0.95 * can, 0.75 * header * can)
    leads = [polyline(np.array(lead), plane.size) for lead in (right_atrial, ventricular)]
    tips = [lead[-max(3, plane.size // 20) :] for lead in leads]
    for curves, width, opacity in ((leads, 0.028, 0.85), (tips, 0.045, 0.95)):
        layer = np.maximum(layer, opacity * wire(np.concatenate(curves), width, plane.size))
    return layer


def _central_line(thorax: Thorax, finding: Finding, jitter: list[float], plane: Grid) -> Plane:
    """A catheter from the neck or the arm's vein to the superior vena cava."""
    cava = thorax.shift - 0.085
    tip = (cava + 0.01, -0.02 + 0.14 * jitter[0])
    if finding.side == "right":
        path = [(-0.24 + 0.05 * jitter[1], -1.02), (-0.19, -0.72), (cava - 0.01, -0.42), tip]
    else:
        path = [(0.27 + 0.05 * jitter[1], -1.02), (0.22, -0.70), (0.07, -0.50), (cava, -0.30), tip]
    return 0.85 * wire(polyline(np.array(path), plane.size), 0.034, plane.size)


def _endotracheal_tube(thorax: Thorax, jitter: list[float], plane: Grid) -> Plane:
    """A tube in the trachea, its two walls and a marker line, ending above the carina."""
    top, end = thorax.midline_top, -0.40 + 0.10 * jitter[0]
    path = [(top, -1.02), (0.9 * top, -0.7), (0.8 * top, end)]
    marker = polyline(np.array(path), plane.size)
    aside = np.array((0.042, 0.0), dtype=np.float32)
    walls = np.concatenate([marker - aside, marker + aside])
    return np.maximum(0.70 * wire(walls, 0.024, plane.size), 0.85 * wire(marker, 0.024, plane.size))
