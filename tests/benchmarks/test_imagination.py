"""Imagined steps per second of the world model over codes, one thread. Run: `pytest -m benchmark tests/benchmarks`.

With RL_DISCRETE_RESULTS=DIR every figure is also written to DIR/imagination.json.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest
import torch

from rl_discrete.data.history import History
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.config import DynamicsConfig
from tests.benchmarks.figures import keep
from tests.world_models.lines import BitsCodec

pytestmark = pytest.mark.benchmark

BITS, ACTIONS = 56, 6
ROUNDS = 5
MUST = {("lstm", 64): 8_000, ("lstm", 256): 13_000, ("factorised", 64): 20_000, ("factorised", 256): 30_000}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("batch", [64, 256])
@pytest.mark.parametrize("prior", ["factorised", "lstm"])
def test_imagined_steps_per_second(prior: str, batch: int, temperature: float) -> None:
    """The default sizes, random weights, 56 bits and 6 actions: dynamics, prior, heads, and what the agent sees."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    config = DynamicsConfig(prior=prior, temperature=temperature)  # type: ignore[arg-type]
    model = CodeWorldModel(BitsCodec(BITS), [CodeDynamics(BITS, ACTIONS, "signs", config, seed=0)])
    generator = np.random.default_rng(0)
    length = model.history_length
    frames = (generator.random((batch, length, BITS)) < 0.5).astype(np.float32)
    history = History(frames, np.zeros((batch, length), np.int64), np.ones((batch, length), np.bool_))
    state, actions = model.reset(history), generator.integers(ACTIONS, size=(200, batch))
    noise = generator.random((200, batch, model.noise_dim), np.float32)
    rates = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for step in range(200):
            state = model.step(state, actions[step], noise[step]).state
        rates.append(200 * batch / (time.perf_counter() - begin))
    found = statistics.median(rates)
    name = f"{prior}, batch {batch}, temperature {temperature:g}"
    keep("imagination.json", name, {"steps_per_second": rates})
    if temperature == 0.0:
        assert found > MUST[prior, batch]
