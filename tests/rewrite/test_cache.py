"""Answers that are paid for stay, whoever else writes, and whatever is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pairaug.errors import RunError, SettingsError
from pairaug.rewrite.cache import AnswerCache, Usage, cache_key, default_cache_path


def test_the_cache_keeps_the_first_answer_and_only_its_owner_reads_it(tmp_path: Path):
    path = tmp_path / "deep" / "answers.sqlite"
    cache, other = AnswerCache(path), AnswerCache(path)
    key = cache_key({"b": 1, "a": "ü"})
    assert cache.get(key) is None

    async def put_both() -> None:
        await cache.put(key, "one", "run", Usage(1, 100, 10))
        await other.put(key, "two", "run", Usage(1, 200, 20))
        # The second was paid for all the same.
        assert cache.spent("run") == other.spent("run") == Usage(2, 300, 30)
        assert cache.spent("another run") == Usage()
        assert other.get(key) == "one"
        await cache.close()
        await other.close()

    asyncio.run(put_both())
    assert cache_key({"a": "ü", "b": 1}) == key != cache_key({"a": "ü", "b": 2})
    assert path.stat().st_mode & 0o077 == 0


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch):
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


def test_what_comes_together_is_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def test_a_disk_that_takes_no_more_ends_the_run(tmp_path: Path):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    cache._writer.execute("PRAGMA query_only = ON")

    async def put() -> None:
        with pytest.raises(RunError, match=r"rewrite\.cache .* cannot be written"):
            await cache.put("key", "text")
        await cache.close()

    asyncio.run(put())
