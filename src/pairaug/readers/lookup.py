"""Looking things up in a file that is sorted much as the one that asks, without holding it all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Lookup(Generic[Key, Value]):
    """Values by key, read from `rows` only as far as what is asked for makes necessary.

    Files of one dataset are mostly in one order, so the first answer comes at once. What has been
    read is kept: values should be small. The first row of a key counts.
    """

    def __init__(self, rows: Iterable[tuple[Key, Value]]) -> None:
        self._rows = iter(rows)
        self._values: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """The value of `key`; None, after reading to the end, where there is none."""
        while key not in self._values:
            row = next(self._rows, None)
            if row is None:
                return None
            self._values.setdefault(*row)
        return self._values[key]
