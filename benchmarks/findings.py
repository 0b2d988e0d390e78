"""Agreement of the finding extractor with the indexers' coding of Open-i's reports, and its speed.

    python benchmarks/findings.py reports.csv [--out counts.json] [--rounds 5]

The table has one report a row: `findings`, `impression` and `mesh_major`, the major MeSH entries
between semicolons. An entry says that a finding is there; one that is not coded is taken as absent.
Hedged statements ("may be pneumonia") are counted apart: they count neither for nor against.
Speed is that of one process on its own processor time, the best of the rounds.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pairaug.findings import FINDINGS, extract, labels_of
from pairaug.findings.extract import _read
from pairaug.readers.openi import coded_findings

_CODED = tuple(finding for finding in FINDINGS if finding != "no finding")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with arguments.reports.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["findings"] or row["impression"]]
    texts = [f"{row['findings']}\n\n{row['impression']}" for row in rows]
    coded = [coded_findings(row["mesh_major"].split(";")) for row in rows]
    counts = counts_of(texts, coded)
    speed = max(_reports_per_second(texts) for _ in range(arguments.rounds))
    print(table(counts))  # noqa: T201
    print(f"{speed:,.0f} reports a second")  # noqa: T201
    if arguments.out:
        written = {
            "command": f"python benchmarks/findings.py {arguments.reports.name}",
            "commit": _commit(),
            "hardware": f"{_processor()}, one thread",
            "num_reports": len(rows),
            "reports_per_second": round(speed),
            "findings": counts,
        }
        arguments.out.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def counts_of(
    texts: Sequence[str], coded: Sequence[dict[str, bool | None]]
) -> dict[str, dict[str, Any]]:
    """For each finding, reports that code, state or hedge it, and how well the two agree."""
    counts: dict[str, dict[str, Any]] = {
        finding: dict.fromkeys(("coded", "stated", "both", "hedged", "hedged_coded"), 0)
        for finding in (*_CODED, "all")
    }
    for text, codes in zip(texts, coded, strict=True):
        statements = extract(text)
        labels = labels_of(statements)
        open_ones = {s.finding for s in statements if s.presence == "uncertain"}
        for finding in _CODED:
            if finding in codes and codes[finding] is None:
                continue  # "borderline" to the indexer
            is_coded, is_stated = bool(codes.get(finding)), labels[finding] is True
            is_hedged = labels[finding] is None and finding in open_ones
            for row in (counts[finding], counts["all"]):
                row["coded"] += is_coded
                row["stated"] += is_stated
                row["both"] += is_coded and is_stated
                row["hedged"] += is_hedged
                row["hedged_coded"] += is_coded and is_hedged
    for row in counts.values():
        wanted = row["coded"] - row["hedged_coded"]
        row["precision"] = _ratio(row["both"], row["stated"])
        row["recall"] = _ratio(row["both"], wanted)
        row["f1"] = _ratio(2 * row["both"], row["stated"] + wanted)
    return counts


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def table(counts: dict[str, dict[str, Any]]) -> str:
    """The counts as a table in Markdown, as the documentation has it."""
    lines = ["| finding | coded | stated | both | hedged | precision | recall | F1 |", "|---" * 8]
    for finding, row in counts.items():
        numbers = [str(row[key]) for key in ("coded", "stated", "both", "hedged")]
        ratios = [row[key] for key in ("precision", "recall", "f1")]
        numbers += ["–" if ratio is None else f"{ratio:.3f}" for ratio in ratios]
        lines.append(f"| {finding} | {' | '.join(numbers)} |")
    lines[1] += "|"
    return "\n".join(lines)


def _reports_per_second(texts: Sequence[str]) -> float:
    """Reports read in one second of processor time, with no sentence read before."""
    _read.cache_clear()
    started = time.process_time()
    for text in texts:
        extract(text)
    return len(texts) / (time.process_time() - started)


def _processor() -> str:
    """The processor's name where Linux gives it, else that of its family."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
