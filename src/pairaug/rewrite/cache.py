"""Answers that are already paid for, in one SQLite file that survives being killed.

The key covers everything that shaped the answer; the file holds report text, so it stays where the
run's data may be, readable by its owner alone.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pairaug.errors import RunError, SettingsError

_WAIT_SECONDS = 60.0


def default_cache_path() -> Path:
    """pairaug/answers.sqlite in the user's cache folder (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pairaug" / "answers.sqlite"


def cache_key(request: Mapping[str, Any]) -> str:
    """A hash of a request with everything that shapes its answer."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


class AnswerCache:
    """Answers by key. Each is on disk when `put` returns; several processes may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
            # Used by one thread at a time, which need not be the one that opened it.
            self._connection = sqlite3.connect(
                path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)"
            )
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"rewrite.cache cannot be opened at {path}: {error}; name another file"
            ) from error

    def get(self, key: str) -> str | None:
        """The answer under `key`, or None."""
        row = self._connection.execute(
            "SELECT answer FROM answers WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, answer: str) -> None:
        """Keep `answer`; the first one under a key stays."""
        try:
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, answer))
        except sqlite3.Error as error:
            raise RunError(
                f"rewrite.cache {self.path} cannot be written: {error}; free space or name another "
                "file, then run again"
            ) from error

    def close(self) -> None:
        self._connection.close()
