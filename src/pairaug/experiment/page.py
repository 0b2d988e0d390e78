"""Tables, paragraphs and the HTML frame of an experiment's results."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

from pairaug.metrics.bootstrap import Estimate

_TICK = 0.05


def format_signed(estimate: Estimate) -> str:
    """A difference with its interval, such as `+0.015 [-0.002, +0.032]`."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def count_seeds(num_seeds: int) -> str:
    """`1 seed`, `5 seeds`."""
    return "1 seed" if num_seeds == 1 else f"{num_seeds} seeds"


def ticks(estimates: Iterable[Estimate]) -> list[float]:
    """Marks of a scale that covers all intervals: multiples of 0.05, at least two."""
    every = list(estimates)
    first = math.floor(min(each.low for each in every) / _TICK)
    final = max(first + 1, math.ceil(max(each.high for each in every) / _TICK))
    return [_TICK * mark for mark in range(first, final + 1)]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paragraphs(also: Sequence[str], notes: Sequence[str]) -> list[str]:
    """Paragraphs below a table: a list, if not empty, and the notes."""
    records = ["\n".join(f"- {line}" for line in also)] if also else []
    return [*records, "\n".join(notes)]


def html_page(
    title: str,
    heading: str,
    figure: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    also: Sequence[str],
    notes: Sequence[str],
) -> str:
    """A self-contained page; `figure` is SVG, all else text, with `code` and *stress*."""
    records = "".join(f"<li>{_mark(line)}</li>" for line in also)
    return _PAGE.format(
        title=escape(title),
        heading=escape(heading),
        figure=figure,
        head="".join(f"<th>{escape(name)}</th>" for name in header),
        body="".join(
            f"<tr>{''.join(f'<td>{_two_lines(cell)}</td>' for cell in row)}</tr>" for row in rows
        ),
        also=f"<ul>{records}</ul>" if records else "",
        notes="<br>".join(_mark(line) for line in notes),
    )


def _mark(line: str) -> str:
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(line))
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", code)


def _two_lines(cell: str) -> str:
    """A cell with the interval below its value, unbroken."""
    return escape(cell).replace(" [", "<br>[")


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>PairAug: {title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d2730; background: #fff; }}
h1 {{ font-size: 1.3rem; font-weight: 600; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }}
th, td {{ padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #dde3e8; }}
td {{ white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
svg {{ max-width: 46rem; width: 100%; margin: 1rem 0; font-size: 14px; }}
svg line {{ stroke: #3d6a8a; stroke-width: 2; }}
svg line.base {{ stroke: #c9642a; stroke-dasharray: 4 4; stroke-width: 1.5; }}
svg line.mark {{ stroke: #dde3e8; stroke-width: 1; }}
svg circle {{ fill: #3d6a8a; }}
svg text {{ fill: currentColor; }}
.notes {{ color: #5a6772; font-size: .88rem; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #dce3e8; background: #14191d; }} th, td {{ border-color: #2c363d; }}
  svg line {{ stroke: #7fb2d6; }} svg line.mark {{ stroke: #2c363d; }}
  svg circle {{ fill: #7fb2d6; }} .notes {{ color: #93a1ab; }}
}}
</style>
<h1>{heading}</h1>
{figure}
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
{also}
<p class="notes">{notes}</p>
</html>
"""
