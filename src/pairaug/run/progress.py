"""Progress of a run: one bar per stage on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10.0


class ProgressReport(Protocol):
    """Receives the progress of stages, one after another, in pairs or another unit."""

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        """A stage starts; `done` of its `total` pairs (None: unknown) are from an earlier run."""
        ...

    def advance(self, num_done: int) -> None:
        """`num_done` more pairs are done."""
        ...

    def note(self, text: str) -> None:
        """Shows a short status text."""
        ...

    def finish(self) -> None:
        """The current stage is complete."""
        ...


class NoProgress:
    """Shows nothing."""

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        del stage, total, done, unit

    def advance(self, num_done: int) -> None:
        del num_done

    def note(self, text: str) -> None:
        del text

    def finish(self) -> None:
        return


class BarProgress:
    """One bar per stage, with rate and remaining time; a context manager."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=False),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            expand=True,
        )
        self._task: TaskID | None = None
        self.console = console
        """Prints above the bars while they are shown."""

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        self._task = self._bars.add_task(stage, total=total, completed=done, note="", unit=unit)

    def advance(self, num_done: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, num_done)

    def note(self, text: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, note=text)

    def finish(self) -> None:
        if self._task is None:
            return
        task = next(task for task in self._bars.tasks if task.id == self._task)
        # A stage may do less than expected; fill its bar anyway.
        total = task.completed if task.total is None else task.total
        self._bars.update(self._task, total=total, completed=total)
        self._bars.stop_task(self._task)


class LineProgress:
    """A line every ten seconds and at the end of a stage; a context manager."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        seconds_between: float = _SECONDS_BETWEEN_LINES,
    ) -> None:
        self._write = write
        self._clock = clock
        self._seconds_between = seconds_between
        self._stage = self._note = ""
        self._unit = "pair"
        self._total: int | None = None
        self._done = self._done_before = 0
        self._started = self._last_line = 0.0

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        self._stage, self._total, self._unit, self._note = stage, total, unit, ""
        self._done = self._done_before = done
        self._started = self._last_line = self._clock()

    def advance(self, num_done: int) -> None:
        self._done += num_done
        now = self._clock()
        if now - self._last_line >= self._seconds_between and self._done != self._total:
            self._last_line = now
            self._write(self._format_line(now) + self._format_note())

    def note(self, text: str) -> None:
        self._note = text

    def finish(self) -> None:
        seconds = self._clock() - self._started
        done = _format_count(self._done - self._done_before, self._unit)
        earlier = f" ({self._done_before} were done before)" if self._done_before else ""
        line = f"{self._stage}: done, {done} in {_format_duration(seconds)}"
        self._write(f"{line}{earlier}{self._format_note()}")

    def _format_note(self) -> str:
        return f"; {self._note}" if self._note else ""

    def _format_line(self, now: float) -> str:
        seconds = max(now - self._started, 1e-9)
        rate = (self._done - self._done_before) / seconds
        if self._total is None:
            done = _format_count(self._done, self._unit)
            return f"{self._stage}: {done}, {_format_rate(rate, self._unit)}"
        left = (self._total - self._done) / rate if rate else 0.0
        return (
            f"{self._stage}: {self._done} of {_format_count(self._total, self._unit)}, "
            f"{_format_rate(rate, self._unit)}, about {_format_duration(max(left, 0.0))} left"
        )


class NotebookProgress(LineProgress):
    """One line per stage in a notebook cell, updated in place."""

    def __init__(self) -> None:
        super().__init__(self._show, seconds_between=0.5)
        self._handle: Any = None

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        from IPython.display import display

        super().start(stage, total, done, unit)
        self._handle = display(_Line(f"{stage} …"), display_id=True)

    def _show(self, line: str) -> None:
        bounds = f'value="{self._done}" max="{self._total}"' if self._total else ""
        is_over = line.startswith(f"{self._stage}: done")
        self._handle.update(_Line(line, "" if is_over else f"<progress {bounds}></progress> "))


class _Line:
    """A line of text, with a bar before it in HTML output."""

    def __init__(self, text: str, bar: str = "") -> None:
        self._text, self._bar = text, bar

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"{self._bar}<code>{escape(self._text)}</code>"


class _RateColumn(ProgressColumn):
    """Pairs, or another unit, per second."""

    def render(self, task: Task) -> Text:
        # A rate over less than a second is noise.
        speed = (task.finished_speed or task.speed) if (task.elapsed or 0.0) > 1.0 else None
        return Text(
            _format_rate(speed, task.fields["unit"]) if speed else "", style="progress.data.speed"
        )


def _format_count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _format_rate(rate: float, unit: str) -> str:
    """A rate in pairs per second, or seconds per pair if it is slow."""
    if rate >= 1:
        return f"{rate:.1f} {unit}s/s"
    return f"{1 / rate:.1f} s/{unit}" if rate else "waiting"


def _format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
