"""How rewriting goes, for the progress line: accepted texts, and what was spent on them."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS_BETWEEN = 1.0


class Status:
    """Counts children, and tells every second; a stage has one for all of its parts."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._last = clock()
        self._num_answers = self._num_accepted = 0

    def count(self, is_accepted: bool) -> None:
        """One more child, accepted or dropped."""
        self._num_answers += 1
        self._num_accepted += is_accepted

    def tell(self, spent: str, *, now: bool = False) -> None:
        """Say how it goes, unless that was said a moment ago."""
        if not self._num_answers or (self._clock() - self._last < _SECONDS_BETWEEN and not now):
            return
        self._last = self._clock()
        fraction = f"{self._num_accepted / self._num_answers:.0%} accepted"
        self._tell(f"{fraction}, {spent}" if spent else fraction)
