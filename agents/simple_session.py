"""What a SimPLe run is surrounded by while it is under way, and what is left of it at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_discrete.agents.baselines import summarize_windows
from rl_discrete.agents.simple_run import SimpleRun
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.signals import StopSignal


@dataclass(frozen=True)
class Session:
    """Where a run is saved, what stops it, and what shows how far it is."""

    folder: Path
    stop: StopSignal
    progress: Progress

    def boundary(self, run: SimpleRun, due: bool) -> None:
        """A place from which the run can go on: saves it if that is due or a signal came, and then leaves for that.

        Raises:
            RunError: a weight is not finite, or the disk refused.
            Interrupted: a signal came.
        """
        if due or self.stop.requested:
            run.log.flush()
            run.save(self.folder)
        self.stop.raise_if_requested()

    @contextmanager
    def phase(self, run: SimpleRun, name: str, words: str, total: float) -> Iterator[int]:
        """Shows a phase of the loop, with its number as a task of `progress`, and takes its time."""
        task, begin = self.progress.add(words, total), time.perf_counter()
        try:
            yield task
        finally:
            run.seconds[name] = run.seconds.get(name, 0.0) + time.perf_counter() - begin
        self.progress.finish(task)


def summarize_run(run: SimpleRun, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What result.json says of the run besides its settings; `lines` are its metrics."""
    return {
        "steps": run.real_steps,
        "imagined_steps": run.imagined_steps,
        "iterations": run.iterations,
        **summarize_windows([line for line in lines if "reward_per_step" in line]),
        "seconds": run.seconds,
    }
