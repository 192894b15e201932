"""A process that runs one job of the benchmark with one thread, and tells its parent how far it is.

Two processes with one thread each use two cores far better than one process with two threads: matrix products of a few
hundred rows are too small to share (measured in docs/results/mnist.md).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rl_discrete.bench.config import MnistBenchConfig, Row
from rl_discrete.bench.orphan import hold, leave_with_parent
from rl_discrete.runs.durable import sweep
from rl_discrete.runs.errors import Interrupted, RunError, UsageError

REFERENCE_JSON, REFERENCE_ARRAYS = "reference.json", "reference.npz"
ROW_JSON, ROW_ARRAYS = "result.json", "images.npz"
_BEAT_SECONDS = 0.25


@dataclass(frozen=True)
class Task:
    """What a worker does: score the reference images (`row` is None), or train and evaluate one row with one seed."""

    row: Row | None
    seed: int
    config: MnistBenchConfig
    folder: Path
    reference: Path
    """Folder of the reference figures; a row waits for them before its evaluation."""
    device: str

    @property
    def name(self) -> str:
        return "reference" if self.row is None else f"{self.row.name}-s{self.seed}"

    @property
    def finished(self) -> bool:
        """Whether its result is complete, and was measured on as many samples as are wanted now."""
        if self.row is None:
            return (self.folder / REFERENCE_JSON).is_file()
        try:
            measured = json.loads((self.folder / ROW_JSON).read_bytes())
        except (FileNotFoundError, ValueError):  # not there yet, or altered: measured again
            return False
        return isinstance(measured, dict) and measured.get("num_samples") == self.config.num_samples

    @property
    def cost(self) -> float:
        """Rough training time in arbitrary units: longest first keeps every core busy to the end."""
        return float("inf") if self.row is None else self.row.num_latents * self.row.num_categories

    @property
    def weight(self) -> float:
        """Rough share of the whole command's work, in arbitrary units: fitting is most of a row, whatever its size."""
        return 0.05 if self.row is None else 1.0


class _Channel:
    """The worker's end of the pipe. Nothing is said to a parent that is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._last = connection, 0.0

    def report(self, stage: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if now - self._last >= _BEAT_SECONDS or done >= total:
            self._last = now
            self.send("progress", stage, done, total, note)

    def send(self, *message: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)


def run_task(task: Task, connection: Connection) -> None:
    """Entry point of the process. The last message is ("done",), ("failed", kind, text) or ("stopped", signum)."""
    os.setpgid(0, 0)  # Ctrl-C on a terminal goes to the parent alone, which asks every worker to stop, once
    leave_with_parent()
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    channel = _Channel(connection)
    try:
        make_folder(task.folder)
        with hold(task.folder):
            sweep(task.folder)
            if task.row is None:
                _score_reference(task, channel)
            else:
                _run_row(task, task.row, channel)
    except (UsageError, RunError) as error:
        channel.send("failed", type(error).__name__, str(error))
    except Interrupted as stopped:
        channel.send("stopped", stopped.signum)
    else:
        channel.send("done")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is written; to take torch apart would cost a second and a half of the five for a stop


def _score_reference(task: Task, channel: _Channel) -> None:
    import numpy as np
    import torch

    from rl_discrete.bench.evaluation import evaluate_reference
    from rl_discrete.bench.judge import load_judge
    from rl_discrete.data.mnist import load_images
    from rl_discrete.runs.config import to_mapping
    from rl_discrete.runs.durable import write_json
    from rl_discrete.runs.signals import StopSignal

    with StopSignal(patient=True) as stop, stop.at_once():
        channel.report("reference", 0, 1, "scoring real images")
        data = load_images(task.config.data_dir)
        figures, features = evaluate_reference(load_judge(torch.device(task.device)), data)
        figures["data"] = {
            "name": data.name,
            "folder": to_mapping(task.config)["data_dir"],
            "images": len(data.train_images),
            "test": len(data.test_images),
        }
    save_arrays(task.folder / REFERENCE_ARRAYS, {"features": features.cpu().numpy().astype(np.float32)})
    write_json(task.folder / REFERENCE_JSON, figures)
    channel.report("reference", 1, 1, "done")


def _run_row(task: Task, row: Row, channel: _Channel) -> None:
    import torch

    from rl_discrete.bench.evaluation import evaluate_row
    from rl_discrete.bench.job import RowJob, train_row
    from rl_discrete.bench.judge import load_judge
    from rl_discrete.data.mnist import load_images
    from rl_discrete.runs.durable import write_json
    from rl_discrete.runs.signals import StopSignal

    job = RowJob(row, task.seed, task.config, task.folder)
    with StopSignal(patient=True) as stop:

        def beat(done: int, total: int, note: str) -> None:
            channel.report("evaluation", done, total, note)

        channel.report("autoencoder", 0, 1, "loading data")
        data = load_images(task.config.data_dir)
        trained, effort = train_row(job, data, torch.device(task.device), stop, channel.report)
        with stop.at_once():  # what was trained is saved
            while not (task.reference / REFERENCE_JSON).is_file():
                beat(0, 1, "waiting for the reference")
                time.sleep(_BEAT_SECONDS)
            features = torch.from_numpy(load_arrays(task.reference / REFERENCE_ARRAYS)["features"])
            begin = time.perf_counter()
            figures, pictures = evaluate_row(job, trained, data, load_judge(torch.device(task.device)), features, beat)
    figures["seconds"] = {**effort.seconds, "evaluation": time.perf_counter() - begin}
    figures["images_per_second"] = effort.num_examples["autoencoder"] / effort.seconds["autoencoder"]
    figures["codes_per_second"] = effort.num_examples["prior"] / effort.seconds["prior"]
    figures["parameters"] = trained.num_parameters
    figures["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    save_arrays(task.folder / ROW_ARRAYS, pictures)
    write_json(task.folder / ROW_JSON, {"job": job.settings(), "num_samples": job.config.num_samples, **figures})


def make_folder(path: Path) -> None:
    """Makes a folder and its parents.

    Raises:
        RunError: the disk refused.
    """
    from rl_discrete.runs.durable import disk_errors

    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Writes an npz file atomically.

    Raises:
        RunError: the disk refused.
    """
    import io

    import numpy as np

    from rl_discrete.runs.durable import disk_errors, replace_file

    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    with disk_errors(path):
        replace_file(path, content.getvalue())


def load_arrays(path: Path) -> dict[str, Any]:
    """The arrays of an npz file, without pickle."""
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
