"""The second scorer's mean scores of kept and dropped pairs; it does not affect pruning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pairaug.manifest import read_columns, trace_in
from pairaug.pair import SCORES, Branch
from pairaug.summary.records import RunPairs


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One score of one branch, as text."""

    branch: str
    score: str
    kept: str
    dropped: str
    auroc: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The table of the second scorer."""

    model: str
    rows: tuple[AuditRow, ...]


def audit_of(pairs: RunPairs, facts: Mapping[str, Any]) -> Audit | None:
    """The mean scores of kept and dropped pairs by the second scorer; None without one."""
    inputs = facts.get("fingerprints", {}).get("score", {}).get("inputs", {})
    model = inputs.get("score.audit.model")
    if not model:
        return None
    values = {name: np.full(len(pairs.ids), np.nan) for name in SCORES}
    start = 0
    for path in pairs.parts:
        traces = read_columns(path, ["trace"])["trace"].to_pylist()
        for row, text in enumerate(traces, start):
            noted = trace_in(text).get("score", {}).get("audit", {})
            for name in SCORES:
                if noted.get(name) is not None:
                    values[name][row] = noted[name]
        start += len(traces)
    is_dropped = pairs.drop_stages == "prune"
    rows = []
    for branch in (Branch.INTER, Branch.INTRA):
        for name in SCORES:
            there = pairs.of(branch) & np.isfinite(values[name])
            kept = values[name][there & pairs.is_living]
            dropped = values[name][there & is_dropped]
            if kept.size or dropped.size:
                rows.append(_row(branch.value, name, kept, dropped))
    return Audit(str(model), tuple(rows))


def _row(branch: str, score: str, kept: np.ndarray, dropped: np.ndarray) -> AuditRow:
    chance = "-"
    if kept.size and dropped.size:
        below, up_to = (np.searchsorted(np.sort(dropped), kept, side) for side in ("left", "right"))
        chance = f"{(below + up_to).mean() / (2 * dropped.size):.2f}"  # ties count half
    return AuditRow(branch, score, _mean(kept), _mean(dropped), chance)


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ({values.size:,})" if values.size else "-"
