"""Soft shapes on the image plane: the array operations of the renderer.

The plane spans [-1, 1] from left to right (x) and from top to bottom (y); one unit is half the
image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]  # float32 of (height, width), or broadcastable to it


_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixel centres of an image or of a window of it: `x` is (1, width), `y` is (height, 1).

    `size` is that of the whole image and `top` the number of the first row in it; `at` is the
    window's position in the grid from which it was cut.
    """

    size: int
    x: Plane
    y: Plane
    top: int
    at: tuple[slice, slice]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.y.shape[0], self.x.shape[1]

    def window(
        self, x: tuple[float, float] = (-1.0, 1.0), y: tuple[float, float] = (-1.0, 1.0)
    ) -> Grid:
        """The pixels from x[0] to x[1] and y[0] to y[1], with at most one more on each side.

        For speed: most structures cover a small part of the image.
        """
        columns = _between(self.x[0], *x, self.size)
        rows = _between(self.y[:, 0], *y, self.size)
        top = self.top + rows.start
        return Grid(self.size, self.x[:, columns], self.y[rows], top, (rows, columns))

    def around(self, centre: tuple[float, float], reach: tuple[float, float]) -> Grid:
        """The window that extends by `reach` to either side of `centre`."""
        return self.window(
            (centre[0] - reach[0], centre[0] + reach[0]),
            (centre[1] - reach[1], centre[1] + reach[1]),
        )

    def above(self, height: float, width: float) -> Plane:
        """(height, 1): 1 above `height` and 0 below it, with a smooth step over `width`.

        For heights that all patients share: the result is cached for each image size.
        """
        return _above(self.size, height, width)[self.top : self.top + len(self.y)]

    def below(self, height: float, width: float) -> Plane:
        """(height, 1): the same, but 0 above `height` and 1 below it."""
        return 1.0 - self.above(height, width)


def _between(centres: Plane, low: float, high: float, size: int) -> slice:
    """The pixels of a row or column whose centres lie between `low` and `high`, if any do."""
    start = float(centres[0])
    first = max(int((low - start) * size / 2), 0)
    return slice(first, max(int((high - start) * size / 2) + 2, first))


@lru_cache(maxsize=8)
def grid(size: int) -> Grid:
    """The pixel centres of an image of `size` x `size` pixels."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    return Grid(size, centres[None, :], centres[:, None], 0, (slice(size), slice(size)))


@lru_cache(maxsize=256)
def _above(size: int, height: float, width: float) -> Plane:
    column = step(height - grid(size).y, width)
    column.setflags(write=False)  # shared by all images
    return column


def step(distance: Plane, width: float) -> Plane:
    """A smooth step from 0 to 1 over `width`, centred where `distance` is 0 (cubic smoothstep)."""
    t = distance * (1.0 / width)
    t += 0.5
    return _smooth(t)


def bump(distance: Plane, width: float) -> Plane:
    """1 where `distance` is 0, falling smoothly to 0 at `width` to either side."""
    t = np.abs(distance)
    t *= -1.0 / width
    t += 1.0
    return _smooth(t)


def _smooth(t: Plane) -> Plane:
    """3 t^2 - 2 t^3 of t clipped to [0, 1]; overwrites `t`: rendering spends most time here."""
    # Several times faster than np.clip on small planes, and than np.maximum on large ones.
    t.clip(_ZERO, _ONE, out=t)
    rest = t * -2.0
    rest += 3.0
    t *= t
    t *= rest
    return t


def ellipse(
    plane: Grid, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> Plane:
    """(distance / radius)^2 from the centre of an ellipse: below 1 inside. `angle` in radians."""
    dx, dy = plane.x - centre[0], plane.y - centre[1]
    if angle:
        cosine, sine = math.cos(angle), math.sin(angle)
        dx, dy = dx * cosine + dy * sine, dy * cosine - dx * sine
    dx, dy = dx * (1.0 / radii[0]), dy * (1.0 / radii[1])
    return dx * dx + dy * dy


def ball(squared: Plane) -> Plane:
    """Thickness along the beam of an ellipsoid, from `ellipse`: sqrt(1 - r^2) inside, 0 outside."""
    inside = 1.0 - squared
    np.maximum(inside, _ZERO, out=inside)
    return np.sqrt(inside, out=inside)


def polyline(points: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Points of a Catmull-Rom curve through `points` (count, 2), two per pixel of its length."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    lengths = np.hypot(*np.diff(points, axis=0).T)
    counts = np.maximum((lengths * size).astype(int), 2)
    piece = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    t = ((np.arange(len(piece)) - first[piece]) / counts[piece])[:, None]
    p0, p1, p2, p3 = (ends[piece + offset] for offset in range(4))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return np.concatenate([curve, points[-1:]]).astype(np.float32)


def wire(curve: NDArray[np.float32], width: float, size: int) -> Plane:
    """A line of `width` image units along `curve` (count, 2): 1 on its axis, soft at its edge."""
    radius = max(width * 0.5 * size * 0.5, 0.8)  # pixels: a thinner wire would flicker
    reach = int(np.ceil(radius * 2.2))
    at = ((curve + 1.0) * (size * 0.5) - 0.5)[:, None]
    near = np.rint(at).astype(int) + np.arange(-reach, reach + 1)[:, None]  # point, offset, x or y
    # The Gaussian of a distance in two directions is the product of theirs.
    falloff = np.exp((near - at) ** 2 * (-0.5 / (radius * 0.75) ** 2), dtype=np.float32)
    values = falloff[:, :, None, 1] * falloff[:, None, :, 0]
    # Points outside the image fall on a rim of one pixel, which is cut off.
    near = np.clip(near + 1, 0, size + 1)
    layer = np.zeros((size + 2, size + 2), dtype=np.float32)
    pixel = near[:, :, None, 1] * (size + 2) + near[:, None, :, 0]
    np.maximum.at(layer.reshape(-1), pixel.reshape(-1), values.reshape(-1))
    return layer[1:-1, 1:-1]


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
    """Smooth noise at (u, v), features about 0.07 long; `offset` selects the patient's piece."""
    row = ((v * 160.0).astype(np.int32) + offset[0]) & 255
    column = ((u * 160.0).astype(np.int32) + offset[1]) & 255
    return _noise_tile().reshape(-1).take((row << 8) + column)
