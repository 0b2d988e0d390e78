"""Results of the comparison, as JSON, Markdown, HTML and plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pairaug.evaluate.results import text_table, write_result
from pairaug.experiment.page import (
    count_seeds,
    format_signed,
    html_page,
    markdown_table,
    paragraphs,
    ticks,
)
from pairaug.experiment.settings import BASE, Arm, UtilitySettings
from pairaug.metrics.bootstrap import Estimate
from pairaug.metrics.paired import PairedMacros
from pairaug.system.atomic import write_file

_HEADER = ("arm", "pairs", "steps", "macro AUROC", "over seeds", "gain", "fraction of gap")

# Differences between arms that the paper's question also asks for.
_ALSO: tuple[tuple[Arm, Arm], ...] = (
    ("inter_and_intra", "inter"),
    ("inter_and_intra", "intra"),
    ("inter_and_intra", "image_only"),
    ("inter_and_intra", "text_only"),
    ("inter_and_intra", "unpruned"),
    ("inter_and_intra", "unpruned_matched_size"),
    ("inter_and_intra", "upper_bound_reworded"),
)


@dataclass(frozen=True, slots=True)
class Utility:
    """Results of the experiment."""

    num_pairs: Mapping[str, int]
    """Training pairs of each arm."""
    num_steps: Mapping[str, int]
    macros: PairedMacros
    """Macro zero-shot AUROC of each arm's models, on common resamples of patients and seeds."""
    findings: Sequence[str]
    num_images: int


def write_results(out: Path, settings: UtilitySettings, found: Utility) -> Path:
    """Path of `utility.json`, written with `utility.txt`, `utility.md` and `utility.html`."""
    arms = [_arm(arm, settings, found) for arm in settings.arms]
    also = [_difference(*pair, found) for pair in _ALSO if set(pair) <= set(settings.arms)]
    notes = _notes(settings, found)
    text = "\n\n".join(
        [_heading(settings, found), text_table(_HEADER, arms), *paragraphs(also, notes)]
    )
    markdown = "\n\n".join(
        [f"# {_heading(settings, found)}", markdown_table(_HEADER, arms), *paragraphs(also, notes)]
    )
    path = write_result(out, "utility", _as_json(settings, found), text)
    write_file(out / "utility.md", f"{markdown}\n".encode())
    write_file(out / "utility.html", _html(settings, found, arms, also, notes).encode())
    return path


def _heading(settings: UtilitySettings, found: Utility) -> str:
    return (
        f"Training on real and synthetic pairs: zero-shot on {found.num_images} images, "
        f"{len(found.findings)} findings, {count_seeds(settings.num_seeds)}"
    )


def _arm(arm: Arm, settings: UtilitySettings, found: Utility) -> tuple[str, ...]:
    macros = found.macros
    has_gap = "upper_bound" in settings.arms and arm not in (BASE, "upper_bound")
    deviation = macros.deviation(arm)
    return (
        arm,
        str(found.num_pairs[arm]),
        str(found.num_steps[arm]),
        str(macros.estimate(arm)),
        "-" if deviation != deviation else f"{deviation:.3f}",
        "-" if arm == BASE else format_signed(macros.difference(arm, BASE)),
        _percent(macros.fraction_of_gap(arm, BASE, "upper_bound")) if has_gap else "-",
    )


def _difference(arm: Arm, other: Arm, found: Utility) -> str:
    return f"{arm} minus {other}: {format_signed(found.macros.difference(arm, other))}"


def _percent(estimate: Estimate) -> str:
    if estimate.value != estimate.value:
        return "no gap"
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"


def _notes(settings: UtilitySettings, found: Utility) -> list[str]:
    notes = [
        f"gain: macro AUROC minus that of `{BASE}`, the real pairs alone for the same number of "
        "steps;",
        "over seeds: standard deviation of the models' macro AUROCs;",
        f"brackets: 95 % intervals over {settings.num_resamples} resamples of patients and seeds, "
        "the same resamples for all arms.",
    ]
    if "upper_bound" in settings.arms:
        notes.insert(
            1,
            "fraction of gap: gain over that of `upper_bound`, which trains on as many *real* "
            "pairs"
            f"as `inter_and_intra` has pairs ({found.num_pairs['inter_and_intra']});",
        )
    if "upper_bound_reworded" in settings.arms:
        notes.insert(
            -2,
            "upper bound, reworded: the same number of real pairs, reworded by rules except the "
            "run's own;",
        )
    return notes


def _as_json(settings: UtilitySettings, found: Utility) -> dict[str, Any]:
    macros = found.macros
    arms = {}
    for arm in settings.arms:
        arms[arm] = {
            "num_pairs": found.num_pairs[arm],
            "num_steps": found.num_steps[arm],
            "macro_auroc": macros.estimate(arm).as_dict(),
            "by_seed": [round(float(value), 6) for value in macros.values[arm]],
            "gain": macros.difference(arm, BASE).as_dict(),
        }
        if "upper_bound" in settings.arms:
            arms[arm]["fraction_of_gap"] = macros.fraction_of_gap(
                arm, BASE, "upper_bound"
            ).as_dict()
    differences = {
        f"{arm} minus {other}": macros.difference(arm, other).as_dict()
        for arm, other in _ALSO
        if {arm, other} <= set(settings.arms)
    }
    return {
        "experiment": "utility",
        "settings": settings.model_dump(mode="json"),
        "findings": list(found.findings),
        "num_images": found.num_images,
        "base": BASE,
        "arms": arms,
        "differences": differences,
    }


def _html(
    settings: UtilitySettings,
    found: Utility,
    arms: Sequence[Sequence[str]],
    also: Sequence[str],
    notes: Sequence[str],
) -> str:
    """A self-contained page: the intervals as a figure, and the table."""
    figure = _figure([(arm, found.macros.estimate(arm)) for arm in settings.arms])
    return html_page("utility", _heading(settings, found), figure, _HEADER, arms, also, notes)


_ROW_HEIGHT, _LABEL_WIDTH, _PLOT_WIDTH = 28, 170, 560


def _figure(arms: Sequence[tuple[str, Estimate]]) -> str:
    """Macro AUROC of each arm with its interval, and the base as a line through all."""
    marks = ticks(estimate for _, estimate in arms)

    def across(value: float) -> float:
        part = (value - marks[0]) / (marks[-1] - marks[0])
        return _LABEL_WIDTH + _PLOT_WIDTH * (0.04 + 0.92 * part)

    height = _ROW_HEIGHT * len(arms)
    base = dict(arms)[BASE].value
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
    for index, (arm, estimate) in enumerate(arms):
        y = _ROW_HEIGHT * (index + 0.5)
        ends = f'x1="{across(estimate.low):.1f}" x2="{across(estimate.high):.1f}"'
        parts += [
            f'<text x="0" y="{y + 5:.1f}">{escape(arm)}</text>',
            f'<line {ends} y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<circle cx="{across(estimate.value):.1f}" cy="{y:.1f}" r="5">'
            f"<title>{escape(arm)}: {escape(str(estimate))}</title></circle>",
        ]
    width = _LABEL_WIDTH + _PLOT_WIDTH
    return (
        f'<svg viewBox="0 0 {width} {height + 24}" role="img" '
        f'aria-label="Macro AUROC of each arm">{"".join(parts)}</svg>'
    )
