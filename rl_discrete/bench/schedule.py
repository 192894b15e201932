"""Runs tasks in worker processes: as many at a time as there are cores, stopped together, watched by one bar each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from rl_discrete.bench.orphan import SAVE_SECONDS
from rl_discrete.bench.worker import Task, run_task
from rl_discrete.runs.errors import Interrupted, RunError, UsageError
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.signals import StopSignal

_POLL_SECONDS = 0.2
_MEMORY_SECONDS = 1.0
_SHARES = {"reference": (0.0, 1.0), "autoencoder": (0.0, 0.5), "prior": (0.5, 0.9), "evaluation": (0.9, 1.0)}
"""Rough begin and end of each stage in a task's bar."""


@dataclass
class _Worker:
    task: Task
    process: SpawnProcess
    connection: Connection
    bar: int
    share: float = 0.0
    """Rough share of the task that is done, in [0, 1]."""
    ended: bool = False


def run_tasks(tasks: Sequence[Task], workers: int, progress: Progress, stop: StopSignal) -> int:
    """Runs every task that is not finished, longest first, at most `workers` at a time.

    Returns:
        The largest memory of this process and its workers together that was seen, in bytes; a page that several of
        them share counts once.

    Raises:
        Interrupted: a signal came; every worker saved a checkpoint or was ended after a few seconds.
        UsageError, RunError: a task failed; the others were stopped, with checkpoints.
    """
    done = [task for task in tasks if task.finished]
    pending = sorted((task for task in tasks if task not in done), key=lambda task: -task.cost)
    overall = progress.add("all", 100.0)
    weight = sum(task.weight for task in tasks)
    running: list[_Worker] = []
    peak, measured_at = 0, 0.0
    try:
        while pending or running:
            while pending and len(running) < workers:
                running.append(_start(pending.pop(0), progress))
            reached = sum(task.weight for task in done) + sum(w.share * w.task.weight for w in running)
            progress.update(overall, round(100.0 * reached / weight), f"{len(done)} of {len(tasks)} tasks done")
            wait([worker.connection for worker in running], timeout=_POLL_SECONDS)
            for worker in list(running):
                _receive(worker, progress, stop)
                if worker.ended:
                    running.remove(worker)
                    done.append(worker.task)
            if time.monotonic() - measured_at >= _MEMORY_SECONDS:
                measured_at = time.monotonic()
                peak = max(peak, sum(map(_memory, [os.getpid(), *(worker.process.pid for worker in running)])))
            stop.raise_if_requested()
    finally:
        _stop(running)
    progress.update(overall, 100.0)
    progress.finish(overall)
    return peak


def _start(task: Task, progress: Progress) -> _Worker:
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe(duplex=False)
    process = context.Process(target=run_task, args=(task, child), name=task.name, daemon=True)
    with _interrupts_blocked():
        process.start()
    child.close()
    return _Worker(task, process, parent, progress.add(task.name, 100.0))


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process started inside never sees Ctrl-C, not even before it has a process group of its own."""
    resource_tracker.ensure_running()  # it would be started with the first process, and set the mask as it likes
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(worker: _Worker, progress: Progress, stop: StopSignal) -> None:
    """Takes every message that waits; raises what the task failed with."""
    try:
        while worker.connection.poll():
            kind, *content = worker.connection.recv()
            if kind == "progress":
                stage, units, total, note = content
                begin, end = _SHARES[stage]
                worker.share = begin + (end - begin) * units / total
                progress.update(worker.bar, round(100.0 * worker.share), f"{stage} {note}")
            elif kind == "failed":
                error = UsageError if content[0] == "UsageError" else RunError
                raise error(f"{worker.task.name}: {content[1]}")
            elif kind == "stopped":
                raise Interrupted(content[0])
            else:
                worker.process.join()
                progress.update(worker.bar, 100.0)
                progress.finish(worker.bar)
                worker.ended = True
                return
    except EOFError:
        worker.process.join()
        code = worker.process.exitcode
        stop.raise_if_requested()
        if code == -signal.SIGTERM:  # asked to stop before it could listen
            raise Interrupted(signal.SIGTERM) from None
        raise RunError(
            f"{worker.task.name}: its process ended with code {code}; if memory ran out, use --workers 1, then "
            "continue with --resume"
        ) from None


def _stop(running: Sequence[_Worker]) -> None:
    """Asks the workers to save and leave; ends those that take too long."""
    for worker in running:
        worker.process.terminate()
    deadline = time.monotonic() + SAVE_SECONDS
    try:
        for worker in running:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C waits for nobody, and leaves nobody behind
        for worker in running:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


def _memory(pid: int | None) -> int:
    """Proportional set size of a process, in bytes: a page shared by n processes counts for one n-th."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, IndexError, ValueError):  # it ended, or the system has no such file
        return 0
