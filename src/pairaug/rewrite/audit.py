"""The audit file: times, hosts and numbers of reports sent, never their text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pairaug.errors import SettingsError

_SECONDS_BETWEEN_LINES = 10.0


class RequestLog:
    """One line of JSON before anything is sent, then the counts of every ten seconds of work."""

    def __init__(
        self, path: Path | None, clock: Callable[[], float] = time.monotonic, **facts: Any
    ) -> None:
        self._path = path
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._last = clock()
        self._write("opened", facts)

    def count(self, **counts: int) -> None:
        """Add to the counts of the next line."""
        for name, number in counts.items():
            self._counts[name] = self._counts.get(name, 0) + number
        if self._clock() - self._last >= _SECONDS_BETWEEN_LINES:
            self._flush("sent")

    def close(self) -> None:
        """Write the counts since the last line."""
        self._flush("closed")

    def _flush(self, event: str) -> None:
        self._write(event, self._counts)
        self._counts = {}
        self._last = self._clock()

    def _write(self, event: str, facts: dict[str, Any]) -> None:
        if self._path is None:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **facts}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise SettingsError(
                f"rewrite.audit cannot be written at {self._path}: {error.strerror}; name another "
                "file"
            ) from error
