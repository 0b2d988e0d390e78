"""The geometry of one thorax: borders of lungs, heart and vessels in image units.

It depends only on the patient and on the findings that move borders (a large heart, a raised dome);
nothing is sampled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.canvas import Grid, Plane, step
from pairaug.phantom.findings import Finding

# Enlargement of the heart beyond the patient's normal size, by severity of cardiomegaly.
_HEART_GROWTH = {"mild": 1.20, "moderate": 1.38, "severe": 1.58}


@dataclass(frozen=True, slots=True)
class Thorax:
    """Borders and centres of one patient's chest, in image units."""

    half_width: float
    apex: float
    dome_right: float
    dome_left: float
    midline_top: float
    bend: float
    heart_centre: tuple[float, float]
    heart_radii: tuple[float, float]
    heart_angle: float
    atrium_centre: tuple[float, float]
    atrium_radii: tuple[float, float]
    knob_centre: tuple[float, float]
    knob_radius: float
    descending_offset: float
    shift: float

    @classmethod
    def of(cls, anatomy: Anatomy, findings: Sequence[Finding] = ()) -> Thorax:
        """The chest of this patient with these findings."""
        half_width = 0.72 + 0.11 * anatomy.thorax_width
        apex = -0.76 - 0.07 * anatomy.lung_volume
        dome_left = 0.30 + 0.30 * anatomy.lung_volume
        dome_right = dome_left - 0.02 - 0.09 * anatomy.diaphragm
        # Lost lung volume raises the dome of its side and pulls the mediastinum over.
        shift = 0.06 * anatomy.rotation
        for finding in findings:
            lift = 0.0
            if finding.kind == "atelectasis":
                lift = 0.07 if finding.severity == "mild" else 0.14
                shift += lift * (0.25 if finding.side == "left" else -0.25)
            if finding.kind == "pneumothorax" and finding.severity == "severe":
                shift += -0.07 if finding.side == "left" else 0.07
            dome_left -= lift if finding.side == "left" else 0.0
            dome_right -= lift if finding.side == "right" else 0.0
        growth = next(
            (_HEART_GROWTH[f.severity or "mild"] for f in findings if f.kind == "cardiomegaly"), 1.0
        )
        # A normal heart takes 0.42 to 0.49 of the thorax; cardiomegaly goes beyond 0.5.
        width = half_width * (0.42 + 0.07 * anatomy.heart_size) * growth
        tall = (0.27 + 0.03 * anatomy.heart_size) * (1.0 + 0.45 * (growth - 1.0))
        floor = 0.5 * (dome_left + dome_right)
        heart_x = shift + 0.33 * width
        heart_y = floor - 0.66 * tall + 0.04
        knob = 0.085 + 0.05 * max(anatomy.aorta - 0.5, 0.0) * 2.0
        return cls(
            half_width=half_width,
            apex=apex,
            dome_right=dome_right,
            dome_left=dome_left,
            midline_top=0.05 * anatomy.rotation,
            bend=0.10 * anatomy.scoliosis,
            heart_centre=(heart_x, heart_y),
            heart_radii=(width * 1.02, tall),
            heart_angle=0.30 + 0.30 * anatomy.heart_tilt,
            atrium_centre=(shift - 0.27 * width, heart_y - 0.02),
            atrium_radii=(width * 0.42, tall * 0.86),
            knob_centre=(0.135 + shift + 0.04 * anatomy.aorta, -0.27),
            knob_radius=knob,
            descending_offset=0.13 + 0.06 * max(anatomy.aorta - 0.6, 0.0) / 0.4,
            shift=shift,
        )

    def midline(self, y: Plane) -> Plane:
        """x of the spine at height y: straight, turned or curved."""
        return self.midline_top * (0.5 - y * 0.5) + self.bend * np.sin((y + 0.9) * 1.9)

    def wall(self, y: Plane) -> Plane:
        """Distance from the midline to the inner chest wall at height y."""
        rise = ((0.42 - y) * (1.0 / (0.42 - self.apex))).clip(0.0, 1.0)
        dome = np.maximum(1.0 - rise * rise, 0.0) ** 0.54
        return 0.13 + (self.half_width - 0.13) * dome


@dataclass(frozen=True, slots=True)
class Frame:
    """Image coordinates relative to one patient's spine and chest wall.

    `offset` is the distance from the midline, positive to the patient's left; `wall`, of shape
    (size, 1), is the inner chest wall's.
    """

    thorax: Thorax
    image: Grid
    offset: Plane
    wall: Plane
    bounds: tuple[float, float]  # the least and the greatest x of the midline

    @classmethod
    def of(cls, thorax: Thorax, image: Grid) -> Frame:
        """The frame of this chest on this image."""
        midline = thorax.midline(image.y)
        bounds = float(midline.min()), float(midline.max())
        return cls(thorax, image, image.x - midline, thorax.wall(image.y), bounds)

    def beside_midline(
        self, right: float, left: float, y: tuple[float, float] = (-1.0, 1.0)
    ) -> Grid:
        """The columns with an offset from `right` to `left` at any height."""
        return self.image.window((self.bounds[0] + right, self.bounds[1] + left), y)


@dataclass(frozen=True, slots=True)
class Lung:
    """One lung: `air` is its field on the image in [0, 1], `depth` the air along the beam."""

    side: Literal["left", "right"]
    sign: float  # +1 for the patient's left, which is at the right of the image
    plane: Grid  # the window of the image that holds all of the air
    air: Plane
    depth: Plane
    lateral: Plane  # distance to the chest wall, positive inside
    above_dome: Plane  # distance to the diaphragm, positive above it
    hilum: tuple[float, float]
    apex: float
    base: float
    half_width: float
    middle: float

    @classmethod
    def of(cls, frame: Frame, side: Literal["left", "right"]) -> Lung:
        """The lung of that side, bounded by chest wall, mediastinum and diaphragm."""
        thorax = frame.thorax
        sign = 1.0 if side == "left" else -1.0
        dome = thorax.dome_left if side == "left" else thorax.dome_right
        border = 0.120 + 0.03 * thorax.knob_radius
        # Air extends to half the width over which each border fades, and the floor sinks
        # towards the wall by less than 0.17.
        reach = sorted((sign * (border - 0.045), sign * (thorax.half_width + 0.015)))
        plane = frame.beside_midline(reach[0], reach[1], (thorax.apex - 0.01, dome + 0.18))
        along = sign * frame.offset[plane.at]
        lateral = frame.wall[plane.at[0]] - along
        # The medial border leaves room for the great vessels above and narrows again at the hila.
        medial = along - (
            border
            + 0.050 * plane.below(-0.15, 0.7)
            + 0.060 * step(thorax.apex + 0.22 - plane.y, 0.4)
        )
        centre, width = 0.50 * thorax.half_width + 0.02, 0.55 * thorax.half_width
        bow = ((along - centre) * (1.0 / width)) ** 2
        # The outer part falls off more steeply: the costophrenic angle is deep and sharp.
        outer = np.maximum(along - centre, 0.0)
        above = (dome - plane.y) + 0.10 * bow + 0.42 * outer * outer
        air = step(lateral, 0.030) * step(medial, 0.085) * step(above, 0.028)
        round_edge = np.sqrt((np.minimum(lateral, medial) * 3.0 + 0.06).clip(0.0, 1.0))
        return cls(
            side=side,
            sign=sign,
            plane=plane,
            air=air,
            depth=air * (0.50 + 0.50 * round_edge),
            lateral=lateral,
            above_dome=above,
            hilum=(thorax.shift * 0.6 + sign * 0.205, -0.03 if side == "left" else 0.02),
            apex=thorax.apex,
            base=dome,
            half_width=thorax.half_width,
            middle=0.5 * thorax.midline_top,
        )

    def at(self, zone: str, across: float, along: float) -> tuple[float, float]:
        """A point in a zone: `across` from hilum (0) to wall (1), `along` from top (0) to end."""
        top = self.apex + 0.16
        height = (self.base - 0.10 - top) / 3.0
        index = ("upper", "middle", "lower").index(zone)
        y = top + height * (index + along)
        rise = min(max((0.42 - y) / (0.42 - self.apex), 0.0), 1.0)
        wall = 0.13 + (self.half_width - 0.13) * max(1.0 - rise * rise, 0.0) ** 0.54
        inner = 0.24 if zone == "upper" else 0.34
        x = self.middle + self.sign * (inner + (max(wall - 0.10, inner + 0.05) - inner) * across)
        return x, y
