"""Numbers and tables of a DICOM header, as far as they are any.

Headers hold texts where numbers belong, lists where one belongs, and tables without entries. What
is optional and unusable is left out, and never costs the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


def numbers(dataset: Any, name: str) -> list[float]:
    """All values of an element; NaN in the place of one that is no number."""
    if name not in dataset:
        return []
    try:
        value = dataset[name].value
    # pydicom converts with the first look, and raises what comes.
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
    """The first value of an element if that is finite, else None."""
    found = numbers(dataset, name)
    return found[0] if found and math.isfinite(found[0]) else None


def items(dataset: Any, name: str) -> list[Any]:
    """The items of a sequence; none where it is no sequence."""
    from pydicom.dataset import Dataset

    try:
        value = dataset.get(name) or ()
        return [item for item in value if isinstance(item, Dataset)]
    # As above: what is optional may be anything.
    except Exception:  # noqa: BLE001
        return []


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


@dataclass(frozen=True, slots=True)
class Lut:
    """A look-up table; values before its first and after its last take those."""

    first: int
    entries: np.ndarray

    @property
    def bits(self) -> int:
        """The bits of the largest entry.

        Not those that the descriptor says: devices write there how wide the entries are stored.
        """
        return max(8, int(self.entries.max()).bit_length())

    def of(self, values: np.ndarray) -> np.ndarray:
        """The entries of `values`, which are rounded."""
        places = np.rint(values).astype(np.int64) - self.first
        return self.entries[np.clip(places, 0, len(self.entries) - 1)]


def lut_of(item: Any, low: float, high: float, *, is_little_endian: bool) -> Lut | None:
    """The table of a sequence's item for values from `low` to `high`; None where it has none."""
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3 or not all(map(math.isfinite, descriptor)):
        return None
    num, first = int(descriptor[0]) & 0xFFFF or 0x10000, int(descriptor[1])
    entries = _entries(item, num, is_little_endian=is_little_endian)
    if not len(entries):
        return None
    # Whether the first value is signed is told by what it is compared with.
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
    # Eight bits each where there is not room for more.
    if len(data) < 2 * num and len(data) >= num:
        return np.frombuffer(data, np.uint8)[:num]
    kind = "<u2" if is_little_endian else ">u2"
    return np.frombuffer(data[: len(data) & ~1], kind)[:num].astype(np.uint16)
