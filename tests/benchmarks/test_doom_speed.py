"""How fast the Doom mazes step. Wants an otherwise idle machine: engine and Python take turns."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

from rl_discrete.envs.doom import DoomPlusMaze

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(importlib.util.find_spec("vizdoom") is None, reason="vizdoom is not installed"),
]

STEPS = 2000
EPISODE = 60  # about what a policy that knows the maze takes, so that resets count too


@pytest.mark.parametrize("controls", ["fast", "native"])
def test_steps_per_second(controls: str) -> None:
    env = DoomPlusMaze(controls=controls, max_steps=EPISODE)  # type: ignore[arg-type]
    actions = np.random.default_rng(0).integers(3, size=STEPS).tolist()
    env.reset(seed=0)
    start = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    speed = STEPS / (time.perf_counter() - start)
    env.close()
    print(f"{controls} controls: {speed:.0f} steps a second, resets included")
    assert speed >= 800
