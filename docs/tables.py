"""Writes the tables of pages from the JSON that was measured: `python docs/tables.py`.

In a page a table stands between `<!-- table: FILE NAME -->`, FILE relative to the page, and
`<!-- end -->`. Each FILE says under `measured` with which command, at which commit and on which
hardware. NAME is one of its `tables`, or one of `RENDERERS` for what a program of PairAug wrote.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

DOCS = Path(__file__).parent
PAGES = (DOCS / "results.md", DOCS / "benchmarks.md")
TABLE = re.compile(r"(<!-- table: (\S+) (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

BASE, UPPER = "real, equal compute", "ceiling"
# Order in which the comparisons are tested; Holm's correction is over these.
COMPARISONS = (
    BASE, "image-only", "text-only", "+inter", "+intra", "no pruning, as many", "no pruning",
    "ceiling, reworded",
)  # fmt: skip
_SHOWN = {"ceiling": "as many real", "ceiling, reworded": "as many real, reworded"}


def rendered(page: Path) -> str:
    """The text of `page` with each of its tables as its data says."""

    named: set[str] = set()

    def table(match: re.Match[str]) -> str:
        opening, file, name, _, end = match.groups()
        content = json.loads((page.parent / file).read_text(encoding="utf-8"))
        lines = RENDERERS[name](content) if name in RENDERERS else _stored(content["tables"][name])
        # Once for each file: its further tables are of the same measurement.
        source = "" if file in named else f"{_source(file, content['measured'])}\n\n"
        named.add(file)
        return f"{opening}\n{lines}\n\n{source}{end}"

    return TABLE.sub(table, page.read_text(encoding="utf-8"))


def _source(file: str, measured: Mapping[str, str]) -> str:
    link = f"[{Path(file).name}]({file})"
    return f"{link}: `{measured['command']}`, commit {measured['commit']}, {measured['hardware']}."


def paired_t(differences: Sequence[float]) -> tuple[float, float, float, float]:
    """(mean, lower end, upper end, two-sided p) of a 95 % interval by Student's t."""
    values = np.asarray(differences, dtype=float)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, len(values) - 1))
    return mean, mean - reach, mean + reach, p


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values as Holm (1979) corrects them for their number."""
    order = np.argsort(p_values)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _rows(content: Mapping[str, Any]) -> str:
    base = content["rows"][BASE]["by_seed"]
    cells = []
    for name, row in content["rows"].items():
        seeds = np.array(row["by_seed"])
        gain = "" if name == BASE else _signed(*paired_t(seeds - base)[:3])
        cells.append(
            [
                f"`{name}`" + (f" ({_SHOWN[name]})" if name in _SHOWN else ""),
                row["num_pairs"],
                row["num_steps"],
                f"{seeds.mean():.3f}",
                f"{seeds.std(ddof=1):.3f}",
                gain,
            ]
        )
    header = ("trained on", "pairs", "steps", "macro AUROC", "SD over seeds", "gain")
    return _markdown(header, cells)


def _differences(content: Mapping[str, Any]) -> str:
    rows = {name: np.array(row["by_seed"]) for name, row in content["rows"].items()}
    found = [paired_t(rows["+both"] - rows[name]) for name in COMPARISONS]
    corrected = holm([p for *_, p in found])
    cells = [
        [f"`+both` less `{name}`", _signed(*one[:3]), _p(one[3]), _p(holms)]
        for name, one, holms in zip(COMPARISONS, found, corrected, strict=True)
    ]
    half = rows["+both"] - rows[BASE] - 0.5 * (rows[UPPER] - rows[BASE])
    *interval, p = paired_t(half)
    cells.append(["`+both` less half of the way to `ceiling`", _signed(*interval), _p(p), ""])
    return _markdown(("difference", "mean and 95 % interval", "p", "p by Holm"), cells)


def _levels(content: Mapping[str, Any]) -> str:
    cells = []
    for level in content["levels"]:
        rows = {name: np.array(row["by_seed"]) for name, row in level["rows"].items()}
        cells.append(
            [
                f"{_exchanged(level):.1%}",
                *(f"{rows[name].mean():.3f}" for name in ("no pruning", "as many", "pruned")),
                *(
                    _signed(*paired_t(rows["pruned"] - rows[name])[:3])
                    for name in ("no pruning", "as many")
                ),
            ]
        )
    header = (
        "images exchanged", "no pruning", "as many", "pruned", "pruned less no pruning",
        "pruned less as many",
    )  # fmt: skip
    return _markdown(header, cells)


def _decisions(content: Mapping[str, Any]) -> str:
    cells = []
    for level in content["levels"]:
        wrong = level["num_wrong_kept"] + level["num_wrong_dropped"]
        right = level["num_right_kept"] + level["num_right_dropped"]
        found = f"{level['num_wrong_dropped']} of {wrong}" if wrong else "none to find"
        cells.append(
            [f"{wrong / (wrong + right):.1%}", found, f"{level['num_right_dropped']} of {right}"]
        )
    return _markdown(("images exchanged", "wrong pairs dropped", "right pairs dropped"), cells)


def _slope(content: Mapping[str, Any]) -> str:
    exchanged = [_exchanged(level) for level in content["levels"]]
    gains = np.array(
        [
            np.subtract(level["rows"]["pruned"]["by_seed"], level["rows"]["no pruning"]["by_seed"])
            for level in content["levels"]
        ]
    )
    slopes = [float(np.polyfit(exchanged, column, 1)[0]) for column in gains.T]
    *interval, p = paired_t(slopes)
    cells = [["gain of pruning per fraction exchanged", _signed(*interval), _p(p)]]
    return _markdown(("slope", "mean and 95 % interval", "p"), cells)


def _exchanged(level: Mapping[str, Any]) -> float:
    wrong = level["num_wrong_kept"] + level["num_wrong_dropped"]
    return wrong / (wrong + level["num_right_kept"] + level["num_right_dropped"])


def _fidelity(content: Mapping[str, Any]) -> str:
    generated, true = content["generated"], content["true"]
    cells = [
        [name, _estimate(generated[key]), _estimate(true[key])]
        for name, key in (
            ("macro AUROC of stated findings", "macro_auroc"),
            ("right side, one-sided findings", "side_right"),
            ("scorer AUROC, own report or another's", "scorer_auroc"),
        )
    ]
    cells.append(
        ["autoencoder round trip, mean difference", "", f"{content['round_trip']['value']:.4f}"]
    )
    cells += [
        [
            f"{name} ({label['num_positive']} images)",
            f"{label['generated']['value']:.3f}",
            f"{label['true']['value']:.3f}",
        ]
        for name, label in content["labels"].items()
    ]
    return _markdown(("", "generated", "true images"), cells)


_METHODS = {
    "inverted": "inverted source (default)",
    "inverted_no_swap": "no attention swap",
    "inverted_no_drift": "no drift correction",
    "inverted_from_report": "guidance from the source's report",
    "inverted_from_report_no_drift": "the same, no drift correction",
    "free": "generated from the changed report",
    "untouched": "the source as it is",
    "source": "autoencoder round trip of the source",
    "truth": "autoencoder round trip of the right answer",
}


def _counterfactual(content: Mapping[str, Any]) -> str:
    keys = ("ratio_to_free", "skill", "hits", "altered", "kept", "invented")
    cells = [
        [
            _METHODS[name],
            f"{method['distance']['value']:.4f}",
            *(_estimate(method[key]) for key in keys),
        ]
        for name, method in content["methods"].items()
    ]
    header = ("", "distance", "of free", "skill", "change read", "altered", "kept", "invented")
    return _markdown(header, cells)


def _edit_differences(content: Mapping[str, Any]) -> str:
    methods = content["methods"]
    own = np.array(methods["inverted"]["each_distance"])
    cells = []
    for name in methods:
        if name == "inverted":
            continue
        other = np.array(methods[name]["each_distance"])
        mean, low, high, _ = paired_t(own - other)
        nearer = int((own < other).sum())
        cells.append(
            [
                f"inverted source less {_METHODS[name]}",
                f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]",
                f"{nearer} of {len(own)}",
            ]
        )
    return _markdown(("distance", "mean and 95 % interval", "edits in which it is nearer"), cells)


def _findings(content: Mapping[str, Any]) -> str:
    cells = []
    for name, after in content["after"]["findings"].items():
        before = content["before"]["findings"][name]
        ratios = (f"{before[key]:.3f} → {after[key]:.3f}" for key in ("precision", "recall", "f1"))
        cells.append([name, after["coded"], after["stated"], after["hedged"], *ratios])
    header = ("finding", "coded", "stated", "hedged", "precision", "recall", "F1")
    return _markdown(header, cells)


def _stored(table: Mapping[str, Any]) -> str:
    decimals = table["decimals"]
    cells = [
        [_cell(value, places) for value, places in zip(row, decimals, strict=True)]
        for row in table["rows"]
    ]
    return _markdown(table["columns"], cells)


def _cell(value: Any, places: int | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value

    def number(one: float) -> str:
        return f"{one:,.{places}f}"

    if not isinstance(value, dict):
        return number(value)
    if "rounds" in value:
        return f"{number(value['median'])} ({', '.join(number(one) for one in value['rounds'])})"
    spread = f"{number(value['least'])} to {number(value['most'])}"
    return f"{number(value['median'])} ({spread})" if "median" in value else spread


def _estimate(stored: Mapping[str, Any]) -> str:
    value, low, high = stored["value"], stored["low"], stored["high"]
    if value is None:
        return "undefined"
    return f"{value:.3f}" if low == high else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _signed(mean: float, low: float, high: float) -> str:
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


RENDERERS = {
    "rows": _rows,
    "differences": _differences,
    "levels": _levels,
    "decisions": _decisions,
    "slope": _slope,
    "fidelity": _fidelity,
    "counterfactual": _counterfactual,
    "edit-differences": _edit_differences,
    "findings": _findings,
}


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(rendered(path), encoding="utf-8")
