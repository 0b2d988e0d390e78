"""Lookup in a file that is sorted like the requests, without reading all of it first."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Lookup(Generic[Key, Value]):
    """Values by key; `rows` are read only as far as the requested keys need.

    Files of one dataset are mostly in the same order, so the first answer is immediate. All values
    read are kept, so they should be small. The first row of a key counts.
    """

    def __init__(self, rows: Iterable[tuple[Key, Value]]) -> None:
        self._rows = iter(rows)
        self._values: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """Value of `key`; None if no row has it, which reads all rows."""
        while key not in self._values:
            row = next(self._rows, None)
            if row is None:
                return None
            self._values.setdefault(*row)
        return self._values[key]
