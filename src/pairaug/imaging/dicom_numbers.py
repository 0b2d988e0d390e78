"""Numbers and tables of a DICOM header, tolerant of invalid ones.

Headers have texts instead of numbers, lists instead of single values, and tables without entries.
Optional elements that are unusable are ignored, and do not lose the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


def numbers(dataset: Any, name: str) -> list[float]:
    """All values of an element; NaN for a value that is not a number."""
    if name not in dataset:
        return []
    try:
        value = dataset[name].value
    # pydicom converts at first access, and raises anything.
    except Exception:  # noqa: BLE001
        value = dataset.get_item(name).value
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.split("\\") if value.strip(" \0") else []
    if value is None:
        return []
    return [_number(each) for each in (value if np.iterable(value) else [value])]


def first_number(dataset: Any, name: str) -> float | None:
    """First value of an element if it is finite, else None."""
    found = numbers(dataset, name)
    return found[0] if found and math.isfinite(found[0]) else None


def items(dataset: Any, name: str) -> list[Any]:
    """Items of a sequence; empty if it is not a sequence."""
    from pydicom.dataset import Dataset

    try:
        value = dataset.get(name) or ()
        return [item for item in value if isinstance(item, Dataset)]
    # As above: optional elements may be anything.
    except Exception:  # noqa: BLE001
        return []


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


@dataclass(frozen=True, slots=True)
class Lut:
    """Look-up table; values below its first or above its last entry are clamped."""

    first: int
    entries: np.ndarray

    @property
    def bits(self) -> int:
        """Bits of the largest entry.

        Not the descriptor's: devices write the storage width there.
        """
        return max(8, int(self.entries.max()).bit_length())

    def of(self, values: np.ndarray) -> np.ndarray:
        """Entries of `values`, which are rounded."""
        indices = np.rint(values).astype(np.int64) - self.first
        return self.entries[np.clip(indices, 0, len(self.entries) - 1)]


def lut_of(item: Any, low: float, high: float, *, is_little_endian: bool) -> Lut | None:
    """Table in a sequence's item for values from `low` to `high`; None if there is none."""
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3 or not all(map(math.isfinite, descriptor)):
        return None
    num, first = int(descriptor[0]) & 0xFFFF or 0x10000, int(descriptor[1])
    entries = _entries(item, num, is_little_endian=is_little_endian)
    if not len(entries):
        return None
    # The range of the values decides whether the first value is signed.
    if first >= 0x8000 and first > high:
        first -= 0x10000
    elif first < 0 and first + num <= low:
        first += 0x10000
    return Lut(first, entries)


def _entries(item: Any, num: int, *, is_little_endian: bool) -> np.ndarray:
    try:
        data = item.get("LUTData")
        if not isinstance(data, bytes):
            listed = data if np.iterable(data) else [] if data is None else [data]
            words = np.array([int(each) & 0xFFFF for each in listed], dtype=np.uint16)
            data, is_little_endian = words.astype("<u2").tobytes(), True
    # As above: what is optional may be anything.
    except Exception:  # noqa: BLE001
        return np.empty(0, np.uint16)
    # Eight bits each if the data is too short for more.
    if len(data) < 2 * num and len(data) >= num:
        return np.frombuffer(data, np.uint8)[:num]
    kind = "<u2" if is_little_endian else ">u2"
    return np.frombuffer(data[: len(data) & ~1], kind)[:num].astype(np.uint16)
