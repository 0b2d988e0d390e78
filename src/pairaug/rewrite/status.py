"""Status of rewriting for the progress line: fraction of accepted texts, and spending."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS_BETWEEN = 1.0


class Status:
    """Counts children and reports every second; a stage has one for all of its parts."""

    def __init__(
        self, report_status: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report_status = report_status
        self._clock = clock
        self._last = clock()
        self._num_answers = self._num_accepted = 0

    def count(self, is_accepted: bool) -> None:
        """Count one child, accepted or dropped."""
        self._num_answers += 1
        self._num_accepted += is_accepted

    def report(self, spent: str, *, now: bool = False) -> None:
        """Report the status, at most once a second unless `now` is true."""
        if not self._num_answers or (self._clock() - self._last < _SECONDS_BETWEEN and not now):
            return
        self._last = self._clock()
        fraction = f"{self._num_accepted / self._num_answers:.0%} accepted"
        self._report_status(f"{fraction}, {spent}" if spent else fraction)
