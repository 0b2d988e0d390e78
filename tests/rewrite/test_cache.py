"""Paid answers are kept, despite concurrent writers and kills."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairaug.errors import RunError, SettingsError
from pairaug.pair import Pair
from pairaug.rewrite import cache as cache_module
from pairaug.rewrite.cache import AnswerCache, Usage, cache_key, default_cache_path
from support.chat import ChatServer, Reply, completion

MakePair = Callable[..., Pair]
SOURCE = "Small left pleural effusion. No pneumothorax."
REVERSED = "No pleural effusion. Large right pneumothorax."


def test_the_cache_keeps_the_first_answer_and_is_private(tmp_path: Path):
    path = tmp_path / "deep" / "answers.sqlite"
    cache, other = AnswerCache(path), AnswerCache(path)
    key = cache_key({"b": 1, "a": "ü"})
    assert cache.get(key) is None

    async def put_both() -> None:
        await cache.put(key, "one", "run", Usage(1, 100, 10))
        await other.put(key, "two", "run", Usage(1, 200, 20))
        # The second was paid for too.
        assert cache.spent("run") == other.spent("run") == Usage(2, 300, 30)
        assert cache.spent("another run") == Usage()
        assert other.get(key) == "one"
        await cache.close()
        await other.close()

    asyncio.run(put_both())
    assert cache_key({"a": "ü", "b": 1}) == key != cache_key({"a": "ü", "b": 2})
    assert path.stat().st_mode & 0o077 == 0


def test_the_default_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert default_cache_path() == Path("/some/where/pairaug/answers.sqlite")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_path() == Path.home() / ".cache" / "pairaug" / "answers.sqlite"


def test_a_cache_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("no database")
    with pytest.raises(SettingsError, match=r"rewrite\.cache cannot be opened at .*file"):
        AnswerCache(tmp_path / "file")
    with pytest.raises(SettingsError, match=r"rewrite\.cache cannot be opened"):
        AnswerCache(tmp_path / "file" / "under")


def test_simultaneous_answers_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    sizes: list[int] = []
    put_all = AnswerCache._put_all
    monkeypatch.setattr(
        AnswerCache, "_put_all", lambda self, rows: (sizes.append(len(rows)), put_all(self, rows))
    )

    async def put_many() -> None:
        await asyncio.gather(*(cache.put(str(n), "text", "run", Usage(1)) for n in range(50)))
        await cache.close()

    asyncio.run(put_many())
    assert sum(sizes) == 50
    assert len(sizes) < 10
    again = AnswerCache(tmp_path / "answers.sqlite")
    assert again.spent("run").answers == 50
    asyncio.run(again.close())


def test_a_full_disk_ends_the_run(tmp_path: Path):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    cache._writer.execute("PRAGMA query_only = ON")

    async def put() -> None:
        with pytest.raises(RunError, match=r"rewrite\.cache .* cannot be written"):
            await cache.put("key", "text")
        await cache.close()

    asyncio.run(put())


def changed(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


POISON = (
    "'{\"report\": ' || replace(hex(zeroblob(2500)), '0', '[')",
    "'<think>First'",
    '\'{"report": "\\ud800"}\'',
    "x'ff00'",
    "cast(x'ff00' as text)",
)


@pytest.mark.parametrize("poison", POISON)
def test_an_unreadable_cached_answer_is_requested_again(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path, poison: str
):
    chat_server.answer = lambda request, number: Reply(REVERSED)
    first = rewrite([make_pair(SOURCE)], branches=["inter"])
    changed(tmp_path / "answers.sqlite", f"UPDATE answers SET answer = {poison}")
    for _ in range(2):
        assert rewrite([make_pair(SOURCE)], branches=["inter"]) == first
        assert len(chat_server.requests) == 2  # and the valid one is kept


@pytest.mark.parametrize(
    ("reply", "num_again"),
    [
        # Failures of a model that was paid: it would repeat them.
        (Reply(body=completion("", "content_filter")), 0),
        (Reply(body=completion("No pleural effus", "length")), 0),
        # Temporary failures, or failures to be fixed at the server.
        (Reply(text=""), 1),
        (Reply(text='{"report": ' + "[" * 5000), 1),
        (Reply(status=500, body=b""), 1),
        (Reply(body=b"<html>"), 1),
        (Reply(status=400, body=b'{"error": {"code": "context_length_exceeded"}}'), 1),
    ],
)
def test_final_failures_are_cached(
    rewrite, chat_server: ChatServer, make_pair: MakePair, reply: Reply, num_again: int
):
    ask: dict[str, Any] = {"branches": ["inter"], "retries": 0, "attempts": 1}
    chat_server.answer = lambda request, number: reply
    (first,) = rewrite([make_pair(SOURCE)], **ask)
    assert first.drop is not None
    chat_server.answer = lambda request, number: Reply(REVERSED)
    (again,) = rewrite([make_pair(SOURCE)], **ask)
    assert len(chat_server.requests) == 1 + num_again
    assert again.drop == (None if num_again else first.drop)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE answers (id INTEGER, text TEXT)",
        "CREATE TABLE spent (run TEXT)",
        "CREATE VIEW verdicts AS SELECT 1 AS one",
    ],
)
def test_another_programs_file_is_an_error(tmp_path: Path, statement: str):
    changed(tmp_path / "file", statement)
    with pytest.raises(SettingsError, match=r"rewrite\.cache cannot be opened at .*file: "):
        AnswerCache(tmp_path / "file")


def test_a_locked_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache_module, "_WAIT_SECONDS", 0.05)
    other = sqlite3.connect(tmp_path / "file", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SettingsError, match=r"rewrite\.cache cannot be opened.*locked"):
        AnswerCache(tmp_path / "file")
    other.close()


def test_a_damaged_file_is_an_error(tmp_path: Path):
    path = tmp_path / "answers.sqlite"

    async def fill() -> None:
        cache = AnswerCache(path)
        for number in range(200):
            await cache.put(f"{number:04}", "No edema. " * 100)
        await cache.close()

    asyncio.run(fill())
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = b"quokka" * ((len(content) - half) // 6)
    path.write_bytes(content)
    cache = AnswerCache(path)
    with pytest.raises(RunError, match=r"rewrite\.cache .* cannot be read: .*; delete it"):
        _ = [cache.get(f"{number:04}") for number in range(200)]
    asyncio.run(cache.close())


@pytest.mark.parametrize("access", ["public", "private", "credentialed", ""])
@pytest.mark.parametrize("has_folder", [True, False])
def test_answers_to_private_text_stay_in_the_run_folder(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, access: str, has_folder: bool,
):  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    chat_server.answer = lambda request, number: Reply(REVERSED)
    folder = tmp_path / "run" if has_folder else None
    pair = make_pair(SOURCE)
    pair = pair.with_trace("read", access=access) if access else pair
    rewrite([pair], branches=["inter"], cache=None, folder=folder)
    holding = {path for path in tmp_path.rglob("*") if path.is_file() and holds_answer(path)}
    if access in ("public", ""):
        expected = tmp_path / "home" / "pairaug" / "answers.sqlite"
        assert {expected} == {path for path in holding if path.suffix == ".sqlite"}
    elif has_folder:
        (path,) = holding
        assert path == tmp_path / "run" / "answers.sqlite"
        assert path.stat().st_mode & 0o077 == 0
    else:
        assert not holding
        assert not list(tmp_path.rglob("answers.sqlite"))


def holds_answer(path: Path) -> bool:
    return b"Large right pneumothorax" in path.read_bytes()


def test_a_key_includes_the_parameters_left_out(
    rewrite, chat_server: ChatServer, make_pair: MakePair, tmp_path: Path
):
    """An answer without a seed is not used in a run that can send the seed."""
    refusal = json.dumps({"error": {"message": "Unsupported parameter: 'seed'"}}).encode()
    chat_server.answer = lambda request, number: (
        Reply(status=400, body=refusal) if "seed" in request else Reply(REVERSED)
    )
    ask: dict[str, Any] = {"branches": ["inter"]}
    rewrite([make_pair(SOURCE)], folder=tmp_path / "one", **ask)
    assert len(chat_server.requests) == 2
    chat_server.answer = lambda request, number: Reply(REVERSED)
    rewrite([make_pair(SOURCE)], folder=tmp_path / "two", **ask)
    assert len(chat_server.requests) == 3
    assert "seed" in chat_server.requests[-1]
