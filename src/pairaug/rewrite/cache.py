"""Answers that are already paid for, in one SQLite file that survives being killed.

The key covers everything that shaped the answer; the file holds report text, so it stays where the
run's data may be, readable by its owner alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pairaug.errors import RunError, SettingsError

_WAIT_SECONDS = 60.0


class Usage(NamedTuple):
    """Answers that were paid for, and their tokens, in and out."""

    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(*(one + two for one, two in zip(self, other, strict=True)))


def default_cache_path() -> Path:
    """pairaug/answers.sqlite in the user's cache folder (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pairaug" / "answers.sqlite"


def cache_key(request: Mapping[str, Any]) -> str:
    """A hash of a request with everything that shapes its answer."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


class AnswerCache:
    """Answers by key, and what each run has spent. Several processes may share the file.

    Each answer is on disk when `put` returns. What arrives while a write is going on is written
    together after it, in a thread of its own, so that a disk's pace does not hold up requests.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pairaug-answers")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
            with ExitStack() as undoing:
                self._writer = undoing.enter_context(closing(_connection(path)))
                self._writer.execute("PRAGMA journal_mode = WAL")
                self._writer.execute("PRAGMA synchronous = FULL")
                for table in _TABLES:
                    self._writer.execute(table)
                # Of its own, so that reading does not wait for the writer's disk.
                self._reader = _connection(path)
                undoing.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"rewrite.cache cannot be opened at {path}: {error}; name another file"
            ) from error

    def get(self, key: str) -> str | None:
        """The answer under `key`, or None."""
        row = self._reader.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def spent(self, run: str) -> Usage:
        """What has been paid for under the name of `run`."""
        row = self._reader.execute(
            "SELECT answers, input, output FROM spent WHERE run = ?", (run,)
        ).fetchone()
        return Usage() if row is None else Usage(*row)

    async def put(self, key: str, answer: str, run: str = "", usage: Usage | None = None) -> None:
        """Keep `answer`, and that `run` paid `usage` for it; the first one under a key stays."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(key, answer, run, usage or Usage(), done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        # A caller that is cancelled must not take down who is written along with it.
        await asyncio.shield(done)

    async def _write(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting, []
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self._thread, self._put_all, together)
            except RunError as error:
                for one in together:
                    one.done.set_exception(error)
                    one.done.exception()  # seen here, whether or not its caller still waits
            else:
                for one in together:
                    one.done.set_result(None)

    def _put_all(self, together: Sequence[_Waiting]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for one in together:
                self._writer.execute(
                    "INSERT OR IGNORE INTO answers VALUES (?, ?)", (one.key, one.answer)
                )
                self._writer.execute(_ADD_SPENT, (one.run, *one.usage))
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise RunError(
                f"rewrite.cache {self.path} cannot be written: {error}; free space or name another "
                "file, then run again"
            ) from error

    async def close(self) -> None:
        """Write what waits, and let go of the file."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()


class _Waiting(NamedTuple):
    """An answer that is about to be written."""

    key: str
    answer: str
    run: str
    usage: Usage
    done: asyncio.Future[None]


_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spent (run TEXT PRIMARY KEY, answers INTEGER NOT NULL, "
    "input INTEGER NOT NULL, output INTEGER NOT NULL)",
)
_ADD_SPENT = (
    "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET "
    "answers = answers + excluded.answers, input = input + excluded.input, "
    "output = output + excluded.output"
)


def _connection(path: Path) -> sqlite3.Connection:
    # Used by one thread at a time, which need not be the one that opened it.
    return sqlite3.connect(
        path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
