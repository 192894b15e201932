"""The judge's card: what is known about one file of weights, for programs (JSON) and people (Markdown)."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rl_discrete.bench.calibration import expected_calibration_error, negative_log_likelihood
from rl_discrete.bench.judge import Judge, judge_outputs
from rl_discrete.bench.judge_config import JudgeConfig
from rl_discrete.runs.config import to_mapping
from rl_discrete.runs.folder import collect_versions

CALIBRATION_BINS = 15


def make_card(
    judge: Judge,
    weights: bytes,
    config: JudgeConfig,
    *,
    data: str,
    training_images: int,
    validation: Mapping[str, Any],
    test_images: Tensor,
    test_labels: Tensor,
    seconds: float,
) -> dict[str, Any]:
    """Score the finished judge on the test images, once, and describe it.

    Args:
        judge: the judge whose file is `weights`.
        weights: content of that file, for size and checksum.
        config: settings it was trained with.
        data: name of the data set.
        training_images: number of images it was trained on.
        validation: `score` of the held-out training images, with the temperature fitted on them.
        test_images: uint8 (N, 28, 28).
        test_labels: int64 (N,).
        seconds: wall time of the training.
    """
    begin = time.perf_counter()
    log_probs, _ = judge_outputs(judge, test_images)
    speed = len(test_images) / (time.perf_counter() - begin)
    return {
        "format_version": 1,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "bytes": len(weights),
        "parameters": sum(parameter.numel() for parameter in judge.parameters()),
        **score(log_probs, test_labels),
        "calibration_bins": CALIBRATION_BINS,
        "validation": dict(validation),
        "data": data,
        "training_images": training_images,
        "seed": config.seed,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "threads": config.threads,
        "device": config.device,
        "command": command(config),
        "seconds": round(seconds, 1),
        "images_per_second": round(speed),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), **collect_versions()},
    }


def score(log_probs: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return images, errors, accuracy, negative log-likelihood (nats) and expected calibration error."""
    errors = int((log_probs.argmax(dim=1) != labels).sum())
    return {
        "images": len(labels),
        "errors": errors,
        "accuracy": 1.0 - errors / len(labels),
        "negative_log_likelihood": negative_log_likelihood(log_probs, labels),
        "expected_calibration_error": expected_calibration_error(log_probs, labels, CALIBRATION_BINS),
    }


def command(config: JudgeConfig) -> str:
    """Return the command that trains this judge: the flags that differ from the defaults, without the folder."""
    given, default = to_mapping(config), to_mapping(JudgeConfig())
    keys = [key for key in given if given[key] != default[key] and key not in ("out", "resume")]
    flags = [f"--{key.replace('_', '-')}={given[key]}" for key in keys]
    return shlex.join(["rl-discrete", "train-judge", *flags])


def card_text(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    validation, machine = card["validation"], card["machine"]
    return f"""# The judge

A small convolutional network that classifies 28 x 28 grey images into ten digits. It is frozen: the same
file scores every row of the benchmark, because scores by different classifiers cannot be compared.

| | test images | held-out training images |
|---|---|---|
| images | {card["images"]:,} | {validation["images"]:,} |
| accuracy | {card["accuracy"]:.2%} | {validation["accuracy"]:.2%} |
| errors | {card["errors"]} | {validation["errors"]} |
| negative log-likelihood, nats per image | {card["negative_log_likelihood"]:.5f} | \
{validation["negative_log_likelihood"]:.5f} |
| expected calibration error, {card["calibration_bins"]} bins | {card["expected_calibration_error"]:.5f} | \
{validation["expected_calibration_error"]:.5f} |

- **File**: `judge.safetensors`, {card["bytes"]:,} bytes, {card["parameters"]:,} parameters, sha256
  `{card["sha256"]}`.
- **Made by** `{card["command"]}`: seed {card["seed"]}, {card["epochs"]} epochs, batches of {card["batch_size"]},
  peak learning rate {card["learning_rate"]}, {card["threads"]} thread(s) on {card["device"]}. The same command
  repeats the file bit for bit on the same kind of machine with the same versions.
- **Data**: {card["data"]}. Trained on {card["training_images"]:,} training images, randomly rotated, scaled,
  sheared, shifted and bent. The other {validation["images"]:,} training images were held out: they give the right
  column, and the temperature ({validation["temperature"]:.3f}, folded into the last layer) was fitted on them. The
  test images were scored when the weights were final; nothing was chosen by them.
- **Kept**: the running average of the weights after the last step; no epoch was picked.
- **Speed**: trained in {card["seconds"] / 60:.1f} min, judges {card["images_per_second"]:,} images per second
  ({machine["processor"]}, Python {machine["python"]}, torch {machine.get("torch", "unknown")}).
- **Use**: `rl_discrete.bench.judge.load_judge()` verifies the checksum and returns the network in evaluation
  mode. Scores by this judge are MNIST scores, not comparable with scores by an Inception network.
"""


def _processor() -> str:
    """Return the processor's name as the operating system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if names:
            return str(names[0])
    return platform.processor() or platform.machine()


def fold_temperature(judge: Judge, temperature: float) -> None:
    """Divide the judge's logits by `temperature` for good, inside its last layer."""
    with torch.no_grad():
        judge.head.weight.div_(temperature)
        judge.head.bias.div_(temperature)
