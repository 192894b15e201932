"""Progress of long work: bars with the time left on a terminal, a plain heartbeat line on a pipe."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@dataclass
class _Task:
    name: str
    total: float
    started: float  # seconds on the clock
    completed: float = 0.0
    note: str = ""
    first: float | None = None  # `completed` at the first update: a resumed task does not start at 0
    bar: TaskID | None = None


class Progress:
    """Shows how far each task is. Use it as a context manager; any thread may call it.

    On a terminal every task is a bar. Elsewhere one line at least every ten seconds says what is under way,
    even when no task reports anything: a silent pipe looks like a hang.
    """

    def __init__(
        self, stream: TextIO | None = None, interval: float = 8.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show progress on `stream` (default: standard error); on a pipe a line every `interval` seconds."""
        self._stream = stream if stream is not None else sys.stderr
        self._interval = interval
        self._clock = clock
        self._begin = clock()
        self._tasks: dict[int, _Task] = {}
        self._count = 0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bars = _make_bars(self._stream) if terminal else None

    def add(self, name: str, total: float) -> int:
        """Begin a task of `total` units (steps, images, anything); the number that names it from now on."""
        with self._lock:
            self._count += 1
            task = _Task(name, total, self._clock())
            if self._bars is not None:
                task.bar = self._bars.add_task(name, total=total, note="")
            self._tasks[self._count] = task
            return self._count

    def update(self, task: int, completed: float, note: str = "") -> None:
        """Say that `completed` units are done; `note` is shown beside them ("loss 88.1")."""
        with self._lock:
            current = self._tasks[task]
            if current.first is None:
                current.first, current.started = completed, self._clock()
            current.completed, current.note = completed, note
            if self._bars is not None and current.bar is not None:
                self._bars.update(current.bar, completed=completed, note=note)

    def finish(self, task: int) -> None:
        """End a task with a line that says so."""
        with self._lock:
            done = self._tasks.pop(task)
            if self._bars is not None and done.bar is not None:
                self._bars.remove_task(done.bar)
            self.log(f"{done.name}: done{f', {done.note}' if done.note else ''}")

    def log(self, line: str) -> None:
        """Print a line above the bars, or among the heartbeats."""
        with self._lock:
            if self._bars is not None:
                self._bars.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=self._stream, flush=True)

    def __enter__(self) -> Progress:
        if self._bars is not None:
            self._bars.start()
        else:
            self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        else:
            self._stop.set()
            self._heart.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.log(self._heartbeat())
            except (OSError, ValueError):  # the reader went away, or the stream was closed
                return

    def _heartbeat(self) -> str:
        with self._lock:
            now = self._clock()
            under_way = "; ".join(_describe(task, now) for task in self._tasks.values())
            return f"[{_duration(now - self._begin)}] {under_way or 'working'}"


def _describe(task: _Task, now: float) -> str:
    share = task.completed / task.total if task.total > 0 else 0.0
    words = f"{task.name} {share:.0%}"
    if task.total != 1.0:  # of one that is counted in shares, the share says it all
        words += f" ({task.completed:,.10g} of {task.total:,.10g})"
    advanced = task.completed - (task.first or 0.0)
    if advanced > 0:
        left = (now - task.started) * max(task.total - task.completed, 0.0) / advanced
        words += f", {_duration(left)} left"
    return f"{words}, {task.note}" if task.note else words


def _duration(seconds: float) -> str:
    """In words such as "42 s", "3 min 07 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _make_bars(stream: TextIO) -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    # Twice a second: every refresh takes the interpreter from a training thread.
    return Bars(*columns, console=Console(file=stream), refresh_per_second=2)
