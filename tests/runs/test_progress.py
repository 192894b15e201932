from __future__ import annotations

import inspect
import io
import os
import pty
import select
import threading

import pytest

from rl_discrete.runs.progress import Progress, _duration


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Pipe(io.StringIO):
    """A stream that is no terminal, and tells when enough lines have come."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._wanted = lines
        self.enough = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count("\n") >= self._wanted:
            self.enough.set()
        return written


def test_the_heart_beats_on_a_pipe_although_nobody_reports() -> None:
    pipe = Pipe(lines=3)
    progress = Progress(pipe, interval=0.01)
    progress.add("gs-16x2", 10)
    with progress:
        assert pipe.enough.wait(30)
    lines = pipe.getvalue().splitlines()
    assert len(lines) >= 3
    assert all("gs-16x2 0% (0 of 10)" in line for line in lines)
    assert "\x1b" not in pipe.getvalue()
    assert not progress._heart.is_alive()


def test_it_beats_at_least_every_ten_seconds() -> None:
    assert inspect.signature(Progress).parameters["interval"].default < 10


def test_a_line_tells_how_far_and_how_long() -> None:
    clock = Clock()
    progress = Progress(io.StringIO(), clock=clock)
    assert progress._heartbeat() == "[0 s] working"
    first, second = progress.add("ish-32x2", 200), progress.add("prior", 3)
    progress.update(first, 100)  # resumed half-way
    clock.now += 30
    progress.update(first, 150, "loss 88.1")
    assert progress._heartbeat() == "[30 s] ish-32x2 75% (150 of 200), 30 s left, loss 88.1; prior 0% (0 of 3)"
    progress.finish(second)
    progress.update(first, 250)
    assert progress._heartbeat() == "[30 s] ish-32x2 125% (250 of 200), 0 s left"
    progress.finish(first)
    progress.add("nothing", 0)
    assert progress._heartbeat() == "[30 s] nothing 0% (0 of 0)"


def test_large_numbers_are_whole_and_shares_stand_once() -> None:
    progress = Progress(io.StringIO(), clock=Clock())
    progress.update(progress.add("training", 5_400_000), 1_250_000)
    progress.update(progress.add("fit", 1.0), 2 / 3)
    assert progress._heartbeat() == "[0 s] training 23% (1,250,000 of 5,400,000); fit 67%"


def test_log_and_finish_print_lines() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        task = progress.add("a", 1)
        progress.update(task, 1, "loss [3]")
        progress.log("hello [bold]")
        progress.finish(task)
    assert stream.getvalue() == "hello [bold]\na: done, loss [3]\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (187, "3 min 07 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert _duration(seconds) == words


def test_a_reader_that_goes_away_does_not_stop_the_run() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with Progress(Broken(), interval=0.001) as progress:
        progress._heart.join(30)
        assert not progress._heart.is_alive()


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    control, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream, os.fdopen(control, "rb", buffering=0) as screen:
        with Progress(stream) as progress:
            task = progress.add("gs-[16]x2", 4)
            progress.update(task, 1, "loss [b]9")
            progress.log("a [line]")
            assert progress._bars is not None
            progress._bars.refresh()
            assert not progress._heart.is_alive()
        shown, wanted = "", {"gs-[16]x2", "25%", "loss [b]9", "a [line]"}
        while not all(part in shown for part in wanted) and select.select([screen], [], [], 10.0)[0]:
            shown += screen.read(60_000).decode(errors="replace")  # on a busy machine it comes piece by piece
    assert {part for part in wanted if part not in shown} == set()


def test_a_dumb_terminal_gets_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    control, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream, os.fdopen(control, "rb"):
        assert Progress(stream)._bars is None
