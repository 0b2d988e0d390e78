"""Progress where there is no terminal: a line now and then, with a rate that reads well."""

from __future__ import annotations

from pairaug.run.progress import LineProgress


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
        "edit: done, 84 pairs in 32 s",
    ]


def test_lines_without_a_total_and_for_slow_work() -> None:
    lines: list[str] = []
    now = 0.0
    progress = LineProgress(lines.append, clock=lambda: now)
    progress.start("read", None)
    now = 100.0
    progress.advance(4)
    assert lines == ["read: 4 pairs, 25.0 s/pair"]
