"""The cache of answers already paid for: one SQLite file, safe against kills.

The key covers everything that determines an answer. The file contains report text: only its owner
can read it, and for a source that is not public it is in the run's folder.
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
from pairaug.system.json_text import JSONTextError, parse_json

_WAIT_SECONDS = 60.0


class Usage(NamedTuple):
    """Number of paid answers, and their input and output tokens."""

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
    """A hash of a request with everything that determines its answer."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


class AnswerCache:
    """Answers by key, and each run's spending. Several processes may share the file.

    Each answer is on disk when `put` returns. A separate thread writes; answers that arrive during
    a write are written together in the next one, so that a slow disk does not delay requests.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file, or, with None, a cache in memory."""
        self.path = path
        self._waiting: list[_WaitingWrite] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pairaug-answers")
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.touch(mode=0o600)
            with ExitStack() as undoing:
                self._writer = undoing.enter_context(closing(_connection(path)))
                self._writer.execute("PRAGMA journal_mode = WAL")
                self._writer.execute("PRAGMA synchronous = FULL")
                for statement in (*_TABLES, *_PROBES):
                    self._writer.execute(statement)
                # A second connection, so that reading does not wait for writing.
                self._reader = self._writer if path is None else _connection(path)
                # Decoded here: the library would raise on damaged text.
                self._reader.text_factory = bytes
                undoing.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"rewrite.cache cannot be opened at {path}: {error}; delete it if it is damaged, "
                "or name another file"
            ) from error

    def get(self, key: str) -> str | None:
        """The answer under `key`; None if missing, empty if it is not text."""
        return self._text("SELECT answer FROM answers WHERE key = ?", key)

    def failure(self, key: str) -> dict[str, Any] | None:
        """The failure stored under `key` in place of an answer, or None."""
        text = self._text("SELECT verdict FROM verdicts WHERE key = ?", key)
        try:
            found = parse_json(text) if text is not None else None
        except JSONTextError:
            return None
        return found if isinstance(found, dict) else None

    def spent(self, run: str) -> Usage:
        """The spending recorded under the name `run`."""
        row = self._row("SELECT answers, input, output FROM spent WHERE run = ?", run)
        return Usage() if row is None else Usage(*row)

    def lacks(self, server: str) -> list[str]:
        """The parameters that `server` does not support, in the order of discovery."""
        text = self._text("SELECT lacks FROM servers WHERE server = ?", server)
        return text.split() if text else []

    def _text(self, query: str, key: str) -> str | None:
        row = self._row(query, key)
        try:
            return None if row is None else row[0].decode()
        except (AttributeError, UnicodeDecodeError):
            return ""

    def _row(self, query: str, key: str) -> tuple[Any, ...] | None:
        try:
            return self._reader.execute(query, (key,)).fetchone()
        except sqlite3.Error as error:
            raise RunError(
                f"rewrite.cache {self.path} cannot be read: {error}; delete it or name another "
                "file, then run again"
            ) from error

    async def put(
        self,
        key: str,
        answer: str,
        run: str = "",
        usage: Usage | None = None,
        *,
        over: bool = False,
    ) -> None:
        """Store `answer`, and add `usage` to the spending of `run`.

        An answer already stored under the key is kept, unless `over` is true.
        """
        statement = _REPLACE if over else _KEEP
        await self._add(_WaitingWrite(statement, (key, answer), run, usage or Usage()))

    async def put_failure(
        self, key: str, failure: Mapping[str, Any], run: str, usage: Usage
    ) -> None:
        """Store the reason for a missing answer, and add `usage` to the spending of `run`."""
        await self._add(_WaitingWrite(_KEEP_FAILURE, (key, json.dumps(failure)), run, usage))

    async def spend(self, run: str, usage: Usage) -> None:
        """Add `usage` to the spending of `run`, without an answer to store."""
        if any(usage):
            await self._add(_WaitingWrite("", (), run, usage))

    async def learn(self, server: str, lacks: Sequence[str]) -> None:
        """Store the parameters that `server` does not support."""
        await self._add(_WaitingWrite(_LEARN, (server, " ".join(lacks)), "", Usage()))

    async def _add(self, one: _WaitingWrite) -> None:
        self._waiting.append(one)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        # A cancelled caller must not cancel the writes of others in the same batch.
        await asyncio.shield(one.done)

    async def _write(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting, []
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self._thread, self._put_all, together)
            except RunError as error:
                for one in together:
                    one.done.set_exception(error)
                    one.done.exception()  # mark as retrieved: its caller may no longer wait
            else:
                for one in together:
                    one.done.set_result(None)

    def _put_all(self, together: Sequence[_WaitingWrite]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for one in together:
                if one.statement:
                    self._writer.execute(one.statement, one.values)
                if any(one.usage):
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
        """Write what is pending, and close the file."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()


class _WaitingWrite:
    """A pending write, with the usage that a run paid for it."""

    def __init__(self, statement: str, values: tuple[str, ...], run: str, usage: Usage) -> None:
        self.statement = statement
        self.values = values
        self.run = run
        self.usage = usage
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spent (run TEXT PRIMARY KEY, answers INTEGER NOT NULL, "
    "input INTEGER NOT NULL, output INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS servers (server TEXT PRIMARY KEY, lacks TEXT NOT NULL)",
)
# Run on an existing file: with other tables or columns, it belongs to another program.
_PROBES = (
    "SELECT key, answer FROM answers LIMIT 1",
    "SELECT key, verdict FROM verdicts LIMIT 1",
    "SELECT run, answers, input, output FROM spent LIMIT 1",
    "SELECT server, lacks FROM servers LIMIT 1",
)
_KEEP = "INSERT OR IGNORE INTO answers VALUES (?, ?)"
_REPLACE = "INSERT OR REPLACE INTO answers VALUES (?, ?)"
_KEEP_FAILURE = "INSERT OR IGNORE INTO verdicts VALUES (?, ?)"
_LEARN = "INSERT OR REPLACE INTO servers VALUES (?, ?)"
_ADD_SPENT = (
    "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET "
    "answers = answers + excluded.answers, input = input + excluded.input, "
    "output = output + excluded.output"
)


def _connection(path: Path | None) -> sqlite3.Connection:
    # Used by one thread at a time, not necessarily the one that opened it.
    return sqlite3.connect(
        path or ":memory:", timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
