"""Results of pruning at each noise rate, as JSON, Markdown, HTML and plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal, get_args

from pairaug.evaluate.results import text_table, write_result
from pairaug.experiment.page import (
    count_seeds,
    format_signed,
    html_page,
    markdown_table,
    paragraphs,
    ticks,
)
from pairaug.experiment.settings import BASE, PruningSettings
from pairaug.metrics.bootstrap import Estimate
from pairaug.metrics.paired import PairedMacros
from pairaug.system.atomic import write_file

PruningArm = Literal["unpruned", "unpruned_matched_size", "pruned"]
PRUNING_ARMS: tuple[PruningArm, ...] = get_args(PruningArm)

_HEADER = ("noise rate", "pairs", "kept", "wrong found", "right lost", *PRUNING_ARMS,
           "pruned minus unpruned", "pruned minus unpruned_matched_size")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """A noise rate, and the pruning of its synthetic pairs."""

    noise_rate: float
    num_right_kept: int
    num_right_dropped: int
    num_wrong_kept: int
    """Pairs with another pair's image; `num_wrong_dropped` counts them too."""
    num_wrong_dropped: int

    @property
    def num_kept(self) -> int:
        return self.num_right_kept + self.num_wrong_kept

    @property
    def num_synthetic(self) -> int:
        return self.num_kept + self.num_right_dropped + self.num_wrong_dropped

    @property
    def found(self) -> float | None:
        """Fraction of the wrong pairs that pruning dropped; None if there are none."""
        return _fraction(self.num_wrong_dropped, self.num_wrong_kept)

    @property
    def lost(self) -> float | None:
        """Fraction of the right pairs that pruning dropped; None if there are none."""
        return _fraction(self.num_right_dropped, self.num_right_kept)

    def arm(self, kind: PruningArm) -> str:
        """Name of one of its three arms."""
        return f"{kind}, noise rate {self.noise_rate:.0%}"


@dataclass(frozen=True, slots=True)
class Pruning:
    """Results of the experiment."""

    levels: Sequence[Level]
    num_real: int
    macros: PairedMacros
    """Macro zero-shot AUROC of each arm's models, on common resamples of patients and seeds."""
    findings: Sequence[str]
    num_images: int


def write_pruning(out: Path, settings: PruningSettings, found: Pruning) -> Path:
    """Path of `pruning.json`, written with `pruning.txt`, `pruning.md` and `pruning.html`."""
    arms = [_arm(level, found) for level in found.levels]
    heading = (
        f"Gain by pruning: zero-shot on {found.num_images} images, "
        f"{len(found.findings)} findings, {count_seeds(settings.num_seeds)}"
    )
    also = [f"{BASE}: {found.macros.estimate(BASE)} with {found.num_real} pairs"]
    below = paragraphs(also, _notes(settings))
    path = write_result(
        out,
        "pruning",
        _as_json(settings, found),
        "\n\n".join([heading, text_table(_HEADER, arms), *below]),
    )
    markdown = "\n\n".join([f"# {heading}", markdown_table(_HEADER, arms), *below])
    write_file(out / "pruning.md", f"{markdown}\n".encode())
    page = html_page("pruning", heading, _figure(found), _HEADER, arms, also, _notes(settings))
    write_file(out / "pruning.html", page.encode())
    return path


def _arm(level: Level, found: Pruning) -> tuple[str, ...]:
    macros = found.macros
    pruned = level.arm("pruned")
    return (
        f"{level.noise_rate:.0%}",
        str(found.num_real + level.num_synthetic),
        str(found.num_real + level.num_kept),
        "-" if level.found is None else f"{level.found:.0%}",
        "-" if level.lost is None else f"{level.lost:.0%}",
        *(str(macros.estimate(level.arm(kind))) for kind in PRUNING_ARMS),
        format_signed(macros.difference(pruned, level.arm("unpruned"))),
        format_signed(macros.difference(pruned, level.arm("unpruned_matched_size"))),
    )


def _notes(settings: PruningSettings) -> list[str]:
    return [
        "noise rate: fraction of the generated images exchanged for another patient's;",
        "pairs, kept: training pairs without and with pruning, including the real pairs;",
        "wrong found, right lost: fractions of the exchanged pairs, and of all others, that were "
        "dropped;",
        f"unpruned, unpruned_matched_size, pruned: macro AUROC after {settings.max_steps} steps on "
        "all pairs, on a random subset of all of the kept size, on the kept pairs;",
        f"brackets: 95 % intervals over {settings.num_resamples} resamples of patients and seeds, "
        "the same resamples for all arms.",
    ]


def _as_json(settings: PruningSettings, found: Pruning) -> dict[str, Any]:
    macros = found.macros
    return {
        "experiment": "pruning",
        "settings": settings.model_dump(mode="json"),
        "findings": list(found.findings),
        "num_images": found.num_images,
        "num_real": found.num_real,
        "base": _of_row(BASE, macros),
        "levels": [
            {
                "noise_rate": level.noise_rate,
                "num_right_kept": level.num_right_kept,
                "num_right_dropped": level.num_right_dropped,
                "num_wrong_kept": level.num_wrong_kept,
                "num_wrong_dropped": level.num_wrong_dropped,
                "arms": {kind: _of_row(level.arm(kind), macros) for kind in PRUNING_ARMS},
                "pruned_minus": {
                    kind: macros.difference(level.arm("pruned"), level.arm(kind)).as_dict()
                    for kind in PRUNING_ARMS
                    if kind != "pruned"
                },
            }
            for level in found.levels
        ],
    }


def _of_row(arm: str, macros: PairedMacros) -> dict[str, Any]:
    return {
        "macro_auroc": macros.estimate(arm).as_dict(),
        "by_seed": [round(float(value), 6) for value in macros.values[arm]],
    }


_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 720, 340, 60, 34, 56, 70
_COLOURS: dict[PruningArm, str] = {
    "unpruned": "#c9642a",
    "unpruned_matched_size": "#8a8f94",
    "pruned": "#3d6a8a",
}


def _figure(found: Pruning) -> str:
    """Macro AUROC over the noise rate, one line per arm, with intervals."""
    estimates: dict[PruningArm, list[Estimate]] = {
        kind: [found.macros.estimate(level.arm(kind)) for level in found.levels]
        for kind in PRUNING_ARMS
    }
    base = found.macros.estimate(BASE)
    every = [*(each for line in estimates.values() for each in line), base]
    marks = ticks(every)
    last = max(level.noise_rate for level in found.levels) or 1.0

    def x(rate: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (0.03 + 0.94 * rate / last)

    def y(value: float) -> float:
        part = (value - marks[0]) / (marks[-1] - marks[0])
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - part)

    end = x(last) + 12
    level_of_base = f"{y(base.value):.1f}"
    parts = [
        f'<line x1="{_LEFT}" x2="{end:.1f}" y1="{level_of_base}" y2="{level_of_base}" '
        'class="base"/>',
        f'<text x="{end + 4:.1f}" y="{y(base.value) + 4:.1f}">real only</text>',
        *(f'<text x="0" y="{y(mark) + 4:.1f}">{mark:.2f}</text>' for mark in marks),
        *(
            f'<text x="{x(level.noise_rate):.1f}" y="{_HEIGHT - 32}" text-anchor="middle">'
            f"{level.noise_rate:.0%}</text>"
            for level in found.levels
        ),
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">generated images that are another patient\'s</text>',
    ]
    for index, (kind, line) in enumerate(estimates.items()):
        across = [x(level.noise_rate) + 5 * (index - 1) for level in found.levels]
        parts += _line(kind, list(zip(across, line, strict=True)), y)
        parts.append(
            f'<text x="{_LEFT + 190 * index}" y="14" style="fill:{_COLOURS[kind]}">{kind}</text>'
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Macro AUROC by the noise rate">{"".join(parts)}</svg>'
    )


def _line(
    kind: PruningArm, points: Sequence[tuple[float, Estimate]], y: Callable[[float], float]
) -> list[str]:
    """Line of one arm through its points `(x, estimate)`, with an interval at each."""
    colour = f'style="stroke:{_COLOURS[kind]}"'
    path = " ".join(f"{x:.1f},{y(each.value):.1f}" for x, each in points)
    return [
        f'<polyline points="{path}" fill="none" stroke-width="2" {colour}/>',
        *(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(each.low):.1f}" y2="{y(each.high):.1f}" '
            f"{colour}><title>{escape(kind)}: {escape(str(each))}</title></line>"
            for x, each in points
        ),
    ]


def _fraction(some: int, others: int) -> float | None:
    return some / (some + others) if some + others else None
