"""Speed as ratios measured side by side in one process. Run: `pytest -m benchmark tests/benchmarks`.

With RL_DISCRETE_RESULTS=DIR every figure is also written to DIR/speed.json.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rl_discrete.bench.config import MnistBenchConfig, Row
from rl_discrete.configs import __path__ as configs_path
from rl_discrete.data.mnist import load_images
from rl_discrete.latents.autoencoder import build_bottleneck
from rl_discrete.latents.train import begin_autoencoder
from rl_discrete.runs.config import from_mapping, read_yaml
from tests.benchmarks.figures import keep

pytestmark = pytest.mark.benchmark

ROUNDS = 7
FLOP_PER_WEIGHT = 6  # two for the forward and four for the backward product, per image


def test_share_of_the_matrix_product_ceiling() -> None:
    """Training of the deck's autoencoder against the best 2048 x 2048 x 2048 float32 product, in turn, one thread."""
    torch.set_flush_denormal(True)
    images = load_images().train_images[:55_000]
    preset = from_mapping(MnistBenchConfig, read_yaml(Path(configs_path[0], "mnist", "deck.yaml")), "deck")
    shares: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    for name in ("gs-16x2", "ish-96x2"):
        row = Row.parse(name)
        fit = begin_autoencoder(
            images,
            lambda row=row: build_bottleneck(row.method, row.num_latents, row.num_categories),  # type: ignore[misc]
            preset.autoencoder.network,
            replace(preset.training, epochs=1000),
        )
        weights = sum(p.numel() for p in fit.model.parameters() if p.ndim == 2)
        fit.advance(30)
        for _ in range(ROUNDS):
            ceiling = _matrix_product_rate()
            seconds = _seconds(lambda: fit.advance(60))  # noqa: B023 - called at once
            rate = 60 * fit.batch_size / seconds
            rates.setdefault(name, []).append(rate)
            shares.setdefault(name, []).append(rate * FLOP_PER_WEIGHT * weights / ceiling)
    figures = {
        name: {
            "share": _spread(shares[name]),
            "images_per_second": _spread(rates[name]),
        }
        for name in shares
    }
    keep("speed.json", "matrix_product_share", figures)
    for name in shares:
        assert statistics.median(shares[name]) >= 0.45, figures


@pytest.mark.parametrize(("words", "limit"), [(["--help"], 1.0), (["mnist-bench", "--help"], 3.0)])
def test_help_is_quick(words: list[str], limit: float) -> None:
    """Whole process, in seconds; the one absolute time that users feel."""
    command = [sys.executable, "-c", "import sys; from rl_discrete.cli import main; sys.exit(main())", *words]
    times = [_seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(ROUNDS)]
    keep("speed.json", f"seconds of rl-discrete {' '.join(words)}", _spread(times))
    assert statistics.median(times) <= limit


def _matrix_product_rate(size: int = 2048) -> float:
    """Floating-point operations per second of the best of three square products."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / min(_seconds(lambda: a @ b) for _ in range(3))


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values)}
