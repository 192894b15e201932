"""What a run measures on its way: `metrics.jsonl` for programs, TensorBoard for people."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs import durable

if TYPE_CHECKING:
    from torch import Tensor


class MetricLog:
    """Appends to `metrics.jsonl` and `tensorboard/` in a run folder.

    A line of `metrics.jsonl` is `{"step": 10, "loss": 0.5}`. It says nothing about time, so a repeated run
    writes the same bytes; a value that is not finite is null. Write the metrics of a step, `flush`, then save
    the checkpoint of that step: a run resumed from there then continues both files as if it had never
    stopped.
    """

    def __init__(self, folder: Path, resume_step: int | None = None, resume_lines: int | None = None) -> None:
        """Open the log of the run in `folder`.

        Args:
            folder: the run folder (it is made if need be).
            resume_step: the step of the checkpoint from which the run continues: whatever was logged after it
                is dropped, as is a last line that was cut off. None: the run starts, and nothing logged
                before counts.
            resume_lines: how many lines had been logged by then, where more can be logged at the same step after
                a checkpoint of it; whatever follows them is dropped. None: the step alone decides.

        Raises:
            RunError: the disk refused.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow, and of use only to a run that logs

        self._path = folder / "metrics.jsonl"
        self._previous_hook, self._hook = threading.excepthook, self._pass_over
        with durable.disk_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            durable.sweep(folder)
            _cut(self._path, -1 if resume_step is None else resume_step, resume_lines)
            self._file = self._path.open("a", buffering=1, encoding="utf-8")
            if resume_step is None and (folder / "tensorboard").exists():
                shutil.rmtree(folder / "tensorboard")
            purge = None if resume_step is None else resume_step + 1
            threading.excepthook = self._hook
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def scalars(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Log numbers measured at `step`, each under its tag ("autoencoder/loss").

        Raises:
            ValueError: a tag is "step", which every line has already.
            RunError: the disk refused.
        """
        if "step" in values:
            raise ValueError('a metric cannot be called "step"')
        numbers = {tag: float(value) for tag, value in values.items()}
        with durable.disk_errors(self._path):
            self._file.write(json.dumps(durable.plain({"step": step, **numbers}), allow_nan=False) + "\n")
            for tag, number in numbers.items():
                self._board.add_scalar(tag, number, step)

    def image(self, tag: str, step: int, image: NDArray[np.uint8] | Tensor) -> None:
        """Show an image in TensorBoard.

        Args:
            tag: its name there.
            step: when it was made.
            image: uint8 (H, W), (H, W, C) or (C, H, W) with C 1 or 3.

        Raises:
            ValueError: another shape or type.
            RunError: the disk refused.
        """
        pixels = image if isinstance(image, np.ndarray) else image.detach().cpu().numpy()
        layout = _layout(pixels)
        with durable.disk_errors(self._path):
            self._board.add_image(tag, pixels, step, dataformats=layout)

    def flush(self) -> None:
        """Put everything logged so far on the disk, safe from a power cut.

        Raises:
            RunError: the disk refused.
        """
        with durable.disk_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._board.flush()

    def close(self) -> None:
        """Flush and close. Nothing can be logged afterwards.

        Raises:
            RunError: the disk refused.
        """
        with durable.disk_errors(self._path):
            try:
                self._board.close()
            finally:
                self._file.close()
                if threading.excepthook is self._hook:
                    threading.excepthook = self._previous_hook

    def _pass_over(self, fault: threading.ExceptHookArgs) -> None:
        """TensorBoard's writing thread dies of a full disk with a traceback; the next call here raises that error."""
        if not (isinstance(fault.exc_value, OSError) and type(fault.thread).__name__ == "_AsyncWriterThread"):
            self._previous_hook(fault)

    def __enter__(self) -> MetricLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, each with its "step"; lines left cut by a kill are passed over."""
    if not path.exists():
        return []
    lines = (_parse(line) for line in path.read_bytes().splitlines())
    return [line for line in lines if line is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def _cut(path: Path, last_step: int, last_line: int | None) -> None:
    """Drop every line after `last_step` or the first `last_line` lines, and those that a killed run left incomplete."""
    if path.exists():
        lines = [json.dumps(line) for line in read_metrics(path)[:last_line] if line["step"] <= last_step]
        durable.replace_file(path, "".join(f"{line}\n" for line in lines).encode())


def _layout(pixels: NDArray[Any]) -> str:
    """TensorBoard's name for the order of the axes."""
    if pixels.dtype == np.uint8:
        if pixels.ndim == 2:
            return "HW"
        if pixels.ndim == 3 and pixels.shape[2] in (1, 3):
            return "HWC"
        if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
            return "CHW"
    raise ValueError(f"an image is uint8 (H, W), (H, W, 1|3) or (1|3, H, W), got {pixels.dtype} {pixels.shape}")
