"""The film: what an X-ray of a phantom patient with given findings shows.

Attenuation adds up along the beam: every structure adds to, or (air) takes from, one plane of
optical thickness T, and the film is a tone curve of T. Bright is dense, as on a film box. The
patient's left is at the right of the film.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.canvas import Grid, Plane, ball, bump, ellipse, grid, noise, step
from pairaug.phantom.devices import draw_device
from pairaug.phantom.findings import KINDS, SIDES, Finding, Side
from pairaug.phantom.geometry import Lung, Thorax
from pairaug.phantom.pathology import (
    draw_atelectasis,
    draw_consolidation,
    draw_edema,
    draw_effusion,
    draw_lesion,
    draw_pneumothorax,
)

SIZE = 128  # pixels; the smallest film on which a nodule and a pleural line are plain


@dataclass(frozen=True, slots=True)
class Film:
    """A phantom's film and where on it everything is.

    `image` is (size, size) float32 in [0, 1]; `masks` are boolean planes of the same shape named
    "left lung", "right lung", "heart", and by the label of each finding drawn.
    """

    image: NDArray[np.float32]
    masks: dict[str, NDArray[np.bool_]]


def render(anatomy: Anatomy, findings: Iterable[Finding] = (), size: int = SIZE) -> Film:
    """The film of this patient with these findings: the same arguments give the same bytes."""
    plane = grid(size)
    present = sorted(findings)
    thorax = Thorax.of(anatomy, present)
    masks: dict[str, NDArray[np.bool_]] = {}

    thickness = _wall(anatomy, thorax, plane)
    heart = _heart(thorax, plane)
    # The heart displaces lung: behind it only a thin wedge of air is left.
    beside = np.float32(1.0) - np.float32(0.80) * heart
    for side in SIDES:
        half = _half(side, size)
        added, where = _lung(anatomy, thorax, side, present, Grid(size, plane.x[:, half], plane.y))
        thickness[:, half] += added * beside[:, half]
        for name, region in where.items():
            masks.setdefault(name, np.zeros((size, size), dtype=bool))[:, half] |= region
    thickness += np.float32(0.20) * heart
    thickness += _mediastinum(thorax, plane)
    masks["heart"] = heart > 0.25
    if any(finding.kind == "cardiomegaly" for finding in present):
        masks["cardiomegaly"] = masks["heart"]
    thickness += _bones(anatomy, thorax, plane)

    image = _tone(anatomy, thickness)
    for finding in present:
        if KINDS[finding.kind].is_device:
            metal, where = draw_device(anatomy, thorax, finding, plane)
            # Metal saturates: it does not add to the tissue in front of it.
            image = image + metal * (np.float32(0.97) - image)
            masks[finding.label] = where
    return Film(_grain(anatomy, image), masks)


def _of_kind(findings: list[Finding], kind: str, side: str) -> Finding | None:
    return next((f for f in findings if f.kind == kind and f.side == side), None)


def _half(side: str, size: int) -> slice:
    """The columns that hold one lung, however bent the midline: most of the work is in lungs."""
    reach = size * 5 // 8
    return slice(size - reach, size) if side == "left" else slice(0, reach)


def _lung(
    anatomy: Anatomy, thorax: Thorax, side: Side, present: list[Finding], plane: Grid
) -> tuple[Plane, dict[str, NDArray[np.bool_]]]:
    """What one lung adds to the thickness (air takes away), and where its findings are."""
    lung = Lung.of(thorax, side, plane)
    where = {f"{side} lung": lung.air > 0.5}
    aerated, added = lung.air, np.float32(-0.98 - 0.12 * anatomy.lung_volume) * lung.depth
    pneumothorax = _of_kind(present, "pneumothorax", side)
    if pneumothorax is not None:
        aerated, extra, where[pneumothorax.label] = draw_pneumothorax(
            anatomy, lung, pneumothorax, plane
        )
        added += extra
    # What the lung itself weighs: vessels, hila, and whatever is wrong with it.
    added += _vessels(anatomy, lung, plane) * aerated
    for finding in present:
        drawn = None
        if finding.side in (side, None):
            drawn = _in_lung(anatomy, lung, finding, plane, aerated)
        if drawn is not None:
            added += drawn
            where[finding.label] = drawn > 0.08
    return added, where


def _in_lung(
    anatomy: Anatomy, lung: Lung, finding: Finding, plane: Grid, aerated: Plane
) -> Plane | None:
    """What one finding adds to one lung; None for a finding that is not in the lung."""
    match finding.kind:
        case "edema":
            return draw_edema(anatomy, lung, finding, plane) * aerated
        case "pleural effusion":
            return draw_effusion(anatomy, lung, finding, plane)
        case "consolidation":
            return draw_consolidation(anatomy, lung, finding, plane) * aerated
        case "atelectasis":
            return draw_atelectasis(anatomy, lung, finding, plane) * aerated
        case "nodule" | "mass":
            return draw_lesion(anatomy, lung, finding, plane) * lung.air
        case _:
            return None


def _wall(anatomy: Anatomy, thorax: Thorax, plane: Grid) -> Plane:
    """Body without lungs: chest wall, abdomen below the domes, dark air beside neck and arms."""
    half_width = np.float32(1.16 + 0.10 * anatomy.build)
    body = ball((plane.x / half_width) ** 2 + np.float32(0.0) * plane.y)
    veil = np.float32(0.16 * anatomy.build + 0.10)
    thickness = body * np.float32(1.02) + veil
    # Shoulders slope away from the neck; above them there is no patient.
    outline = np.float32(-1.02) + np.float32(0.34) * np.maximum(
        np.abs(plane.x - np.float32(thorax.midline_top)) - np.float32(0.34), 0.0
    )
    thickness *= np.float32(0.25) + np.float32(0.75) * step(plane.y - outline, 0.22)
    # Axillary folds and, to a varying degree, breast tissue over the lower zones.
    aside = np.abs(plane.x)
    thickness += (
        np.float32(0.22)
        * step(aside - np.float32(thorax.half_width + 0.07), 0.10)
        * step(np.float32(0.35) - plane.y, 1.2)
    )
    if anatomy.breast > 0.5:
        for sign in (-1.0, 1.0):
            shadow = ellipse(plane, (sign * 0.50, 0.30), (0.40, 0.34))
            thickness += np.float32(0.34 * (anatomy.breast - 0.5)) * ball(shadow)
    # The liver is denser than the stomach, whose bubble sits under the left dome.
    below = step(plane.y - np.float32(0.62), 0.5)
    thickness += np.float32(0.12) * below
    bubble = ellipse(
        plane, (0.40, thorax.dome_left + 0.17), (0.15 + 0.07 * anatomy.diaphragm, 0.085)
    )
    thickness -= np.float32(0.42) * ball(bubble)
    return thickness


def _heart(thorax: Thorax, plane: Grid) -> Plane:
    """Thickness of the heart, 0 to 1: the ventricles, and the right atrium at the other border."""
    ventricles = ball(ellipse(plane, thorax.heart_centre, thorax.heart_radii, thorax.heart_angle))
    atrium = ball(ellipse(plane, thorax.atrium_centre, thorax.atrium_radii))
    # The square root of a ball has a steep rim, as the silhouette on a film has.
    return np.sqrt(np.maximum(ventricles, np.float32(0.9) * atrium))


def _mediastinum(thorax: Thorax, plane: Grid) -> Plane:
    """Great vessels and aortic knob over the midline, dark trachea and main bronchi in it."""
    middle = thorax.midline(plane.y)
    offset = plane.x - middle
    vessels = bump(offset, 0.21) * step(np.float32(0.25) - plane.y, 0.5) * np.float32(0.20)
    knob = ball(ellipse(plane, thorax.knob_centre, (thorax.knob_radius, thorax.knob_radius * 1.1)))
    descending = bump(offset - np.float32(thorax.descending_offset), 0.07) * step(
        plane.y - np.float32(thorax.knob_centre[1]), 0.15
    )
    air = bump(offset + np.float32(0.01), 0.062) * step(np.float32(-0.24) - plane.y, 0.06)
    for sign, reach in ((-1.0, 0.20), (1.0, 0.24)):
        # Main bronchi leave the carina downwards at about 40 degrees.
        along = sign * offset
        line = plane.y + np.float32(0.25) - np.float32(0.85) * along
        air = np.maximum(
            air,
            np.float32(0.75) * bump(line, 0.055) * step(along, 0.03) * step(reach - along, 0.12),
        )
    return (
        vessels + np.float32(0.50) * knob + np.float32(0.16) * descending - np.float32(0.34) * air
    )


def _vessels(anatomy: Anatomy, lung: Lung, plane: Grid) -> Plane:
    """Branching vessels that thin out from the hilum, and the hilum itself."""
    dx, dy = plane.x - np.float32(lung.hilum[0]), plane.y - np.float32(lung.hilum[1])
    radius = np.sqrt(dx * dx + dy * dy) + np.float32(0.02)
    angle = np.arctan2(dy, dx * np.float32(lung.sign))
    # In polar coordinates around the hilum, zero crossings of smooth noise run outwards and fork.
    offset = (anatomy.seed % 251, (anatomy.seed // 256) % 241 + (64 if lung.side == "left" else 0))
    wander = noise(plane.x * np.float32(0.5), plane.y * np.float32(0.5), offset)
    field = noise(
        angle * np.float32(0.24) + wander * np.float32(0.016), radius * np.float32(0.20), offset
    )
    lines = np.maximum(np.float32(1.0) - np.abs(field) * np.float32(3.0), np.float32(0.0))
    fade = np.maximum(np.float32(1.0) - radius * np.float32(1.20), np.float32(0.0)) * step(
        radius - np.float32(0.09), 0.12
    )
    strength = np.float32(0.20 + 0.20 * anatomy.vessels)
    hilum = ball(ellipse(plane, lung.hilum, (0.10, 0.17), -0.35 * lung.sign))
    return strength * lines * fade + np.float32(0.26 + 0.20 * anatomy.hila) * hilum * (
        np.float32(0.8) + np.float32(0.3) * lines
    )


def _bones(anatomy: Anatomy, thorax: Thorax, plane: Grid) -> Plane:
    """Spine with disc spaces, posterior and anterior ribs, clavicles, scapular borders."""
    middle = thorax.midline(plane.y)
    offset = plane.x - middle
    aside = np.abs(offset)
    discs = np.float32(0.5) + np.float32(0.5) * np.cos(plane.y * np.float32(2 * np.pi / 0.155))
    spine = step(np.float32(0.098) - aside, 0.05) * (np.float32(0.06) + np.float32(0.09) * discs)
    spine = spine + np.float32(0.06) * bump(aside - np.float32(0.085), 0.03)

    pitch = 0.158 + 0.030 * anatomy.rib_pitch + 0.02 * anatomy.lung_volume
    contrast = np.float32(0.21 + 0.15 * anatomy.rib_contrast)
    slope = np.float32(0.10 + 0.25 * anatomy.rib_slope)
    reach = thorax.wall(plane.y) + np.float32(0.04)
    inside = step(reach - aside, 0.08)
    # Posterior ribs leave the spine, arch up a little and run down to the side.
    arch = aside * aside * (slope + np.float32(0.45)) - aside * np.float32(0.22)
    arch = arch * (np.float32(0.9) + np.float32(0.25) * plane.y)
    back = _rib_profile((plane.y - arch) * np.float32(1.0 / pitch) + np.float32(0.3))
    back *= inside * step(aside - np.float32(0.07), 0.06) * step(np.float32(0.70) - plane.y, 0.35)
    # Anterior ribs come from the side and sink towards the sternum, where cartilage is not seen.
    sink = (reach - aside) * (np.float32(0.62) + slope)
    front = _rib_profile((plane.y - sink) * np.float32(1.0 / (pitch * 1.12)) + np.float32(0.05))
    front *= inside * step(aside - np.float32(0.30), 0.22) * step(np.float32(0.40) - plane.y, 0.5)
    front *= step(plane.y + np.float32(0.70), 0.2)
    bones = spine + contrast * back + np.float32(0.62) * contrast * front

    height = np.float32(-0.60 - 0.12 * anatomy.clavicle)
    for sign in (-1.0, 1.0):
        along = sign * (plane.x - np.float32(thorax.midline_top))
        curve = (
            height - np.float32(0.20) * along + np.float32(0.055) * np.sin(along * np.float32(5.2))
        )
        curve = curve + np.float32(0.05 * anatomy.rotation * sign)
        body = step(np.float32(0.034) - np.abs(plane.y - curve), 0.022)
        rim = bump(np.abs(plane.y - curve) - np.float32(0.030), 0.016)
        span = step(along - np.float32(0.075), 0.04) * step(np.float32(0.86) - along, 0.1)
        bones = bones + (np.float32(0.24) * body + np.float32(0.12) * rim) * span
        blade = plane.y * np.float32(0.28) + np.float32(thorax.half_width - 0.02) - along
        bones = bones + np.float32(0.06) * step(-blade, 0.10) * step(
            np.float32(0.05) - plane.y, 0.5
        )
    return bones


def _rib_profile(phase: Plane) -> Plane:
    """One rib per unit of `phase`: a flat body with two brighter cortical edges, then a gap."""
    distance = np.abs(phase - np.floor(phase) - np.float32(0.5))
    return np.float32(0.62) * step(np.float32(0.205) - distance, 0.10) + np.float32(0.55) * bump(
        distance - np.float32(0.175), 0.075
    )


def _tone(anatomy: Anatomy, thickness: Plane) -> Plane:
    """The film's characteristic curve: a logistic of thickness, by exposure and contrast."""
    middle = np.float32(0.83 + 0.20 * anatomy.exposure)
    gain = np.float32(2.25 + 0.75 * anatomy.contrast)
    return np.float32(0.03) + np.float32(0.90) / (
        np.float32(1.0) + np.exp((middle - thickness) * gain)
    )


def _grain(anatomy: Anatomy, image: Plane) -> NDArray[np.float32]:
    """The film with quantum noise: the patient's own grain, the same for every study."""
    rng = np.random.default_rng(anatomy.seed)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + np.float32(0.006) * grain, 0.0, 1.0).astype(np.float32)


__all__ = ["SIZE", "Film", "render"]
