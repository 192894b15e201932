from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rl_discrete.runs.errors import RunError
from rl_discrete.runs.metrics import MetricLog, read_metrics


def write(folder: Path, steps: range, resume_step: int | None = None) -> None:
    with MetricLog(folder, resume_step) as log:
        for step in steps:
            log.scalars(step, {"loss": 1 / (step + 1), "rate": step})
            log.flush()


def board(folder: Path) -> Any:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_scalars_go_to_both_places(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    assert (tmp_path / "metrics.jsonl").read_text().splitlines()[1] == '{"step": 1, "loss": 0.5, "rate": 1.0}'
    assert [event.value for event in board(tmp_path).Scalars("rate")] == [0.0, 1.0, 2.0]


def test_a_line_is_in_the_file_as_soon_as_it_is_logged(tmp_path: Path) -> None:
    with MetricLog(tmp_path) as log:
        log.scalars(5, {"loss": 1.0})
        assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [5]


@pytest.mark.parametrize("torn", ["", '{"step": 9, "lo', "\x00\x00\x00", "[1]\n", '{"step": "x"}\n'])
def test_stop_and_resume_equals_a_run_that_never_stopped(tmp_path: Path, torn: str) -> None:
    write(tmp_path / "whole", range(12))
    write(tmp_path / "stopped", range(9))
    for file in (tmp_path / "stopped" / "tensorboard").iterdir():  # TensorBoard orders files by name: age it
        file.rename(file.with_name("events.out.tfevents.0000000001.host"))
    with (tmp_path / "stopped" / "metrics.jsonl").open("a") as torn_file:
        torn_file.write(torn)
    write(tmp_path / "stopped", range(6, 12), resume_step=5)
    whole, stopped = (tmp_path / name / "metrics.jsonl" for name in ("whole", "stopped"))
    assert stopped.read_bytes() == whole.read_bytes()
    assert [event.step for event in board(tmp_path / "stopped").Scalars("loss")] == list(range(12))


def test_a_run_that_starts_again_forgets_what_was_logged(tmp_path: Path) -> None:
    write(tmp_path, range(4))
    write(tmp_path, range(2))
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0, 1]
    assert [event.step for event in board(tmp_path).Scalars("loss")] == [0, 1]


def test_values_that_are_not_finite_are_null(tmp_path: Path) -> None:
    with MetricLog(tmp_path) as log:
        log.scalars(0, {"nan": float("nan"), "infinite": float("-inf"), "numpy": np.float32(0.5)})
    text = (tmp_path / "metrics.jsonl").read_text()
    line = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert line == {"step": 0, "nan": None, "infinite": None, "numpy": 0.5}


def test_no_metric_may_be_called_step(tmp_path: Path) -> None:
    with MetricLog(tmp_path) as log, pytest.raises(ValueError, match="step"):
        log.scalars(0, {"step": 1.0})


def test_images_in_every_layout(tmp_path: Path) -> None:
    shapes = [(5, 4), (5, 4, 1), (5, 4, 3), (1, 5, 4), (3, 5, 4)]
    with MetricLog(tmp_path) as log:
        for index, shape in enumerate(shapes):
            log.image(f"numpy{index}", 0, np.zeros(shape, np.uint8))
            log.image(f"torch{index}", 0, torch.zeros(shape, dtype=torch.uint8))
        wrongs: list[Any] = [np.zeros((5, 4)), np.zeros((5, 4, 2), np.uint8), np.zeros(3, np.uint8)]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="an image is uint8"):
                log.image("wrong", 0, wrong)
    events = board(tmp_path)
    assert len(events.Tags()["images"]) == 2 * len(shapes)
    for tag in events.Tags()["images"]:
        (event,) = events.Images(tag)
        assert (event.height, event.width) == (5, 4)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with MetricLog(tmp_path) as log:
        monkeypatch.setattr("os.fsync", refuse)
        with pytest.raises(RunError, match=r"metrics\.jsonl: No space left on device"):
            log.flush()
        monkeypatch.undo()
