"""A sweep over thresholds: fraction kept, label balance and mean scores, without pruning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute
from rich.console import Console
from rich.table import Table

from pairaug.errors import RunError
from pairaug.manifest import part_paths, read_columns
from pairaug.pair import FINDINGS, SCORES, Branch
from pairaug.run.folder import RunFolder
from pairaug.system.atomic import write_file

# Its functions are made at import, so no type checker knows them.
pc: Any = pyarrow.compute

_NUM_THRESHOLDS = 21
_NUM_PRINTED = 11
_MAX_FINDINGS = 6


@dataclass(frozen=True, slots=True)
class Sweep:
    """The sweep of one score of one branch; arrays have one entry per threshold."""

    branch: str
    score: str
    num_pairs: int
    thresholds: np.ndarray
    kept: np.ndarray
    """Fraction of the scored pairs above the threshold."""
    means: dict[str, np.ndarray]
    """Score → mean over the kept pairs; NaN if none is kept."""
    balance: dict[str, np.ndarray]
    """Finding → fraction of the kept pairs with it."""
    shift: np.ndarray
    """Largest difference, over findings, between kept and real pairs in this fraction."""


def sweep_run(run: Path) -> tuple[Path, list[Sweep]]:
    """Writes sweep.html for a run with scores; returns its path and the sweeps."""
    folder = RunFolder(run)
    parts = part_paths(folder.stage("score"))
    if not parts:
        raise RunError(f"{folder.stage('score')} has no parts; run first: pairaug score {run}")
    branches, scores, labels = _read(parts)
    real = _fractions(labels[branches == Branch.REAL.value])
    sweeps = [
        _sweep(branch, name, scores[branches == branch], labels[branches == branch], real)
        for branch in (Branch.INTER.value, Branch.INTRA.value)
        for name in SCORES
        if np.isfinite(scores[branches == branch, SCORES.index(name)]).any()
    ]
    path = folder.path / "sweep.html"
    write_file(path, _page(folder.path.resolve().name, sweeps).encode())
    return path, sweeps


def print_sweep(console: Console, result: tuple[Path, list[Sweep]]) -> None:
    """Prints a table for each branch and score, and the path of the plots."""
    path, sweeps = result
    for sweep in sweeps:
        title = f"{sweep.branch}: {sweep.score} of {sweep.num_pairs:,} scored pairs"
        table = Table(box=None, title=title, title_justify="left", header_style="bold")
        names = ["above", "kept", "", *(f"mean {name}" for name in sweep.means), "label shift"]
        for name in names:
            table.add_column(name, justify="left" if not name else "right")
        step = (len(sweep.thresholds) - 1) // (_NUM_PRINTED - 1)
        for index in range(0, len(sweep.thresholds), step):
            table.add_row(*_cells(sweep, index))
        console.print(table)
    if not sweeps:
        console.print("no synthetic pair has a score")
    console.print(f"plots     {path}", highlight=False, soft_wrap=True)


def _cells(sweep: Sweep, index: int) -> Iterator[str]:
    yield f"{sweep.thresholds[index]:.3f}"
    yield f"{sweep.kept[index]:.1%}"
    yield "█" * round(20 * sweep.kept[index])
    for values in (*sweep.means.values(), sweep.shift):
        yield f"{values[index]:.3f}" if np.isfinite(values[index]) else "-"


def _read(parts: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(branch, scores as `pair score`, labels as `pair finding`) of the living pairs."""
    branches, scores, labels = [], [], []
    for path in parts:
        table = read_columns(path, ["branch", "scores", "labels", "drop_stage"])
        table = table.filter(table["drop_stage"].is_null())
        branches.append(table["branch"].to_numpy())
        columns = [pc.struct_field(table["scores"], name).to_numpy() for name in SCORES]
        scores.append(np.stack(columns, axis=1).astype(np.float64))
        states = [pc.struct_field(table["labels"], name).fill_null(0) for name in FINDINGS]
        labels.append(np.stack([state.to_numpy() == 1 for state in states], axis=1))
    return np.concatenate(branches), np.concatenate(scores), np.concatenate(labels)


def _sweep(
    branch: str, score: str, scores: np.ndarray, labels: np.ndarray, real: np.ndarray
) -> Sweep:
    own = scores[:, SCORES.index(score)]
    is_scored = np.isfinite(own)
    own, scores, labels = own[is_scored], scores[is_scored], labels[is_scored]
    low, high = np.quantile(own, [0.0, 1.0])
    thresholds = np.linspace(low - 1e-9, high, _NUM_THRESHOLDS)
    masks = [own > threshold for threshold in thresholds]
    balance = np.stack([_fractions(labels[mask]) for mask in masks])
    # The findings that are most common before pruning.
    shown = np.argsort(-balance[0], kind="stable")[:_MAX_FINDINGS]
    return Sweep(
        branch,
        score,
        len(own),
        thresholds,
        np.array([mask.mean() for mask in masks]),
        {
            name: np.array([_mean(scores[mask, index]) for mask in masks])
            for index, name in enumerate(SCORES)
            if np.isfinite(scores[:, index]).any()
        },
        {FINDINGS[index]: balance[:, index] for index in shown if balance[0, index] > 0},
        np.abs(balance - real).max(axis=1),
    )


def _fractions(labels: np.ndarray) -> np.ndarray:
    """Fraction of pairs with each finding; NaN without pairs."""
    return labels.mean(axis=0) if len(labels) else np.full(len(FINDINGS), np.nan)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan


def _page(name: str, sweeps: list[Sweep]) -> str:
    """The plots as one self-contained page."""
    from pairaug.summary.curves import Curve, curves

    figures = []
    for sweep in sweeps:
        title = f"{sweep.branch} · {sweep.score.replace('_', '–')}"
        kept = [Curve("fraction kept", sweep.kept, "a"), Curve("label shift", sweep.shift, "b")]
        means = [
            Curve(f"mean {name}", values, style)
            for (name, values), style in zip(sweep.means.items(), "abc", strict=False)
        ]
        balance = [
            Curve(name, values, style)
            for (name, values), style in zip(sweep.balance.items(), "abcdef", strict=False)
        ]
        for heading, lines in (("kept", kept), ("mean scores", means), ("label balance", balance)):
            if lines:
                picture = curves(sweep.thresholds, lines, f"{title}: {heading}")
                figures.append(f"<figure><h2>{escape(title)}: {heading}</h2>{picture}</figure>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="robots" content="noindex">'
        f"<title>{escape(name)} · thresholds</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(name)}: what each threshold keeps</h1>\n"
        "<p>Pairs dropped by earlier stages are left out. The label shift is the largest "
        "difference, over findings, between the fraction of kept pairs and the fraction of real "
        "pairs with a finding. Written by <code>pairaug prune --sweep</code>, which drops no pairs."
        f"</p>\n{''.join(figures)}</body></html>\n"
    )


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1500px;margin:2rem auto;padding:0 1rem;
background:#fff;color:#222}
figure{display:inline-block;width:460px;margin:0 1rem 1rem 0}h1{font-size:1.4rem}
h2{font-size:1rem;font-weight:600}
.tick{font-size:11px;fill:#666}.grid{stroke:#ddd}.curve{fill:none;stroke-width:2}
.a{stroke:#3b6fb6}.b{stroke:#d1662f}.c{stroke:#3f8f5b}.d{stroke:#8a5aa8}.e{stroke:#a8873a}
.f{stroke:#777}text.a,text.b,text.c,text.d,text.e,text.f{stroke:none}
text.a{fill:#3b6fb6}text.b{fill:#d1662f}text.c{fill:#3f8f5b}text.d{fill:#8a5aa8}
text.e{fill:#a8873a}text.f{fill:#777}
"""
