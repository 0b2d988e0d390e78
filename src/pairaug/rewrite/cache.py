"""Answers that are already paid for, in one SQLite file that survives being killed.

The key covers everything that shaped the answer. The file holds report text: it is readable by its
owner alone, and lies in the run's folder where its source is not public.
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

    def __init__(self, path: Path | None) -> None:
        """Open the file, or, with None, a cache that ends with this object."""
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
                # Of its own, so that reading does not wait for the writer's disk.
                self._reader = self._writer if path is None else _connection(path)
                # Decoded here: of text that is damaged, the library would raise.
                self._reader.text_factory = bytes
                undoing.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"rewrite.cache cannot be opened at {path}: {error}; delete it if it is damaged, "
                "or name another file"
            ) from error

    def get(self, key: str) -> str | None:
        """The answer under `key`; None where there is none, empty where it is no text."""
        return self._text("SELECT answer FROM answers WHERE key = ?", key)

    def verdict(self, key: str) -> dict[str, Any] | None:
        """The verdict kept under `key` in place of an answer that cannot be used, or None."""
        text = self._text("SELECT verdict FROM verdicts WHERE key = ?", key)
        try:
            found = parse_json(text) if text is not None else None
        except JSONTextError:
            return None
        return found if isinstance(found, dict) else None

    def spent(self, run: str) -> Usage:
        """What has been paid for under the name of `run`."""
        row = self._row("SELECT answers, input, output FROM spent WHERE run = ?", run)
        return Usage() if row is None else Usage(*row)

    def lacks(self, server: str) -> list[str]:
        """The parameters that `server` was found not to take, in the order of finding them."""
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
        """Keep `answer`, and that `run` paid `usage` for it.

        The first one under a key stays, unless this one is to be written `over` it.
        """
        statement = _REPLACE if over else _KEEP
        await self._add(_WaitingWrite(statement, (key, answer), run, usage or Usage()))

    async def put_verdict(
        self, key: str, verdict: Mapping[str, Any], run: str, usage: Usage
    ) -> None:
        """Keep why there is no answer, and that `run` paid for that."""
        await self._add(_WaitingWrite(_KEEP_VERDICT, (key, json.dumps(verdict)), run, usage))

    async def spend(self, run: str, usage: Usage) -> None:
        """Keep that `run` paid `usage` for nothing that is kept."""
        if any(usage):
            await self._add(_WaitingWrite("", (), run, usage))

    async def learn(self, server: str, lacks: Sequence[str]) -> None:
        """Keep what `server` was found not to take."""
        await self._add(_WaitingWrite(_LEARN, (server, " ".join(lacks)), "", Usage()))

    async def _add(self, one: _WaitingWrite) -> None:
        self._waiting.append(one)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        # A caller that is cancelled must not take down who is written along with it.
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
                    one.done.exception()  # seen here, whether or not its caller still waits
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
        """Write what waits, and let go of the file."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()


class _WaitingWrite:
    """Something that is about to be written, and what a run paid for it."""

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
# Asked of a file that is there already: one with tables of other columns is another program's.
_PROBES = (
    "SELECT key, answer FROM answers LIMIT 1",
    "SELECT key, verdict FROM verdicts LIMIT 1",
    "SELECT run, answers, input, output FROM spent LIMIT 1",
    "SELECT server, lacks FROM servers LIMIT 1",
)
_KEEP = "INSERT OR IGNORE INTO answers VALUES (?, ?)"
_REPLACE = "INSERT OR REPLACE INTO answers VALUES (?, ?)"
_KEEP_VERDICT = "INSERT OR IGNORE INTO verdicts VALUES (?, ?)"
_LEARN = "INSERT OR REPLACE INTO servers VALUES (?, ?)"
_ADD_SPENT = (
    "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET "
    "answers = answers + excluded.answers, input = input + excluded.input, "
    "output = output + excluded.output"
)


def _connection(path: Path | None) -> sqlite3.Connection:
    # Used by one thread at a time, which need not be the one that opened it.
    return sqlite3.connect(
        path or ":memory:", timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
