"""Line charts as SVG text, in the style of `charts`: several values against one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pairaug.summary.charts import svg, text


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart; where a value is NaN it is broken."""

    name: str
    values: np.ndarray
    style: str
    """A class of the style sheet, which gives it its colour."""


def curves(places: np.ndarray, lines: Sequence[Curve], label: str) -> str:
    """The lines over `places` (float64 `place`, rising), named at their right ends."""
    width, height, left, right, top, bottom = 460.0, 230.0, 40.0, 150.0, 12.0, 28.0
    values = np.concatenate([line.values for line in lines])
    values = values[np.isfinite(values)]
    if not len(values) or len(places) < 2:
        return svg(width, 30, [text(8, 18, "nothing to plot", "tick")], label)
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0

    def x_of(value: float) -> float:
        fraction = (value - places[0]) / (places[-1] - places[0])
        return left + float(fraction) * (width - left - right)

    def y_of(value: float) -> float:
        return height - bottom - (value - low) / span * (height - top - bottom)

    body: list[str] = []
    for fraction in (0.0, 0.5, 1.0):
        value, place = low + fraction * span, places[0] + fraction * (places[-1] - places[0])
        y, x = y_of(value), x_of(place)
        body.append(
            f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}"/>'
        )
        body.append(text(left - 5, y + 4, f"{value:.2f}", "tick", "end"))
        body.append(text(x, height - 8, f"{place:.2f}", "tick", "middle"))
    ends = _spread([y_of(_last(line.values)) for line in lines], 13.0)
    for line, end in zip(lines, ends, strict=True):
        corners = " ".join(
            f"{x_of(place):.1f},{y_of(value):.1f}"
            for place, value in zip(places, line.values, strict=True)
            if np.isfinite(value)
        )
        body.append(f'<polyline class="curve {line.style}" points="{corners}"/>')
        body.append(text(width - right + 6, end + 4, line.name, f"tick {line.style}"))
    return svg(width, height, body, label)


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else 0.0


def _spread(places: Sequence[float], step: float) -> list[float]:
    """The places moved down until no two are nearer than `step`."""
    moved = [0.0] * len(places)
    least = -np.inf
    for index in np.argsort(places):
        moved[index] = max(places[index], least)
        least = moved[index] + step
    return moved
