"""What the comparison came to, as JSON, Markdown, HTML and plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pairaug.evaluate.results import text_table, write_result
from pairaug.experiment.page import (
    html_page,
    markdown_table,
    paragraphs,
    seeds_in_words,
    signed,
    ticks,
)
from pairaug.experiment.settings import BASE, Row, UtilitySettings
from pairaug.metrics.bootstrap import Estimate
from pairaug.metrics.paired import PairedMacros
from pairaug.system.atomic import write_file

_HEADER = ("row", "pairs", "steps", "macro AUROC", "over seeds", "gain", "share of the gap")

# What else the paper's question asks: is one row better than another?
_ALSO: tuple[tuple[Row, Row], ...] = (
    ("+both", "+inter"),
    ("+both", "+intra"),
    ("+both", "image-only"),
    ("+both", "text-only"),
    ("+both", "no pruning"),
    ("+both", "no pruning, as many"),
    ("+both", "ceiling, reworded"),
)


@dataclass(frozen=True, slots=True)
class Utility:
    """The experiment's outcome."""

    num_pairs: Mapping[str, int]
    """Pairs that each row trains on."""
    num_steps: Mapping[str, int]
    macros: PairedMacros
    """Macro zero-shot AUROC of each row's models, on common resamples of patients and seeds."""
    findings: Sequence[str]
    num_images: int


def write_results(out: Path, settings: UtilitySettings, found: Utility) -> Path:
    """The path of `utility.json`, with `utility.txt`, `utility.md` and `utility.html` beside it."""
    rows = [_row(row, settings, found) for row in settings.rows]
    also = [_difference(*pair, found) for pair in _ALSO if set(pair) <= set(settings.rows)]
    notes = _notes(settings, found)
    text = "\n\n".join(
        [_heading(settings, found), text_table(_HEADER, rows), *paragraphs(also, notes)]
    )
    markdown = "\n\n".join(
        [f"# {_heading(settings, found)}", markdown_table(_HEADER, rows), *paragraphs(also, notes)]
    )
    path = write_result(out, "utility", _as_json(settings, found), text)
    write_file(out / "utility.md", f"{markdown}\n".encode())
    write_file(out / "utility.html", _html(settings, found, rows, also, notes).encode())
    return path


def _heading(settings: UtilitySettings, found: Utility) -> str:
    return (
        f"Training on real and synthetic pairs: zero-shot on {found.num_images} images, "
        f"{len(found.findings)} findings, {seeds_in_words(settings.num_seeds)}"
    )


def _row(row: Row, settings: UtilitySettings, found: Utility) -> tuple[str, ...]:
    macros = found.macros
    has_gap = "ceiling" in settings.rows and row not in (BASE, "ceiling")
    deviation = macros.deviation(row)
    return (
        row,
        str(found.num_pairs[row]),
        str(found.num_steps[row]),
        str(macros.estimate(row)),
        "-" if deviation != deviation else f"{deviation:.3f}",
        "-" if row == BASE else signed(macros.difference(row, BASE)),
        _percent(macros.share_of_gap(row, BASE, "ceiling")) if has_gap else "-",
    )


def _difference(row: Row, other: Row, found: Utility) -> str:
    return f"{row} less {other}: {signed(found.macros.difference(row, other))}"


def _percent(estimate: Estimate) -> str:
    if estimate.value != estimate.value:
        return "no gap"
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"


def _notes(settings: UtilitySettings, found: Utility) -> list[str]:
    notes = [
        f"gain: macro AUROC less that of `{BASE}`, the real pairs alone for as many steps;",
        "over seeds: standard deviation of the models' macro AUROCs;",
        f"brackets: 95 % intervals over {settings.num_resamples} resamples of patients and seeds, the same "
        "resamples for all rows.",
    ]
    if "ceiling" in settings.rows:
        notes.insert(
            1,
            "share of the gap: of the way from there to `ceiling`, which trains on as many *real* "
            f"pairs as `+both` has ({found.num_pairs['+both']});",
        )
    if "ceiling, reworded" in settings.rows:
        notes.insert(
            -2,
            "ceiling, reworded: as many real pairs, all but the run's own reworded by rules;",
        )
    return notes


def _as_json(settings: UtilitySettings, found: Utility) -> dict[str, Any]:
    macros = found.macros
    rows = {}
    for row in settings.rows:
        rows[row] = {
            "num_pairs": found.num_pairs[row],
            "num_steps": found.num_steps[row],
            "macro_auroc": macros.estimate(row).as_dict(),
            "by_seed": [round(float(value), 6) for value in macros.values[row]],
            "gain": macros.difference(row, BASE).as_dict(),
        }
        if "ceiling" in settings.rows:
            rows[row]["share_of_gap"] = macros.share_of_gap(row, BASE, "ceiling").as_dict()
    differences = {
        f"{row} less {other}": macros.difference(row, other).as_dict()
        for row, other in _ALSO
        if {row, other} <= set(settings.rows)
    }
    return {
        "experiment": "utility",
        "settings": settings.model_dump(mode="json"),
        "findings": list(found.findings),
        "num_images": found.num_images,
        "base": BASE,
        "rows": rows,
        "differences": differences,
    }


def _html(
    settings: UtilitySettings,
    found: Utility,
    rows: Sequence[Sequence[str]],
    also: Sequence[str],
    notes: Sequence[str],
) -> str:
    """A page of its own: the intervals resampled, and the table."""
    figure = _figure([(row, found.macros.estimate(row)) for row in settings.rows])
    return html_page("utility", _heading(settings, found), figure, _HEADER, rows, also, notes)


_ROW_HEIGHT, _LABEL_WIDTH, _PLOT_WIDTH = 28, 170, 560


def _figure(rows: Sequence[tuple[str, Estimate]]) -> str:
    """Each row's macro AUROC with its interval, the base as a line through all."""
    marks = ticks(estimate for _, estimate in rows)

    def across(value: float) -> float:
        part = (value - marks[0]) / (marks[-1] - marks[0])
        return _LABEL_WIDTH + _PLOT_WIDTH * (0.04 + 0.92 * part)

    height = _ROW_HEIGHT * len(rows)
    base = dict(rows)[BASE].value
    parts = [
        *(
            f'<line x1="{across(mark):.1f}" x2="{across(mark):.1f}" y1="0" y2="{height}" '
            f'class="mark"/><text x="{across(mark):.1f}" y="{height + 18}" text-anchor="middle">'
            f"{mark:.2f}</text>"
            for mark in marks
        ),
        f'<line x1="{across(base):.1f}" x2="{across(base):.1f}" y1="0" y2="{height}" '
        'class="base"/>',
    ]
    for place, (row, estimate) in enumerate(rows):
        y = _ROW_HEIGHT * (place + 0.5)
        ends = f'x1="{across(estimate.low):.1f}" x2="{across(estimate.high):.1f}"'
        parts += [
            f'<text x="0" y="{y + 5:.1f}">{escape(row)}</text>',
            f'<line {ends} y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<circle cx="{across(estimate.value):.1f}" cy="{y:.1f}" r="5">'
            f"<title>{escape(row)}: {escape(str(estimate))}</title></circle>",
        ]
    width = _LABEL_WIDTH + _PLOT_WIDTH
    return (
        f'<svg viewBox="0 0 {width} {height + 24}" role="img" '
        f'aria-label="Macro AUROC of each row">{"".join(parts)}</svg>'
    )
