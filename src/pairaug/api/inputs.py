"""Reports and seeds as callers of the API give them, checked."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pairaug.api.images import is_several
from pairaug.errors import DataError, SettingsError


def read_reports(reports: str | Iterable[str]) -> list[str]:
    """The reports, one or several, as a list.

    Raises `DataError` where one is missing or empty.
    """
    several: list[Any] = list(reports) if is_several_reports(reports) else [reports]
    for number, report in enumerate(several, start=1):
        which = f"report {number} of {len(several)}" if len(several) > 1 else "the report"
        is_missing = report is None or (isinstance(report, float) and math.isnan(report))
        if is_missing or (isinstance(report, str) and not report.strip()):
            raise DataError(f"{which} is missing; pass the radiologist's text")
        if not isinstance(report, str):
            raise DataError(f"{which} is {type(report).__name__}, not text")
    if not several:
        raise DataError("there is no report; pass the radiologist's text")
    return several


def is_several_reports(reports: Any) -> bool:
    """True for a list or an array of reports, False for one report."""
    return is_several(reports) or (isinstance(reports, np.ndarray) and reports.ndim == 1)


def read_seed(seed: Any) -> int:
    """A seed as an `int`, from a Python or NumPy integer, 0 to 2**63 - 1."""
    is_integer = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not (is_integer and 0 <= seed < 2**63):
        raise SettingsError("a seed must be an integer, at least 0 and below 2**63")
    return int(seed)


def read_seeds(seed: int | Sequence[int] | None, number: int) -> list[int]:
    """A seed for each image: those given, or consecutive ones from the first, random if None."""
    if seed is None:
        seed = secrets.randbits(31)
    if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str | bytes):
        seeds = [read_seed(each) for each in seed]
    else:
        first = read_seed(seed)
        seeds = [read_seed(first + row) for row in range(number)]
    if len(seeds) != number:
        raise SettingsError(f"got {len(seeds)} seeds for {number} images; pass one for each")
    return seeds
