"""What keeps a worker from outliving the benchmark, and two workers from writing into one folder.

A killed parent cannot tell its workers to stop, and the lock on the run folder goes with it. Each worker therefore
watches its parent and holds a lock of its own: a resumed run waits the few seconds that an orphan takes to save.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path

from rl_discrete.runs.durable import disk_errors
from rl_discrete.runs.errors import RunError

LOCK = ".lock"
SAVE_SECONDS = 4.0
"""How long a worker that was asked to stop may take."""
_WAIT_SECONDS = 30.0


def leave_with_parent() -> None:
    """From now on this process is asked to stop (SIGTERM) when its parent dies, and ends a few seconds later."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVE_SECONDS)
    os._exit(128 + signal.SIGTERM)


@contextmanager
def hold(folder: Path, patience: float = _WAIT_SECONDS) -> Iterator[None]:
    """Holds an existing folder for this process; waits for an earlier process that still saves into it.

    Raises:
        RunError: another process has not let go of the folder after `patience` seconds, or the disk refused.
    """
    with disk_errors(folder / LOCK):
        lock = (folder / LOCK).open("a")
    with lock:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RunError(f"{folder} is still in use by another process: end it, then --resume") from None
                time.sleep(0.1)
        yield
