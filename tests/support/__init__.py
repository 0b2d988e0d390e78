"""What several tests share: tiny models, invented data, and programs that tests start."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
"""The folder to start a program of this package in."""


def program(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of this package in a process of its own, with `cwd=TESTS`."""
    return [sys.executable, "-m", f"{__name__}.{name}", *map(str, arguments)]
