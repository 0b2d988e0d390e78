"""Writes the tables of results and benchmarks from their JSON files: `python docs/tables.py`.

A table stands between `<!-- table: FILE NAME -->` and `<!-- end -->`; FILE is relative to the page.
The entry `measured` of each FILE has the command, the commit and the hardware. NAME is one of the
file's `tables`, or one of `RENDERERS` for a file written by a command of PairAug.
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

BASE, BOTH, UPPER = "real_matched_steps", "inter_and_intra", "upper_bound"
# Order in which the comparisons are tested; Holm's correction is over these.
COMPARISONS = (
    BASE, "image_only", "text_only", "inter", "intra", "unpruned_matched_size", "unpruned",
    "upper_bound_reworded",
)  # fmt: skip


def rendered(page: Path) -> str:
    """The text of `page` with each table rendered from its data."""

    named: set[str] = set()

    def table(match: re.Match[str]) -> str:
        opening, file, name, _, end = match.groups()
        content = json.loads((page.parent / file).read_text(encoding="utf-8"))
        lines = RENDERERS[name](content) if name in RENDERERS else _stored(content["tables"][name])
        # Once per file: all its tables come from the same measurement.
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
    """P-values corrected for multiple comparisons (Holm 1979)."""
    order = np.argsort(p_values)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _arms(content: Mapping[str, Any]) -> str:
    base = content["arms"][BASE]["by_seed"]
    cells = []
    for name, arm in content["arms"].items():
        seeds = np.array(arm["by_seed"])
        gain = "" if name == BASE else _signed(*paired_t(seeds - base)[:3])
        cells.append(
            [
                f"`{name}`",
                arm["num_pairs"],
                arm["num_steps"],
                f"{seeds.mean():.3f}",
                f"{seeds.std(ddof=1):.3f}",
                gain,
            ]
        )
    header = ("arm", "pairs", "steps", "macro AUROC", "SD over seeds", "gain")
    return _markdown(header, cells)


def _differences(content: Mapping[str, Any]) -> str:
    arms = {name: np.array(arm["by_seed"]) for name, arm in content["arms"].items()}
    results = [paired_t(arms[BOTH] - arms[name]) for name in COMPARISONS]
    corrected = holm([p for *_, p in results])
    cells = [
        [f"`{BOTH}` minus `{name}`", _signed(*one[:3]), _p(one[3]), _p(holms)]
        for name, one, holms in zip(COMPARISONS, results, corrected, strict=True)
    ]
    half = arms[BOTH] - arms[BASE] - 0.5 * (arms[UPPER] - arms[BASE])
    *interval, p = paired_t(half)
    cells.append(
        [f"`{BOTH}` minus the midpoint of `{BASE}` and `{UPPER}`", _signed(*interval), _p(p), ""]
    )
    return _markdown(("difference", "mean and 95 % interval", "p", "p by Holm"), cells)


def _levels(content: Mapping[str, Any]) -> str:
    unpruned = ("unpruned", "unpruned_matched_size")
    cells = []
    for level in content["levels"]:
        arms = {name: np.array(arm["by_seed"]) for name, arm in level["arms"].items()}
        cells.append(
            [
                f"{_noise_rate(level):.1%}",
                *(f"{arms[name].mean():.3f}" for name in (*unpruned, "pruned")),
                *(_signed(*paired_t(arms["pruned"] - arms[name])[:3]) for name in unpruned),
            ]
        )
    header = (
        "noise rate", *(f"`{name}`" for name in (*unpruned, "pruned")),
        *(f"`pruned` minus `{name}`" for name in unpruned),
    )  # fmt: skip
    return _markdown(header, cells)


def _decisions(content: Mapping[str, Any]) -> str:
    cells = []
    for level in content["levels"]:
        wrong = level["num_wrong_kept"] + level["num_wrong_dropped"]
        right = level["num_right_kept"] + level["num_right_dropped"]
        found = f"{level['num_wrong_dropped']} of {wrong}" if wrong else "none to find"
        cells.append(
            [f"{_noise_rate(level):.1%}", found, f"{level['num_right_dropped']} of {right}"]
        )
    return _markdown(("noise rate", "mismatched pairs dropped", "matching pairs dropped"), cells)


def _slope(content: Mapping[str, Any]) -> str:
    rates = [_noise_rate(level) for level in content["levels"]]
    gains = np.array(
        [
            np.subtract(level["arms"]["pruned"]["by_seed"], level["arms"]["unpruned"]["by_seed"])
            for level in content["levels"]
        ]
    )
    slopes = [float(np.polyfit(rates, column, 1)[0]) for column in gains.T]
    *interval, p = paired_t(slopes)
    cells = [["gain of pruning per unit of noise rate", _signed(*interval), _p(p)]]
    return _markdown(("slope", "mean and 95 % interval", "p"), cells)


def _noise_rate(level: Mapping[str, Any]) -> float:
    wrong = level["num_wrong_kept"] + level["num_wrong_dropped"]
    return wrong / (wrong + level["num_right_kept"] + level["num_right_dropped"])


def _fidelity(content: Mapping[str, Any]) -> str:
    generated, true = content["generated"], content["true"]
    cells = [
        [name, _estimate(generated[key]), _estimate(true[key])]
        for name, key in (
            ("macro AUROC of stated findings", "macro_auroc"),
            ("correct side, one-sided findings", "side_right"),
            ("scorer AUROC, own report against another's", "scorer_auroc"),
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
    return _markdown(("metric", "generated images", "rendered images"), cells)


_METHODS = {
    "inverted": "inverted source (default)",
    "inverted_no_swap": "no attention swap",
    "inverted_no_correction": "no drift correction",
    "inverted_source_prompt": "source report as negative prompt",
    "inverted_source_prompt_no_correction": "source report as negative prompt, no drift correction",
    "free": "generated from the changed report",
    "untouched": "unedited source",
    "source": "autoencoder round trip of the source",
    "truth": "autoencoder round trip of the true counterfactual",
}


def _counterfactual(content: Mapping[str, Any]) -> str:
    keys = (
        "ratio_to_free", "skill", "success_rate", "partial_success", "preserved", "hallucinated",
    )  # fmt: skip
    cells = [
        [
            _METHODS[name],
            f"{method['distance']['value']:.4f}",
            *(_estimate(method[key]) for key in keys),
        ]
        for name, method in content["methods"].items()
    ]
    header = (
        "method", "distance", "relative distance", "skill", "success rate", "partial success",
        "preserved", "hallucinated",
    )  # fmt: skip
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
                f"inverted source minus {_METHODS[name].removesuffix(' (default)')}",
                f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]",
                f"{nearer} of {len(own)}",
            ]
        )
    return _markdown(
        ("difference in distance", "mean and 95 % interval", "edits in which inverted is nearer"),
        cells,
    )


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
    "arms": _arms,
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
