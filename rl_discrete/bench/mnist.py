"""The MNIST benchmark of discrete autoencoders: `rl-discrete mnist-bench`.

Each row (a method, L latents, K categories) is trained with each seed, its priors are fitted to its frozen codes, and
everything is scored on the test set by one frozen judge. The run folder holds a folder per row and seed below
`rows/` (and below `curves/`), so that a run can be stopped and resumed at any moment.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_discrete.bench.aggregate import SCHEMA_VERSION, curve_point, row_entry
from rl_discrete.bench.config import MnistBenchConfig, Row, curve_rows, num_validation
from rl_discrete.bench.judge import load_card
from rl_discrete.bench.schedule import run_tasks
from rl_discrete.bench.worker import REFERENCE_JSON, ROW_ARRAYS, ROW_JSON, Task, load_arrays
from rl_discrete.runs.config import read_yaml, to_mapping
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import RunFolder, collect_versions
from rl_discrete.runs.progress import Progress
from rl_discrete.runs.signals import StopSignal

if TYPE_CHECKING:
    from rl_discrete.bench.trained_row import TrainedRow

MIN_IMAGES = 100
"""Fewest training and test images that a data set may hold: ten splits of ten for the Inception score."""


def run_mnist_bench(config: MnistBenchConfig, *, profile: str, preset: str, command: str) -> Path:
    """Runs the benchmark and returns its run folder.

    Args:
        config: the resolved configuration.
        profile: its name, for the report.
        preset: its name, for the report.
        command: the command line, for the report.

    Raises:
        UsageError: rows, sizes, device, data or folders that cannot work; nothing was written.
        RunError: a fault found later; every row keeps its checkpoints.
        Interrupted: a signal came; checkpoints were saved.
    """
    begin = time.monotonic()
    _check(config)
    device = _device(config.device)
    workers = config.workers or (1 if device != "cpu" else os.cpu_count() or 1)
    described = {"profile": profile, "preset": preset, **to_mapping(config)}
    del described["out"], described["resume"]  # where, not what: `--config DIR/config.yaml` repeats the run elsewhere
    with (
        StopSignal() as stop,
        RunFolder.open(
            config.out,
            command="mnist-bench",
            subject="mnist" if config.data_dir is None else config.data_dir.name,
            seed=config.seeds[0],
            config=described,
            resume=config.resume,
            examine=lambda folder: _check_begun(_tasks(config, folder, device)),
        ) as folder,
        Progress() as progress,
    ):
        tasks = _tasks(config, folder.path, device)
        progress.log(f"{len(tasks)} tasks on {device}, {workers} at a time, in {folder.path}")
        peak = run_tasks(tasks, workers, progress, stop)
        with stop.at_once():
            result = _collect(config, folder.path, tasks)
            result |= {
                "command": command,
                "profile": profile,
                "preset": preset,
                "machine": {
                    "cpu": _cpu_name(),
                    "cores": os.cpu_count(),
                    "workers": workers,
                    "threads_per_worker": 1,
                    "device": device,
                },
                "resumed": folder.resumed,
                "seconds_total": time.monotonic() - begin,
                "peak_memory_bytes": max(peak, *(max(row["peak_memory_bytes"]["values"]) for row in result["rows"])),
            }
            _write_outputs(folder, result, config)
    return folder.path


def load_run(path: Path, row: str | None = None, seed: int | None = None) -> TrainedRow:
    """The trained models of one row of a run: autoencoder, independent prior and LSTM prior.

    Args:
        path: run folder of `mnist-bench`.
        row: name of the row; may be left out where the run holds a single one.
        seed: its seed; by default the first.

    Raises:
        UsageError: the run holds no such finished row; says which it holds.
    """
    from rl_discrete.bench.trained_row import load_row

    config = read_yaml(path / "config.yaml")
    rows, seeds = config["rows"], config["seeds"]
    if row is None and len(rows) > 1:
        raise UsageError(f"{path} holds several rows, name one of them: {', '.join(rows)}")
    folder = path / "rows" / f"{row or rows[0]}-s{seeds[0] if seed is None else seed}"
    if not folder.is_dir():
        raise UsageError(f"{path} has no row {folder.name}: its rows are {', '.join(rows)} with seeds {seeds}")
    return load_row(folder)


def _check(config: MnistBenchConfig) -> None:
    """Everything that can be known to fail before the first step."""
    if not config.rows or not config.seeds:
        raise UsageError("there is nothing to run: name at least one row and one seed")
    for what, given in (("row", config.rows), ("seed", config.seeds)):
        twice = [value for value in given if list(given).count(value) > 1]
        if twice:
            raise UsageError(f"{what} {twice[0]!r} is named twice")
    if min(config.seeds) < 0:
        raise UsageError(f"seeds must be >= 0, got {min(config.seeds)}")
    if config.num_samples < 100:
        raise UsageError(f"num_samples must be >= 100, got {config.num_samples}")
    if config.workers < 0:
        raise UsageError(f"workers must be >= 0, got {config.workers}")
    if config.curve_epochs < 1:
        raise UsageError(f"curve_epochs must be >= 1, got {config.curve_epochs}")
    if not config.checkpoint_seconds >= 0.0:
        raise UsageError(f"checkpoint_seconds must be >= 0, got {config.checkpoint_seconds}")
    from rl_discrete.bench.job import rehearse
    from rl_discrete.data.mnist import load_images

    for name in config.rows:
        rehearse(Row.parse(name), config.of_row(Row.parse(name)))
    for row in curve_rows() if config.curves else ():
        rehearse(row, config)
    if config.data_dir is not None:
        data = load_images(config.data_dir)
        least = min(len(data.train_images), len(data.test_images))
        if least < MIN_IMAGES:
            raise UsageError(f"{config.data_dir} must hold >= {MIN_IMAGES} training and test images each, got {least}")


def _check_begun(tasks: Sequence[Task]) -> None:
    """Raises UsageError if a row was begun, or real images were scored, with settings that have changed since."""
    from rl_discrete.bench.job import RowJob, check_begun

    for task in tasks:
        if task.row is not None:
            check_begun(RowJob(task.row, task.seed, task.config, task.folder))
        elif task.finished:
            begun = _read_json(task.folder / REFERENCE_JSON)["data"].get("folder")
            given = to_mapping(task.config)["data_dir"]
            if begun != given:
                raise UsageError(f"{task.folder} was begun with data_dir {begun}, not {given}: choose another --out")


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda was asked for, but torch finds no GPU: use --device cpu")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _tasks(config: MnistBenchConfig, folder: Path, device: str) -> list[Task]:
    reference = folder / "reference"
    tasks = [Task(None, 0, config, reference, reference, device)]
    for name in config.rows:
        for seed in config.seeds:
            row = Row.parse(name)
            tasks.append(Task(row, seed, config.of_row(row), folder / "rows" / f"{name}-s{seed}", reference, device))
    if config.curves:
        short = replace(
            config,
            training=replace(config.training, epochs=config.curve_epochs),
            prior_training=replace(config.prior_training, epochs=config.curve_epochs),
        )
        for row in curve_rows():
            path = folder / "curves" / f"{row.name}-s{config.seeds[0]}"
            tasks.append(Task(row, config.seeds[0], short, path, reference, device))
    return tasks


def _collect(config: MnistBenchConfig, folder: Path, tasks: Sequence[Task]) -> dict[str, Any]:
    """result.json without what only the running process knows."""
    reference = _read_json(folder / "reference" / REFERENCE_JSON)
    data = reference.pop("data")
    held_out = num_validation(data["images"])
    reference["judge"] = load_card()
    real = reference["test_images"]["inception_score"]
    done = {task.folder: _read_json(task.folder / ROW_JSON) for task in tasks if task.row is not None}
    rows = []
    for name in config.rows:
        figures = [done[folder / "rows" / f"{name}-s{seed}"] for seed in config.seeds]
        rows.append(row_entry(Row.parse(name), config.seeds, figures, reference["bce_floor"], real))
    curves = [
        curve_point(task.row, task.seed, done[task.folder])
        for task in tasks
        if task.row is not None and task.folder.parent.name == "curves"
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": True,
        "seeds": list(config.seeds),
        "data": {
            "name": data["name"],
            "train": data["images"] - held_out,
            "validation": held_out,
            "test": data["test"],
        },
        "versions": collect_versions(),
        "reference": reference,
        "rows": rows,
        "curves": curves,
    }


def _write_outputs(folder: RunFolder, result: dict[str, Any], config: MnistBenchConfig) -> None:
    """result.json, the figures, the report, and the table on standard output."""
    from rich.console import Console

    from rl_discrete.bench.conclusions import conclude
    from rl_discrete.bench.figures import write_figures
    from rl_discrete.bench.report import write_report
    from rl_discrete.bench.table import render_table

    result["conclusions"] = conclude(result)
    folder.write_json("result.json", result)
    pictures = {
        name: load_arrays(folder.path / "rows" / f"{name}-s{config.seeds[0]}" / ROW_ARRAYS) for name in config.rows
    }
    _log_rows(folder.path, result, pictures)
    written = write_figures(result, pictures, folder.figures)
    write_report(result, written, folder.path / "report.html")
    console = Console(file=sys.stdout)
    render_table(result, console)
    console.print(f"{folder.path / 'report.html'}  {folder.path / 'result.json'}", highlight=False, soft_wrap=True)


def _log_rows(folder: Path, result: dict[str, Any], pictures: dict[str, dict[str, Any]]) -> None:
    """The rows side by side in the run's own metrics and TensorBoard; the step is the number of the seed."""
    from rl_discrete.runs.metrics import MetricLog

    with MetricLog(folder) as log:
        for row in result["rows"]:
            for index, seed in enumerate(row["seeds"]):
                priors = row["priors"].items()
                scores = {
                    f"{row['name']}/score_{name}": prior["inception_score"]["values"][index] for name, prior in priors
                }
                lengths = {f"{row['name']}/code_length_{name}": p["code_length"]["values"][index] for name, p in priors}
                bce = {f"{row['name']}/reconstruction_bce": row["reconstruction_bce"]["values"][index]}
                log.scalars(seed, {**bce, **lengths, **scores})
            for name, images in pictures[row["name"]].items():
                log.image(f"{row['name']}/{name}", row["seeds"][0], _sheet(images))


def _sheet(images: Any) -> Any:
    """uint8 (64, 28, 28) as one picture (8 * 28, 8 * 28)."""
    _, height, width = images.shape
    return images[:64].reshape(8, -1, height, width).transpose(0, 2, 1, 3).reshape(8 * height, -1)


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _cpu_name() -> str:
    """The processor's model as Linux names it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
