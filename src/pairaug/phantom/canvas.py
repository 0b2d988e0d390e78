"""Soft shapes on the film plane: the few array operations that the renderer is made of.

The plane spans [-1, 1] from left to right (x) and from top to bottom (y); one unit is half a film.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]  # float32 of (size, size), or what broadcasts to it


_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixel centres: `x` of shape (1, size), `y` of shape (size, 1)."""

    size: int
    x: Plane
    y: Plane


@lru_cache(maxsize=8)
def grid(size: int) -> Grid:
    """The pixel centres of a film of `size` x `size` pixels."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    return Grid(size, centres[None, :], centres[:, None])


def step(distance: Plane, width: float) -> Plane:
    """A smooth step from 0 to 1 over `width`, centred where `distance` is 0 (cubic smoothstep)."""
    t = distance * np.float32(1.0 / width)
    t += np.float32(0.5)
    return _smooth(t)


def bump(distance: Plane, width: float) -> Plane:
    """1 where `distance` is 0, falling smoothly to 0 at `width` to either side."""
    t = np.abs(distance)
    t *= np.float32(-1.0 / width)
    t += np.float32(1.0)
    return _smooth(t)


def _smooth(t: Plane) -> Plane:
    """3 t^2 - 2 t^3 of t clipped to [0, 1]; overwrites `t`, since most of a film's time is here."""
    np.maximum(t, _ZERO, out=t)
    np.minimum(t, _ONE, out=t)
    rest = t * np.float32(-2.0)
    rest += np.float32(3.0)
    t *= t
    t *= rest
    return t


def ellipse(
    plane: Grid, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> Plane:
    """(distance / radius)^2 from the centre of an ellipse: below 1 inside. `angle` in radians."""
    dx, dy = plane.x - np.float32(centre[0]), plane.y - np.float32(centre[1])
    if angle:
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = dx * cosine + dy * sine, dy * cosine - dx * sine
    dx, dy = dx * np.float32(1.0 / radii[0]), dy * np.float32(1.0 / radii[1])
    return dx * dx + dy * dy


def ball(squared: Plane) -> Plane:
    """Thickness along the beam of an ellipsoid, from `ellipse`: sqrt(1 - r^2) inside, 0 outside."""
    inside = _ONE - squared
    np.maximum(inside, _ZERO, out=inside)
    return np.sqrt(inside, out=inside)


def polyline(points: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Points of a Catmull-Rom curve through `points` (count, 2), two per pixel of its length."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    pieces = []
    for start in range(len(points) - 1):
        p0, p1, p2, p3 = ends[start : start + 4]
        count = max(2, int(np.hypot(*(p2 - p1)) * size))
        t = np.linspace(0.0, 1.0, count, endpoint=False)[:, None]
        pieces.append(
            0.5
            * (
                2 * p1
                + (p2 - p0) * t
                + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            )
        )
    return np.concatenate([*pieces, points[-1:]]).astype(np.float32)


def wire(curve: NDArray[np.float32], width: float, size: int) -> Plane:
    """A line of `width` film units along `curve` (count, 2): 1 on its axis, soft at its edge."""
    drawn = np.zeros((size, size), dtype=np.float32)
    radius = max(width * 0.5 * size * 0.5, 0.8)  # pixels: no wire is so thin that it flickers
    reach = int(np.ceil(radius * 2.2))
    at = (curve + 1.0) * (size * 0.5) - 0.5
    column, row = np.rint(at[:, 0]).astype(int), np.rint(at[:, 1]).astype(int)
    offsets = np.arange(-reach, reach + 1)
    columns = (column[:, None, None] + offsets[None, None, :]) + 0 * offsets[None, :, None]
    rows = (row[:, None, None] + offsets[None, :, None]) + 0 * offsets[None, None, :]
    squared = (columns - at[:, 0, None, None]) ** 2 + (rows - at[:, 1, None, None]) ** 2
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    values = np.exp(-squared / np.float32(2.0 * (radius * 0.75) ** 2))
    np.maximum.at(drawn, (rows[inside], columns[inside]), values[inside])
    return drawn


@lru_cache(maxsize=1)
def _noise_tile(period: int = 256) -> NDArray[np.float32]:
    """Smooth tileable noise of zero mean and unit deviation, the same for all phantoms."""
    rng = np.random.default_rng(20240607)
    frequency = np.fft.fftfreq(period) * period
    radius = np.hypot(frequency[:, None], frequency[None, :])
    spectrum = np.exp(-((radius / 14.0) ** 2)) + 0.35 * np.exp(-((radius / 30.0) ** 2))
    white = np.fft.fft2(rng.standard_normal((period, period)))
    tile = np.fft.ifft2(white * spectrum).real
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


def noise(u: Plane, v: Plane, offset: tuple[int, int]) -> Plane:
    """Smooth noise at (u, v), features about 0.07 long; `offset` is the patient's piece of it."""
    tile = _noise_tile()
    row = ((v * np.float32(160.0)).astype(np.int32) + offset[0]) & 255
    column = ((u * np.float32(160.0)).astype(np.int32) + offset[1]) & 255
    return tile[row, column]
