"""Imagined steps per second of PPO that learns inside the world model over codes, one thread.

Run: `pytest -m benchmark tests/benchmarks/test_agent_inside.py`. With RL_DISCRETE_RESULTS=DIR every figure is also
written to DIR/agent_inside.json.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium.vector import AutoresetMode

from rl_discrete.agents.model_agent import ModelAgent
from rl_discrete.agents.simple_config import ARGUMENTS, ImaginationConfig, PolicyConfig
from rl_discrete.data.history import CodedHistory
from rl_discrete.envs.model import WorldModelVectorEnv
from rl_discrete.envs.sb3 import VectorEnvToVecEnv
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.config import DynamicsConfig
from tests.benchmarks.figures import keep
from tests.world_models.lines import BitsCodec

pytestmark = pytest.mark.benchmark

BITS, ACTIONS = 80, 6
ROUNDS, ROLLOUTS = 5, 5
ENDS = 0.0005  # of imagined steps, so that episodes do not all begin at once
MUST = {"lstm": 4_000, "factorised": 6_000}
DEFAULT = ImaginationConfig().num_envs


class RandomStarts:
    """Random codes, as long a history as the model looks at."""

    def __init__(self, length: int) -> None:
        self._length = length

    def draw(self, uniform: npt.NDArray[np.float64]) -> CodedHistory:
        count = len(uniform)
        generator = np.random.default_rng((uniform[0] * 2**32).astype(np.uint32))
        codes = generator.integers(2, size=(count, self._length, BITS), dtype=np.uint8)
        shape = count, self._length
        return CodedHistory(codes, np.zeros(shape, np.int64), np.ones(shape, np.bool_))


@pytest.mark.parametrize("num_envs", [DEFAULT, 4 * DEFAULT])
@pytest.mark.parametrize("prior", ["factorised", "lstm"])
def test_steps_per_second_with_all_updates(prior: str, num_envs: int) -> None:
    """PPO and its networks as `train` has them, a model of default sizes with random weights, 80 bits, 6 actions."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    dynamics = CodeDynamics(BITS, ACTIONS, "signs", DynamicsConfig(prior=prior), seed=0)  # type: ignore[arg-type]
    with torch.no_grad():
        dynamics.heads.outputs.bias[-1] = float(np.log(ENDS))
    model = CodeWorldModel(BitsCodec(BITS), [dynamics])
    horizon, mode = ImaginationConfig().horizon, AutoresetMode.SAME_STEP
    starts = RandomStarts(model.history_length)
    env = VectorEnvToVecEnv(WorldModelVectorEnv(model, starts, num_envs, horizon, autoreset_mode=mode))
    agent = ModelAgent("ppo", env, PolicyConfig().hidden, ARGUMENTS["ppo"], 1_000_000, lambda *_: None)
    agent.enter(env, 0, refitted=False)
    agent.advance()
    rates = []
    for _ in range(ROUNDS):
        begin, before = time.perf_counter(), agent.steps
        for _ in range(ROLLOUTS):
            agent.advance()
        rates.append((agent.steps - before) / (time.perf_counter() - begin))
    found = statistics.median(rates)
    keep("agent_inside.json", f"ppo, {prior}, {num_envs} envs", {"steps_per_second": rates})
    if num_envs == DEFAULT:
        assert found > MUST[prior]
