"""Ctrl-C and SIGTERM as a request: the run finishes its step, saves a checkpoint and leaves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from rl_discrete.runs.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Inside the context the first SIGINT or SIGTERM only sets `requested`; a second one is a
    KeyboardInterrupt, or nothing if the context is `patient`: a worker that its parent asks to stop, and a
    process manager too, still saves in peace.

    ```python
    with StopSignal() as stop:
        for step in range(steps):
            ...
            if stop.requested:
                save()
            stop.raise_if_requested()
    ```

    Only a process's main thread may handle signals: entered in another thread, nothing is ever requested.
    """

    def __init__(self, patient: bool = False) -> None:
        self.signum: int | None = None
        self._patient, self._at_once = patient, False
        self._previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signum is not None

    def raise_if_requested(self) -> None:
        """Leave, if a signal came.

        Raises:
            Interrupted: with the number of that signal.
        """
        if self.signum is not None:
            raise Interrupted(self.signum)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a signal leaves at once: for work that has nothing to save and is quickly done again.

        Raises:
            Interrupted: a signal came, before or inside; with the number of that signal.
        """
        self._at_once = True
        try:
            self.raise_if_requested()
            yield
        finally:
            self._at_once = False
        self.raise_if_requested()

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._previous.items():
            # None: a handler that was not installed from Python; it cannot be put back.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            if not self._patient:
                raise KeyboardInterrupt
            return
        self.signum = signum
        if self._at_once:
            raise Interrupted(signum)
