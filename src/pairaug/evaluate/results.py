"""Results on disk: a table to read, and JSON beside it with the same numbers in full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairaug.errors import RunError


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text: the first column to the left, all others to the right."""
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
    """The path of `name`.json in the folder `out`, written with `table` in `name`.txt beside it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / f"{name}.txt", table.rstrip() + "\n")
        text = json.dumps(content, indent=2, allow_nan=False)
        _write(out / f"{name}.json", text + "\n")
    except OSError as error:
        raise RunError(f"cannot write to {out}: {error.strerror}") from error
    return out / f"{name}.json"


def _write(path: Path, text: str) -> None:
    partial_path = path.with_name(f".{path.name}.partial")
    partial_path.write_text(text, encoding="utf-8")
    partial_path.replace(path)
