"""Results on disk: a text table, and a JSON file with the same numbers in full precision."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairaug.system.atomic import write_file


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain-text table: first column left-aligned, the others right-aligned."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write_result(out: Path, name: str, content: Mapping[str, Any], table: str) -> Path:
    """Writes `name`.json and `table` as `name`.txt to `out`; returns the former's path."""
    text = json.dumps(content, indent=2, allow_nan=False)
    write_file(out / f"{name}.txt", (table.rstrip() + "\n").encode())
    write_file(out / f"{name}.json", (text + "\n").encode())
    return out / f"{name}.json"
