"""The flow of pairs through a run as SVG: a lane a branch, each loss leaving with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pairaug.summary.charts import svg, text

COLUMNS = ("Read", "Rewrite", "Generate / edit", "Score", "Prune")
"""The columns of the figure. Generate and edit share one: a pair goes through either."""

_LEFT, _STEP, _NODE, _WIDTH = 2.0, 198.0, 9.0, 1080.0
_LINE, _GAP, _TOP, _TALLEST = 15.0, 46.0, 66.0, 250.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One branch: the number of pairs entering each column, and its drops by reason."""

    name: str
    title: str
    ending: str
    first_column: int
    num_at_first: int
    losses: dict[int, dict[str, int]] = field(default_factory=dict)
    """Column → reason → pairs."""

    def num_into(self, column: int) -> int:
        """Number of pairs entering `column`."""
        earlier = (at for at in self.losses if at < column)
        return self.num_at_first - sum(sum(self.losses[at].values()) for at in earlier)

    @property
    def num_left(self) -> int:
        """Number of pairs kept at the end."""
        return self.num_into(len(COLUMNS))


def flow(lanes: Sequence[Lane]) -> str:
    """The figure; ribbon width is proportional to the number of pairs. Lane 0 feeds the others."""
    total = max(1, sum(lane.num_at_first for lane in lanes))
    scale = min(_TALLEST / total, 4.0)
    body: list[str] = [text(_x(column), 22, name, "stage") for column, name in enumerate(COLUMNS)]
    top = _TOP
    tops: list[float] = []
    for lane in lanes:
        tops.append(top)
        top += _lane_height(lane, scale) + _GAP
    # Painted first: the ribbons from the source lane to the branches lie behind everything else.
    for lane, y in zip(lanes[1:], tops[1:], strict=True):
        body += _origin(lanes[0], tops[0], lane, y, scale)
    for lane, y in zip(lanes, tops, strict=True):
        body += _lane(lane, y, scale)
    gradients = "".join(_gradient(lane.name) for lane in lanes)
    label = "; ".join(f"{lane.title}: {lane.num_left} of {lane.num_at_first}" for lane in lanes)
    return svg(_WIDTH, top - _GAP + 8, [f"<defs>{gradients}</defs>", *body], label)


def _lane(lane: Lane, top: float, scale: float) -> list[str]:
    body: list[str] = []
    for column in range(lane.first_column, len(COLUMNS)):
        num_in = lane.num_into(column)
        lost = lane.losses.get(column, {})
        num_lost = sum(lost.values())
        x, thickness = _x(column), _thick(num_in, scale)
        if column < len(COLUMNS) - 1 and num_in > num_lost:
            through = _thick(num_in - num_lost, scale)
            body.append(_band(x + _NODE, top, through, _x(column + 1), top, through, lane.name))
        if lost:
            body += _loss(x + _NODE, top + thickness, _thick(num_lost, scale), lost, lane)
        body.append(
            f'<rect class="node {lane.name}" x="{x}" y="{top:.1f}" width="{_NODE}" '
            f'height="{thickness:.1f}" rx="1.5"/>'
        )
        is_first = column == lane.first_column
        heading = f"{num_in:,} {lane.title}" if is_first else f"{num_in:,}"
        body.append(text(x, top - 8, heading, "count" if is_first else "minor"))
    return body + _ending(lane, top, scale)


def _ending(lane: Lane, top: float, scale: float) -> list[str]:
    """The number of kept pairs, at the right end."""
    x, last = _x(len(COLUMNS) - 1) + _NODE, _WIDTH - 96
    thickness = _thick(lane.num_left, scale)
    body = []
    if lane.num_left:
        body.append(_band(x, top, thickness, last, top, thickness, lane.name))
    body.append(text(last + 8, top + 15, f"{lane.num_left:,}", "result"))
    return [*body, text(last + 8, top + 31, lane.ending, "minor")]


def _loss(x: float, bottom: float, thickness: float, lost: dict[str, int], lane: Lane) -> list[str]:
    """A strand that bends down and fades, with the reasons under it."""
    above, below = bottom - thickness, bottom + 14
    bend = min(58.0, 26 + thickness)
    path = (
        f"M{x:.1f},{above:.1f} C{x + bend * 0.7:.1f},{above:.1f} {x + bend:.1f},{above + 12:.1f} "
        f"{x + bend:.1f},{below:.1f} L{x + max(bend - thickness, 4):.1f},{below:.1f} "
        f"C{x + max(bend - thickness, 4):.1f},{bottom:.1f} {x + 2:.1f},{bottom:.1f} "
        f"{x:.1f},{bottom:.1f} Z"
    )
    body = [f'<path d="{path}" fill="url(#fade-{lane.name})"/>']
    ordered = sorted(lost.items(), key=lambda item: (-item[1], item[0]))
    for line, (reason, count) in enumerate(ordered):
        y = below + 13 + _LINE * line
        body.append(text(x + 4, y, f"−{count:,} {reason.replace('_', ' ')}", "loss"))
    return body


def _origin(source: Lane, source_top: float, lane: Lane, top: float, scale: float) -> list[str]:
    living = source.num_into(1)
    if not living or not lane.num_at_first:
        return []
    start, end = _thick(living, scale), _thick(lane.num_at_first, scale)
    return [
        _band(
            _x(0) + _NODE, source_top, start, _x(lane.first_column), top, end, f"origin-{lane.name}"
        )
    ]


def _band(x1: float, y1: float, h1: float, x2: float, y2: float, h2: float, style: str) -> str:
    middle = (x1 + x2) / 2
    path = (
        f"M{x1:.1f},{y1:.1f} C{middle:.1f},{y1:.1f} {middle:.1f},{y2:.1f} {x2:.1f},{y2:.1f} "
        f"L{x2:.1f},{y2 + h2:.1f} C{middle:.1f},{y2 + h2:.1f} {middle:.1f},{y1 + h1:.1f} "
        f"{x1:.1f},{y1 + h1:.1f} Z"
    )
    fill = f' fill="url(#{style})"' if style.startswith("origin-") else ""
    return f'<path class="band {style}" d="{path}"{fill}/>'


def _gradient(name: str) -> str:
    return (
        f'<linearGradient id="fade-{name}" x1="0" y1="0" x2="0" y2="1">'
        f'<stop offset="0" class="stop-{name}" stop-opacity="0.4"/>'
        '<stop offset="1" class="stop-lost" stop-opacity="0.55"/></linearGradient>'
        f'<linearGradient id="origin-{name}" x1="0" y1="0" x2="1" y2="0">'
        '<stop offset="0" class="stop-real" stop-opacity="0.10"/>'
        f'<stop offset="1" class="stop-{name}" stop-opacity="0.34"/></linearGradient>'
    )


def _lane_height(lane: Lane, scale: float) -> float:
    """The room a lane takes: its thickness, or a loss strand with its lines, whichever is lower."""
    lowest = _thick(lane.num_at_first, scale)
    for column, lost in lane.losses.items():
        bottom = _thick(lane.num_into(column), scale) + 18 + _LINE * len(lost)
        lowest = max(lowest, bottom)
    return max(lowest, 34.0)


def _thick(count: int, scale: float) -> float:
    return max(1.5, count * scale) if count else 0.0


def _x(column: int) -> float:
    return _LEFT + _STEP * column
