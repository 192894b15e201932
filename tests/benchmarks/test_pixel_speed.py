"""Speed of the world model of pixels, frames a second: simulation and training.

Run: `pytest -m benchmark tests/benchmarks/test_pixel_speed.py`. With RL_DISCRETE_RESULTS=DIR every figure is also
written to DIR/pixel.json. The preset `paper` runs where there is a GPU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.data.replay import Replay
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.pixel_config import PRESETS
from rl_discrete.world_models.pixel_learner import PixelLearner
from tests.benchmarks.figures import keep

pytestmark = pytest.mark.benchmark

FRAME, ACTIONS, ROUNDS = (3, 105, 80), 6, 5


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("batch", [16, 64])
def test_frames_per_second(preset: str, batch: int, tmp_path: Path) -> None:
    if preset.startswith("paper") and not torch.cuda.is_available():
        pytest.skip("the networks of full size are for a GPU")
    config = WorldModelConfig(pixel=PRESETS[preset])
    learner = PixelLearner.begin(blocks(tmp_path, 300), ACTIONS, config, seed=0)
    replay, model = blocks(tmp_path / "more", 300), learner.model
    frames = replay.frames(replay.rows()[:batch])
    state = model.reset(History.of_first(frames, model.history_length))
    generator = np.random.default_rng(0)
    actions = generator.integers(ACTIONS, size=batch)
    noise = generator.random((batch, model.noise_dim), np.float32)
    simulated = rates(lambda: model.step(state, actions, noise), batch)
    training = config.pixel.training
    learned = rates(lambda: learner.fit(replay, 1, lambda *_: None), training.batch_size * training.predicted)
    keep(
        "pixel.json", f"{preset}, B = {batch}", {"simulated": simulated, "learned, held-out metrics included": learned}
    )
    if preset.startswith("small"):
        assert simulated["median"] >= 100


def blocks(folder: Path, steps: int) -> Replay:
    """A block of 8 x 8 pixels that wanders over a plain ground, in episodes of 100 frames."""
    generator = np.random.default_rng(0)
    replay = Replay(folder, FRAME, 4, 1, 10**9, segment_rows=1000)
    place: NDArray[Any] = np.array([40, 40])
    for step in range(steps):
        place = np.clip(place + generator.integers(-3, 4, size=2), 0, 72)
        frame = np.full((1, *FRAME), 60, np.uint8)
        frame[0, :, place[0] : place[0] + 8, place[1] : place[1] + 8] = 200
        start = step % 100 == 0
        replay.append(frame, [step % ACTIONS], [float(step % 50 == 0)], [False], [step % 100 == 99], [start])
    return replay


def rates(call: Callable[[], Any], frames: int) -> dict[str, float]:
    """Frames a second over a few rounds, the first left out."""
    found = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        call()
        found.append(frames / (time.perf_counter() - begin))
    return {"median": statistics.median(found[1:]), "min": min(found[1:]), "max": max(found[1:]), "rounds": ROUNDS}
