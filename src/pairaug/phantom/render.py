"""Renders the radiograph of a phantom patient with given findings.

Attenuation adds up along the beam: every structure adds to, or (air) takes from, one plane of
optical thickness T, and the image is a tone curve of T. Bright is dense, as on a light box. The
patient's left is at the right of the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.canvas import Grid, Plane, ball, bump, ellipse, grid, noise, step
from pairaug.phantom.devices import sample_device
from pairaug.phantom.findings import KINDS, SIDES, Finding
from pairaug.phantom.geometry import Frame, Lung, Thorax
from pairaug.phantom.pathology import (
    sample_atelectasis,
    sample_consolidation,
    sample_edema,
    sample_effusion,
    sample_lesion,
    sample_pneumothorax,
)

SIZE = 128  # pixels; the smallest image on which nodules and pleural lines are clearly visible


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """A phantom's image with the masks of its structures and findings.

    `image` is (size, size) float32 in [0, 1]; `masks` are boolean planes of the same shape named
    "left lung", "right lung", "heart", and by the label of each finding rendered.
    """

    image: NDArray[np.float32]
    masks: dict[str, NDArray[np.bool_]]


def render(anatomy: Anatomy, findings: Iterable[Finding] = (), size: int = SIZE) -> RenderedImage:
    """The image of this patient with these findings: the same arguments give the same bytes."""
    plane = grid(size)
    present = sorted(findings)
    thorax = Thorax.of(anatomy, present)
    masks: dict[str, NDArray[np.bool_]] = {}

    frame = Frame.of(thorax, plane)
    thickness = _wall(anatomy, thorax, plane)
    heart = _heart(thorax, plane)
    for side in SIDES:
        lung = Lung.of(frame, side)
        added, where = _lung(anatomy, lung, present)
        # The heart displaces lung: behind it only a thin wedge of air is left.
        added *= 1.0 - 0.80 * heart[lung.plane.at]
        thickness[lung.plane.at] += added
        for name, region in where.items():
            masks.setdefault(name, np.zeros(plane.shape, dtype=bool))[lung.plane.at] |= region
    masks["heart"] = heart > 0.25
    if any(finding.kind == "cardiomegaly" for finding in present):
        masks["cardiomegaly"] = masks["heart"]
    heart *= 0.20
    thickness += heart
    _add_mediastinum(frame, thickness)
    _add_spine(frame, thickness)
    _add_ribs(anatomy, frame, thickness)
    _add_shoulders(anatomy, thorax, plane, thickness)

    image = _tone(anatomy, thickness)
    for finding in present:
        if KINDS[finding.kind].is_device:
            metal, masks[finding.label] = sample_device(anatomy, thorax, finding, plane)
            # Metal saturates: it does not add to the tissue in front of it.
            image += metal * (0.97 - image)
    return RenderedImage(_grain(anatomy, image), masks)


def _of_kind(findings: list[Finding], kind: str, side: str) -> Finding | None:
    return next((f for f in findings if f.kind == kind and f.side == side), None)


def _lung(
    anatomy: Anatomy, lung: Lung, present: list[Finding]
) -> tuple[Plane, dict[str, NDArray[np.bool_]]]:
    """One lung's contribution to the thickness (negative for air), and its findings' masks."""
    where = {f"{lung.side} lung": lung.air > 0.5}
    aerated, added = lung.air, (-0.98 - 0.12 * anatomy.lung_volume) * lung.depth
    pneumothorax = _of_kind(present, "pneumothorax", lung.side)
    if pneumothorax is not None:
        aerated, extra, where[pneumothorax.label] = sample_pneumothorax(anatomy, lung, pneumothorax)
        added += extra
    # Attenuation within the lung: vessels, hila and findings.
    added += _vessels(anatomy, lung) * aerated
    for finding in present:
        layer = None
        if finding.side in (lung.side, None):
            layer = _in_lung(anatomy, lung, finding, aerated)
        if layer is not None:
            added += layer
            where[finding.label] = layer > 0.08
    return added, where


def _in_lung(anatomy: Anatomy, lung: Lung, finding: Finding, aerated: Plane) -> Plane | None:
    """The thickness that one finding adds to one lung; None for a finding outside the lung."""
    match finding.kind:
        case "edema":
            return sample_edema(anatomy, lung, finding) * aerated
        case "pleural effusion":
            return sample_effusion(anatomy, lung, finding)
        case "consolidation":
            return sample_consolidation(anatomy, lung, finding) * aerated
        case "atelectasis":
            return sample_atelectasis(anatomy, lung, finding) * aerated
        case "nodule" | "mass":
            return sample_lesion(anatomy, lung, finding) * lung.air
        case _:
            return None


def _wall(anatomy: Anatomy, thorax: Thorax, plane: Grid) -> Plane:
    """Body without lungs: chest wall, abdomen below the domes, dark air beside neck and arms."""
    body = ball((plane.x / (1.16 + 0.10 * anatomy.build)) ** 2) * 1.02
    thickness = np.repeat(body + (0.16 * anatomy.build + 0.10), plane.size, axis=0)
    # Shoulders slope away from the neck; above them there is no patient.
    outline = -1.02 + 0.34 * np.maximum(np.abs(plane.x - thorax.midline_top) - 0.34, 0.0)
    top = plane.window(y=(-1.0, float(outline.max()) + 0.11))
    thickness[top.at] *= 0.25 + 0.75 * step(top.y - outline, 0.22)
    # Axillary folds and, to a varying degree, breast tissue over the lower zones.
    folds = 0.22 * step(np.abs(plane.x) - (thorax.half_width + 0.07), 0.10)
    thickness += folds * plane.above(0.35, 1.2)
    breast = 0.34 * (anatomy.breast - 0.5)
    if breast > 0.0:
        low = plane.window((-0.90, 0.90), (-0.04, 0.64))
        squared = ((np.abs(low.x) - 0.50) / 0.40) ** 2 + ((low.y - 0.30) / 0.34) ** 2
        thickness[low.at] += breast * ball(squared)
    # The liver is denser than the stomach, whose bubble sits under the left dome.
    low = plane.window(y=(0.37, 1.0))
    thickness[low.at] += 0.12 * low.below(0.62, 0.5)
    bubble = (0.15 + 0.07 * anatomy.diaphragm, 0.085)
    _add_ball(plane, thickness, -0.42, (0.40, thorax.dome_left + 0.17), bubble)
    return thickness


def _add_ball(
    plane: Grid,
    thickness: Plane,
    amount: float,
    centre: tuple[float, float],
    radii: tuple[float, float],
) -> None:
    """Add an ellipsoid that is `amount` thick at its centre."""
    near = plane.around(centre, radii)
    thickness[near.at] += amount * ball(ellipse(near, centre, radii))


def _heart(thorax: Thorax, plane: Grid) -> Plane:
    """Thickness of the heart, 0 to 1: the ventricles, and the right atrium at the other border."""
    heart = np.zeros(plane.shape, dtype=np.float32)
    # Tilted, the ventricles extend by at most their longer radius.
    reach = max(thorax.heart_radii)
    near = plane.around(thorax.heart_centre, (reach, reach))
    heart[near.at] = ball(
        ellipse(near, thorax.heart_centre, thorax.heart_radii, thorax.heart_angle)
    )
    near = plane.around(thorax.atrium_centre, thorax.atrium_radii)
    atrium = ball(ellipse(near, thorax.atrium_centre, thorax.atrium_radii))
    heart[near.at] = np.maximum(heart[near.at], 0.9 * atrium)
    # The square root of a ball has a steep rim, as the silhouette on an image has.
    return np.sqrt(heart, out=heart)


def _add_mediastinum(frame: Frame, thickness: Plane) -> None:
    """Great vessels and aortic knob over the midline, dark trachea and main bronchi in it."""
    thorax = frame.thorax
    near = frame.beside_midline(-0.31, 0.31)
    offset = frame.offset[near.at]
    added = bump(offset, 0.21) * (0.20 * near.above(0.25, 0.5))
    descending = bump(offset - thorax.descending_offset, 0.07)
    added += descending * (0.16 * step(near.y - thorax.knob_centre[1], 0.15))
    air = bump(offset + 0.01, 0.062) * near.above(-0.24, 0.06)
    # Main bronchi leave the carina downwards at about 40 degrees, the left one further.
    carina = near.window(y=(-0.33, 0.08))
    aside = np.abs(offset[carina.at])
    reach = 0.22 + np.copysign(np.float32(0.02), offset[carina.at])
    bronchi = bump((carina.y + 0.25) - 0.85 * aside, 0.055)
    bronchi *= 0.75 * step(aside, 0.03) * step(reach - aside, 0.12)
    np.maximum(air[carina.at], bronchi, out=air[carina.at])
    air *= 0.34
    added -= air
    thickness[near.at] += added
    radii = (thorax.knob_radius, thorax.knob_radius * 1.1)
    _add_ball(frame.image, thickness, 0.50, thorax.knob_centre, radii)


def _vessels(anatomy: Anatomy, lung: Lung) -> Plane:
    """Branching vessels that thin out from the hilum, and the hilum itself."""
    plane = lung.plane
    dx, dy = plane.x - lung.hilum[0], plane.y - lung.hilum[1]
    radius = np.sqrt(dx * dx + dy * dy) + 0.02
    angle = np.arctan2(dy, dx * lung.sign)
    # In polar coordinates around the hilum, zero crossings of smooth noise run outwards and fork.
    offset = (anatomy.seed % 251, (anatomy.seed // 256) % 241 + (64 if lung.side == "left" else 0))
    wander = noise(plane.x * 0.5, plane.y * 0.5, offset)
    field = noise(angle * 0.24 + wander * 0.016, radius * 0.20, offset)
    lines = np.maximum(1.0 - np.abs(field) * 3.0, 0.0)
    fade = np.maximum(1.0 - radius * 1.20, 0.0) * step(radius - 0.09, 0.12)
    layer = (0.20 + 0.20 * anatomy.vessels) * lines * fade
    radii = (0.10, 0.17)
    near = plane.around(lung.hilum, (max(radii), max(radii)))
    hilum = ball(ellipse(near, lung.hilum, radii, -0.35 * lung.sign))
    layer[near.at] += (0.26 + 0.20 * anatomy.hila) * hilum * (0.8 + 0.3 * lines[near.at])
    return layer


def _add_spine(frame: Frame, thickness: Plane) -> None:
    """Vertebral bodies with disc spaces between them, and their denser edges."""
    near = frame.beside_midline(-0.125, 0.125)
    aside = np.abs(frame.offset[near.at])
    discs = 0.5 + 0.5 * np.cos(near.y * (2 * math.pi / 0.155))
    spine = step(0.098 - aside, 0.05) * (0.06 + 0.09 * discs)
    spine += 0.06 * bump(aside - 0.085, 0.03)
    thickness[near.at] += spine


def _add_ribs(anatomy: Anatomy, frame: Frame, thickness: Plane) -> None:
    """Posterior and anterior ribs of both sides."""
    pitch = 0.158 + 0.030 * anatomy.rib_pitch + 0.02 * anatomy.lung_volume
    contrast = 0.21 + 0.15 * anatomy.rib_contrast
    slope = 0.10 + 0.25 * anatomy.rib_slope
    reach = frame.thorax.half_width + 0.08
    near = frame.beside_midline(-reach, reach, y=(-1.0, 0.875))
    aside = np.abs(frame.offset[near.at])
    from_side = (frame.wall[near.at[0]] + 0.04) - aside
    inside = step(from_side, 0.08)
    # Posterior ribs leave the spine, arch up a little and run down to the side.
    arch = aside * (aside * (slope + 0.45) - 0.22) * (0.9 + 0.25 * near.y)
    back = _rib_profile((near.y - arch) * (1.0 / pitch) + 0.3)
    back *= inside
    back *= step(aside - 0.07, 0.06)
    back *= contrast * near.above(0.70, 0.35)
    # Anterior ribs come from the side and sink towards the sternum, where cartilage is not seen.
    high = near.window(y=(-0.80, 0.65))
    sink = from_side[high.at] * (0.62 + slope)
    front = _rib_profile((high.y - sink) * (1.0 / (pitch * 1.12)) + 0.05)
    front *= inside[high.at]
    front *= step(aside[high.at] - 0.30, 0.22)
    front *= 0.62 * contrast * high.above(0.40, 0.5) * high.below(-0.70, 0.2)
    back[high.at] += front
    thickness[near.at] += back


def _rib_profile(phase: Plane) -> Plane:
    """One rib per unit of `phase`: a flat body with two brighter cortical edges, then a gap."""
    from_gap = np.abs(phase - np.rint(phase))  # 0 in the middle of a gap, 0.5 in that of a rib
    return 0.62 * step(from_gap - 0.295, 0.10) + 0.55 * bump(from_gap - 0.325, 0.075)


def _add_shoulders(anatomy: Anatomy, thorax: Thorax, plane: Grid, thickness: Plane) -> None:
    """Clavicles and scapular borders of both sides."""
    height = -0.60 - 0.12 * anatomy.clavicle
    lift = 0.05 * anatomy.rotation
    # Wave and width included, a clavicle goes 0.29 above its inner end and 0.06 below it.
    near = plane.window(y=(height - 0.29 - abs(lift), height + 0.06 + abs(lift)))
    across = near.x - thorax.midline_top
    aside = np.abs(across)
    curve = height + lift * np.sign(across) - 0.20 * aside
    curve += 0.055 * np.sin(aside * 5.2)
    distance = np.abs(near.y - curve)
    bone = 0.24 * step(0.034 - distance, 0.022) + 0.12 * bump(distance - 0.030, 0.016)
    bone *= step(aside - 0.075, 0.04) * step(0.86 - aside, 0.1)
    thickness[near.at] += bone

    near = plane.window(y=(-1.0, 0.30))
    blade = (aside - (thorax.half_width - 0.02)) - near.y * 0.28
    thickness[near.at] += step(blade, 0.10) * (0.06 * near.above(0.05, 0.5))


def _tone(anatomy: Anatomy, thickness: Plane) -> Plane:
    """The image's characteristic curve: a logistic of thickness, by exposure and contrast."""
    middle = 0.83 + 0.20 * anatomy.exposure
    gain = 2.25 + 0.75 * anatomy.contrast
    image = (middle - thickness) * gain
    np.exp(image, out=image)
    image += 1.0
    np.divide(0.90, image, out=image)
    image += 0.03
    return image


def _grain(anatomy: Anatomy, image: Plane) -> NDArray[np.float32]:
    """The image with quantum noise: the patient's own grain, the same for every study."""
    rng = np.random.default_rng(anatomy.seed)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    grain *= 0.006
    grain += image
    return grain.clip(0.0, 1.0, out=grain)


__all__ = ["SIZE", "RenderedImage", "render"]
