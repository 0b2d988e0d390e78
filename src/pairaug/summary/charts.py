"""Charts as SVG text: histograms, maps of points and rates by group.

Pure functions from numbers to a string. Colours are CSS variables of the page, named for what they
mean (`real`, `inter`, `intra`, `lost`), so that one style sheet serves light, dark and print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np


@dataclass(frozen=True, slots=True)
class Points:
    """One group in a map of points."""

    name: str
    positions: np.ndarray
    """float, `point 2`."""
    titles: Sequence[str]


def svg(width: float, height: float, body: Sequence[str], label: str) -> str:
    """An SVG that scales with the page, with `label` for readers who cannot see it."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        f"{''.join(body)}</svg>"
    )


def text(x: float, y: float, content: object, style: str = "", anchor: str = "start") -> str:
    """A line of text; `style` is a class of the page's style sheet."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">'
        f"{escape(str(content))}</text>"
    )


def histogram(
    kept: np.ndarray,
    dropped: np.ndarray,
    *,
    colour: str,
    label: str,
    rule: float | None = None,
    reference: np.ndarray | None = None,
    mismatched: np.ndarray | None = None,
) -> str:
    """Counts of kept pairs in `colour`, dropped ones stacked above them, and the rule as a line.

    `reference` and `mismatched` are shown as smooth outlines, scaled to the same area. All arrays
    are finite, shape `pair`, and `kept` and `dropped` are not both empty. No bar lies on both sides
    of the rule.
    """
    outlines = {
        style: values
        for style, values in (("outline", reference), ("mismatched", mismatched))
        if values is not None and values.size
    }
    edges = _edges(np.concatenate([kept, dropped]), np.concatenate([[], *outlines.values()]), rule)
    counts_kept, counts_dropped = (np.histogram(values, edges)[0] for values in (kept, dropped))
    low, high, step = edges[0], edges[-1], edges[1] - edges[0]
    curve_x = np.linspace(low, high, 90)
    area = (kept.size + dropped.size) * step
    heights = {style: _density(values, curve_x, step) * area for style, values in outlines.items()}
    highest = [float(curve_y.max()) for curve_y in heights.values()]
    peak = max(float((counts_kept + counts_dropped).max()), 1.0, *highest)

    width, height, left, right, top, bottom = 262.0, 190.0, 26.0, 6.0, 28.0, 26.0

    def x_of(value: float) -> float:
        return left + float(value - low) / float(high - low) * (width - left - right)

    def y_of(count: float) -> float:
        return height - bottom - float(count) / peak * (height - top - bottom)

    body: list[str] = []
    for count in [tick for tick in _ticks(0, peak, 3) if tick > 0 and tick == int(tick)]:
        body.append(_line("grid", left, y_of(count), width - right, y_of(count)))
        body.append(text(left - 5, y_of(count) + 4, f"{count:g}", "tick", "end"))
    for tick in _ticks(low, high, 4):
        body.append(text(x_of(tick), height - 8, f"{tick:g}", "tick", "middle"))
    sides = zip(edges[:-1], edges[1:], counts_kept, counts_dropped, strict=True)
    for start, end, num_kept, num_dropped in sides:
        x, bar, span = x_of(start), x_of(end) - x_of(start), f"{start:.3f} to {end:.3f}"
        total = num_kept + num_dropped
        body += _bar(x, bar, y_of(0), y_of(num_kept), colour, f"{num_kept} kept, {span}")
        body += _bar(x, bar, y_of(num_kept), y_of(total), "lost", f"{num_dropped} dropped, {span}")
    body.append(_line("axis", left, y_of(0), width - right, y_of(0)))
    for style, curve_y in heights.items():
        corners = (f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(curve_x, curve_y, strict=True))
        body.append(f'<polyline class="{style}" points="{" ".join(corners)}"/>')
    if rule is not None:
        x, is_right = x_of(rule), x_of(rule) > width * 0.7
        body.append(_line("rule", x, 16, x, y_of(0)))
        offset, anchor = (-5, "end") if is_right else (5, "start")
        body.append(text(x + offset, 22, f"> {rule:.3f}", "ruled", anchor))
    return svg(width, height, body, label)


def points_map(groups: Sequence[Points], links: Sequence[tuple[float, ...]], label: str) -> str:
    """A square map of points, one mark for each group; `links` are faint lines (x1, y1, x2, y2)."""
    size, margin = 470.0, 14.0
    positions = np.concatenate([group.positions for group in groups])
    low, high = positions.min(axis=0), positions.max(axis=0)
    scale = (size - 2 * margin) / float(max(*(high - low), 1e-9))
    offset = (size - (high - low) * scale) / 2

    def at(point: Sequence[float]) -> tuple[float, float]:
        x, y = (np.asarray(point) - low) * scale + offset
        return float(x), float(y)

    body = [f'<rect class="frame" width="{size:g}" height="{size:g}" rx="6"/>']
    for link in links:
        (x1, y1), (x2, y2) = at(link[:2]), at(link[2:])
        body.append(_line("link", x1, y1, x2, y2))
    for group in groups:
        for position, title in zip(group.positions, group.titles, strict=True):
            body.append(mark(group.name, *at(position), title))
    return svg(size, size, body, label)


def mark(name: str, x: float, y: float, title: str = "", radius: float = 4.0) -> str:
    """The mark of a branch: a ring for real, a disc for inter, a triangle for intra pairs."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    if name == "intra":
        r = radius * 1.15
        corners = f"{x:.1f},{y - r:.1f} {x + r:.1f},{y + r * 0.8:.1f} {x - r:.1f},{y + r * 0.8:.1f}"
        return f'<polygon class="mark intra" points="{corners}">{inner}</polygon>'
    return f'<circle class="mark {name}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{inner}</circle>'


def rates(rows: Sequence[tuple[str, Mapping[str, float]]], label: str) -> str:
    """One line for each row, with its groups' rates (0 to 1) as marks and as numbers."""
    width, left, right, top, step = 1080.0, 220.0, 240.0, 34.0, 27.0
    groups = list(dict.fromkeys(name for _, values in rows for name in values))
    highest = max([0.1, *(rate for _, values in rows for rate in values.values())])
    ceiling = np.ceil(highest * 10) / 10
    height = top + step * len(rows) + 26

    def x_of(rate: float) -> float:
        return left + rate / ceiling * (width - left - right)

    body = []
    for tick in np.linspace(0, ceiling, 5):
        x = x_of(float(tick))
        body.append(_line("grid", x, top - 8, x, height - 22))
        body.append(text(x, height - 6, f"{tick:.0%}", "tick", "middle"))
    columns = {name: width - right + 75 + 75 * index for index, name in enumerate(groups)}
    for name, x in columns.items():
        body.append(mark(name, x - 38, 9))
        body.append(text(x, 13, name, "tick", "end"))
    for index, (finding, values) in enumerate(rows):
        y = top + step * (index + 0.5)
        body.append(text(left - 16, y + 4, finding, "row", "end"))
        ends = [x_of(rate) for rate in values.values()]
        body.append(_line("span", min(ends), y, max(ends), y))
        for name, rate in values.items():
            body.append(mark(name, x_of(rate), y, f"{name}: {rate:.1%}", 5.5))
            body.append(text(columns[name], y + 4, f"{rate:.0%}", "value", "end"))
    return svg(width, height, body, label)


def _bar(x: float, width: float, below: float, above: float, colour: str, title: str) -> list[str]:
    if below - above <= 0:
        return []
    return [
        f'<rect class="bar {colour}" x="{x + 0.5:.2f}" y="{above:.2f}" width="{width - 1:.2f}" '
        f'height="{below - above:.2f}"><title>{escape(title)}</title></rect>'
    ]


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _edges(values: np.ndarray, outline: np.ndarray, rule: float | None) -> np.ndarray:
    """Equal bins over all values, more for more values, with one edge on the rule."""
    everything = np.concatenate([values, outline, [] if rule is None else [rule]])
    low, high = float(everything.min()), float(everything.max())
    num_bins = int(np.clip(2.2 * np.sqrt(len(values)), 8, 36))
    step = ((high - low) or 0.1) / num_bins
    anchor = low if rule is None else rule
    first, last = np.floor((low - anchor) / step), np.floor((high - anchor) / step) + 1
    return anchor + step * np.arange(first, last + 1)


def _density(values: np.ndarray, at: np.ndarray, least_width: float) -> np.ndarray:
    """A Gaussian kernel density of `values` at `at`, Scott's width; zeros without values."""
    if not values.size:
        return np.zeros_like(at)
    width = max(float(values.std()) * len(values) ** -0.2, least_width / 2)
    distance = (at[:, None] - values[None, :]) / width
    return np.exp(-0.5 * distance**2).mean(axis=1) / (width * np.sqrt(2 * np.pi))


def _ticks(low: float, high: float, num_about: int = 5) -> list[float]:
    """Round numbers inside the range, about `num_about` of them."""
    raw = (high - low) / num_about
    power = 10.0 ** np.floor(np.log10(raw))
    step = min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * power - raw)) * power
    first = int(np.ceil(low / step))
    return [round(tick * step, 10) for tick in range(first, int(np.floor(high / step)) + 1)]
