"""Progress where there is no terminal: a line now and then, with a rate that reads well."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from pairaug.run.progress import BarProgress, LineProgress


def test_lines_come_every_ten_seconds_and_at_the_end() -> None:
    lines: list[str] = []
    now = 0.0
    progress = LineProgress(lines.append, clock=lambda: now)
    with progress:
        progress.start("edit", 100, done=20)
        for _ in range(8):
            now += 4.0
            progress.advance(8)
        progress.finish()
    assert lines == [
        "edit: 44 of 100 pairs, 2.0 pairs/s, about 28 s left",
        "edit: 68 of 100 pairs, 2.0 pairs/s, about 16 s left",
        "edit: done, 64 pairs in 32 s (20 were done before)",
    ]


def test_lines_without_a_total_and_for_slow_work() -> None:
    lines: list[str] = []
    now = 0.0
    progress = LineProgress(lines.append, clock=lambda: now)
    progress.start("read", None)
    now = 100.0
    progress.advance(4)
    assert lines == ["read: 4 pairs, 25.0 s/pair"]


def test_what_is_counted_has_its_own_name() -> None:
    lines: list[str] = []
    now = 0.0
    progress = LineProgress(lines.append, clock=lambda: now)
    progress.start("cells", 88, unit="cell")
    now = 50.0
    progress.advance(1)
    progress.finish()
    assert lines == [
        "cells: 1 of 88 cells, 50.0 s/cell, about 1 h 12 min left",
        "cells: done, 1 cell in 50 s",
    ]


def test_lines_say_how_the_work_goes() -> None:
    lines: list[str] = []
    now = 0.0
    progress = LineProgress(lines.append, clock=lambda: now)
    progress.start("rewrite", 100)
    progress.note("90% accepted, 1,200 tokens")
    now = 10.0
    progress.advance(20)
    progress.note("95% accepted, 6,000 tokens")
    progress.finish()
    progress.start("generate", 10)
    progress.finish()
    assert lines == [
        "rewrite: 20 of 100 pairs, 2.0 pairs/s, about 40 s left; 90% accepted, 1,200 tokens",
        "rewrite: done, 20 pairs in 10 s; 95% accepted, 6,000 tokens",
        "generate: done, 0 pairs in 0 s",
    ]


def test_a_bar_says_how_the_work_goes() -> None:
    text = StringIO()
    with BarProgress(Console(file=text, force_terminal=True, width=120)) as progress:
        progress.note("nothing has begun")
        progress.start("rewrite", 4)
        progress.advance(4)
        progress.note("75% accepted, 480 tokens")
        progress.finish()
    assert "75% accepted, 480 tokens" in text.getvalue()
