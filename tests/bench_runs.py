"""Runs of `rl-discrete mnist-bench` as a user starts them: a process of its own, with tiny settings."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from rl_discrete.data.mnist import load_images
from rl_discrete.runs.checkpoint import list_checkpoints, load_checkpoint
from rl_discrete.runs.metrics import read_metrics

PROGRAM = Path(sys.executable).with_name("rl-discrete")
PATIENCE = 900.0
"""Seconds after which a process that should have ended is a failure, on however busy a machine."""
STOP_PATIENCE = 15.0
"""Seconds for the stop that takes at most 5, with room for a machine that does something else too."""
TINY = (
    *("--rows", "gs-4x2,ish-8x2", "--num-samples", "200", "--device", "cpu", "--workers", "3"),
    *("--training.epochs", "40", "--prior_training.epochs", "50", "--training.warmup_steps", "10"),
    *("--autoencoder.network.hidden", "32", "--prior.hidden", "16", "--prior.embedding", "8"),
)
"""Flags of a run that takes seconds: 200 steps on 1,100 images for the autoencoder, 250 for the prior."""
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
UNREPEATABLE = {"command", "resumed", "seconds", "seconds_total", "peak_memory_bytes"}
UNREPEATABLE |= {"images_per_second", "codes_per_second"}
"""Keys of result.json that differ between equal runs: times, memory and how the run was called."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one error line, without its prefix; whatever else is on stderr must be progress."""
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("rl-discrete: error: ")]
        assert len(errors) == 1, self.err
        assert "Traceback" not in self.err + self.out, self.err
        unknown = [line for line in lines if line not in errors and not is_progress(line)]
        assert unknown == [], self.err
        return errors[0].removeprefix("rl-discrete: error: ")


def is_progress(line: str) -> bool:
    """Whether a line of stderr is a heartbeat, the first line of a run or the end of a task."""
    return line.startswith("[") or " tasks on " in line or ": done" in line


class Run:
    """A process of the command line in a session of its own, so that whatever it leaves behind can be found."""

    def __init__(self, *arguments: object, file_limit: int | None = None) -> None:
        """Starts `rl-discrete mnist-bench`; no file may grow beyond `file_limit` bytes: a disk that is full."""
        self._folder = Path(tempfile.mkdtemp(prefix="rl-discrete-test-"))
        limited = [] if file_limit is None else [sys.executable, "-c", LIMITED, str(file_limit)]
        command = [*limited, str(PROGRAM), "mnist-bench", *map(str, arguments)]
        with (self._folder / "out").open("w") as out, (self._folder / "err").open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns as soon as `condition` holds; fails if the process ends before."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self._give_up()
            time.sleep(0.003)

    def stop(self, signum: int, group: bool = False) -> Outcome:
        """Sends a signal to the process alone, or to its group as a terminal does; it must end soon."""
        begin, slow = time.monotonic(), slowness()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signum) if group else self.process.send_signal(signum)
        outcome = self.outcome()
        assert time.monotonic() - begin < STOP_PATIENCE * max(slow, slowness())
        return outcome

    def workers(self) -> list[int]:
        """The processes that train: they lead process groups of their own."""
        return [pid for pid in self.survivors() if _group(pid) == pid]

    def outcome(self) -> Outcome:
        """Waits for the process; checks that nothing of it is left."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._give_up()
        self.wait_for_silence()
        outcome = Outcome(code, (self._folder / "out").read_text(), self.err)
        shutil.rmtree(self._folder)
        return outcome

    def wait_for_silence(self) -> None:
        """Waits for the workers of a killed process to end by themselves."""
        deadline = time.monotonic() + STOP_PATIENCE * slowness()
        while self.survivors():
            assert time.monotonic() < deadline, f"left behind: {self.survivors()}"
            time.sleep(0.05)

    def _give_up(self) -> NoReturn:
        """Ends a process that did not do what it should, and fails with what it said."""
        code = self.process.poll()
        for pid in [*self.survivors(), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        raise AssertionError(f"{'it hung' if code is None else f'it ended with {code}'}: {self.err}")

    def survivors(self) -> list[int]:
        """Processes of the session that still run, without its leader."""
        return [pid for pid in _processes() if pid != self.process.pid and _session(pid) == self.process.pid]

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()


def slowness() -> float:
    """How much longer work takes here than on an idle machine, at least 1."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < 0.05:
        pass
    return max(1.0, (time.perf_counter() - wall) / 0.05)


def run(*arguments: object, file_limit: int | None = None) -> Outcome:
    """One command from beginning to end."""
    return Run(*arguments, file_limit=file_limit).outcome()


def tiny(digits: Path, out: Path, *more: object) -> tuple[object, ...]:
    """Arguments of a tiny run on the data set `digits` into `out`."""
    return ("--data-dir", digits, *TINY, "--out", out, *more)


def write_digits(folder: Path, train: int = 1200, test: int = 300) -> Path:
    """A data set in the four IDX files: the first images of MNIST."""
    data = load_images()
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": (data.train_images, data.train_labels, train), "t10k": (data.test_images, data.test_labels, test)}
    for part, (images, labels, count) in parts.items():
        write_idx(folder / f"{part}-images-idx3-ubyte", images[:count])
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels[:count].to(torch.uint8))
    return folder


def write_idx(path: Path, values: Tensor) -> None:
    """uint8 or float32 values as an IDX file."""
    code, kind = (0x08, "u1") if values.dtype == torch.uint8 else (0x0D, ">f4")
    header = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    path.write_bytes(header + values.numpy().astype(kind).tobytes())


def read_result(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return content


def repeatable(value: Any) -> Any:
    """A part of result.json without times, memory and the words of the command."""
    if isinstance(value, dict):
        return {key: repeatable(item) for key, item in value.items() if key not in UNREPEATABLE}
    return [repeatable(item) for item in value] if isinstance(value, list) else value


def weights(row_folder: Path) -> dict[str, Tensor]:
    """The models of a row that is finished."""
    checkpoint = load_checkpoint(row_folder / "checkpoints", parts=("models",), warn=_no_warning)
    assert checkpoint is not None
    return checkpoint.tensors["models"]


def assert_equal_rows(ours: Path, theirs: Path) -> None:
    """Two folders of a row hold the same models and the same metrics, bit for bit."""
    mine, other = weights(ours), weights(theirs)
    assert mine.keys() == other.keys()
    different = [name for name in mine if not torch.equal(mine[name], other[name])]
    assert different == []
    assert (ours / "metrics.jsonl").read_bytes() == (theirs / "metrics.jsonl").read_bytes()


def stages_of(row_folder: Path) -> set[str]:
    """The parts of a row's newest checkpoint."""
    checkpoint = load_checkpoint(row_folder / "checkpoints", warn=_no_warning)
    return set() if checkpoint is None else set(checkpoint.tensors)


def logged(row_folder: Path, stage: str) -> int:
    """Epochs of a stage that a row has finished."""
    return sum(f"{stage}/loss" in line for line in read_metrics(row_folder / "metrics.jsonl"))


def saved_step(row_folder: Path) -> int:
    """The step of the newest checkpoint that was announced as complete, 0 if there is none."""
    try:
        return int((row_folder / "checkpoints" / "LATEST").read_text().removeprefix("step-"))
    except FileNotFoundError:
        return 0


def assert_sound(row_folder: Path) -> int:
    """The newest checkpoint loads without a warning and is finite; its step, 0 if there is none."""
    checkpoint = load_checkpoint(row_folder / "checkpoints", warn=_no_warning)
    if checkpoint is None:
        return 0
    for part in checkpoint.tensors.values():
        for name, tensor in part.items():
            assert not tensor.is_floating_point() or bool(tensor.isfinite().all()), name
    assert list_checkpoints(row_folder / "checkpoints")[-1] == checkpoint.path
    return checkpoint.step


@dataclass
class Kills:
    """What was seen at the kills of a run, row by row: only rows with a checkpoint count."""

    steps: list[int] = field(default_factory=list)
    """Step of the newest checkpoint after each kill."""
    lost: list[int] = field(default_factory=list)
    """Steps by which the newest checkpoint lies before the last save that was completed; 0 unless a save was lost."""
    redone: list[int] = field(default_factory=list)
    """Steps logged after the newest checkpoint, to the epoch: work that has to be done again."""
    during_saves: int = 0
    """Kills that left something half-written, for the next save to sweep."""


def kill(running: Run, rows: list[Path], seen: Kills, victim: Literal["parent", "workers", "everything"]) -> Outcome:
    """kill -9; nothing may survive, nothing may complain, every newest checkpoint must be sound."""
    workers = [] if victim == "parent" else running.workers()
    if victim != "workers":
        running.process.kill()
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    outcome = running.outcome()  # what was not killed ends by itself
    assert outcome.code == (1 if victim == "workers" else -signal.SIGKILL)
    assert "Traceback" not in outcome.err
    seen.during_saves += any(leftovers(row) for row in rows)
    for row in rows:
        announced, step = saved_step(row), assert_sound(row)
        if step > 0:
            seen.steps.append(step)
            seen.lost.append(max(0, announced - step))
            seen.redone.append(max(0, last_logged(row) - step))
    return outcome


def last_logged(row: Path) -> int:
    return max((line["step"] for line in read_metrics(row / "metrics.jsonl")), default=0)


def leftovers(out: Path) -> list[str]:
    """Files and folders that were being written."""
    return [str(path) for path in out.rglob("*") if path.name.startswith(".tmp-") or path.name.endswith(".old")]


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file below, with what changes when it is written again."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def _no_warning(line: str) -> None:
    raise AssertionError(line)


def _processes() -> list[int]:
    """Every process, where the system lists them in /proc."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _session(pid: int) -> int | None:
    """The session of a process; None if it has ended, reaped or not."""
    return _stat(pid)[1]


def _group(pid: int) -> int | None:
    """The process group of a process; None if it has ended, reaped or not."""
    return _stat(pid)[0]


def _stat(pid: int) -> tuple[int | None, int | None]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None, None
    state, _, group, session = stat.rpartition(")")[2].split()[:4]
    return (None, None) if state == "Z" else (int(group), int(session))
