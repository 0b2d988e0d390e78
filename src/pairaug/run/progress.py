"""How far a run is: a bar for each stage on a terminal, a line now and then everywhere else."""

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
    """Told what happens, in pairs unless it says otherwise; stages come one after another."""

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        """A stage begins, `done` of its `total` pairs (None: not known) by an earlier run."""
        ...

    def advance(self, num_done: int) -> None:
        """So many more pairs are done."""
        ...

    def note(self, text: str) -> None:
        """How the work goes, in a few words."""
        ...

    def finish(self) -> None:
        """The stage that began last is complete."""
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
    """One bar for each stage, with rate and remaining time; use it as a context."""

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
        """What is printed here while bars are shown stands above them."""

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
        # A stage may do less than was foreseen; its bar is full all the same.
        total = task.completed if task.total is None else task.total
        self._bars.update(self._task, total=total, completed=total)
        self._bars.stop_task(self._task)


class LineProgress:
    """A line when a stage ends, and every ten seconds before that; use it as a context."""

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
            self._write(self._line(now) + self._noted())

    def note(self, text: str) -> None:
        self._note = text

    def finish(self) -> None:
        seconds = self._clock() - self._started
        done = _counted(self._done - self._done_before, self._unit)
        earlier = f" ({self._done_before} were done before)" if self._done_before else ""
        self._write(f"{self._stage}: done, {done} in {_duration(seconds)}{earlier}{self._noted()}")

    def _noted(self) -> str:
        return f"; {self._note}" if self._note else ""

    def _line(self, now: float) -> str:
        seconds = max(now - self._started, 1e-9)
        rate = (self._done - self._done_before) / seconds
        if self._total is None:
            return f"{self._stage}: {_counted(self._done, self._unit)}, {_speed(rate, self._unit)}"
        left = (self._total - self._done) / rate if rate else 0.0
        return (
            f"{self._stage}: {self._done} of {_counted(self._total, self._unit)}, "
            f"{_speed(rate, self._unit)}, about {_duration(max(left, 0.0))} left"
        )


class NotebookProgress(LineProgress):
    """One line for each stage in the output of a notebook's cell, kept up to date."""

    def __init__(self) -> None:
        super().__init__(self._show, seconds_between=0.5)
        self._handle: Any = None

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        from IPython.display import display

        super().start(stage, total, done, unit)
        self._handle = display(_Line(f"{stage} …"), display_id=True)

    def _show(self, line: str) -> None:
        share = f'value="{self._done}" max="{self._total}"' if self._total else ""
        is_over = line.startswith(f"{self._stage}: done")
        self._handle.update(_Line(line, "" if is_over else f"<progress {share}></progress> "))


class _Line:
    """A line of text, with a bar before it where HTML is shown."""

    def __init__(self, text: str, bar: str = "") -> None:
        self._text, self._bar = text, bar

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"{self._bar}<code>{escape(self._text)}</code>"


class _RateColumn(ProgressColumn):
    """Pairs a second, or what else is counted."""

    def render(self, task: Task) -> Text:
        # Over in no time, a rate says nothing.
        speed = (task.finished_speed or task.speed) if (task.elapsed or 0.0) > 1.0 else None
        return Text(
            _speed(speed, task.fields["unit"]) if speed else "", style="progress.data.speed"
        )


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _speed(rate: float, unit: str) -> str:
    """A rate in pairs a second, the other way round where it is slow."""
    if rate >= 1:
        return f"{rate:.1f} {unit}s/s"
    return f"{1 / rate:.1f} s/{unit}" if rate else "waiting"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
