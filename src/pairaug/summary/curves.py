"""Line charts as SVG text, in the style of `charts`: several values against one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pairaug.summary.charts import svg, text


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart, broken at NaN values."""

    name: str
    values: np.ndarray
    style: str
    """A class of the style sheet; it sets the colour."""


def curves(x_values: np.ndarray, lines: Sequence[Curve], label: str) -> str:
    """The lines over `x_values` (float64 `point`, rising), named at their right ends."""
    width, height, left, right, top, bottom = 460.0, 230.0, 40.0, 150.0, 12.0, 28.0
    values = np.concatenate([line.values for line in lines])
    values = values[np.isfinite(values)]
    if not len(values) or len(x_values) < 2:
        return svg(width, 30, [text(8, 18, "nothing to plot", "tick")], label)
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0

    def x_of(value: float) -> float:
        fraction = (value - x_values[0]) / (x_values[-1] - x_values[0])
        return left + float(fraction) * (width - left - right)

    def y_of(value: float) -> float:
        return height - bottom - (value - low) / span * (height - top - bottom)

    body: list[str] = []
    for fraction in (0.0, 0.5, 1.0):
        value = low + fraction * span
        x_value = x_values[0] + fraction * (x_values[-1] - x_values[0])
        y, x = y_of(value), x_of(x_value)
        body.append(
            f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}"/>'
        )
        body.append(text(left - 5, y + 4, f"{value:.2f}", "tick", "end"))
        body.append(text(x, height - 8, f"{x_value:.2f}", "tick", "middle"))
    ends = _spread([y_of(_last(line.values)) for line in lines], 13.0)
    for line, end in zip(lines, ends, strict=True):
        corners = " ".join(
            f"{x_of(x_value):.1f},{y_of(value):.1f}"
            for x_value, value in zip(x_values, line.values, strict=True)
            if np.isfinite(value)
        )
        body.append(f'<polyline class="curve {line.style}" points="{corners}"/>')
        body.append(text(width - right + 6, end + 4, line.name, f"tick {line.style}"))
    return svg(width, height, body, label)


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else 0.0


def _spread(heights: Sequence[float], step: float) -> list[float]:
    """The heights moved down until they are at least `step` apart."""
    moved = [0.0] * len(heights)
    least = -np.inf
    for index in np.argsort(heights):
        moved[index] = max(heights[index], least)
        least = moved[index] + step
    return moved
