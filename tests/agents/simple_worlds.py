"""SimPLe's loop around the coin: its world model is exact, and its learner pretends to learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rl_discrete.agents.simple_config import (
    CollectionConfig,
    DiagnosisConfig,
    ImaginationConfig,
    PolicyConfig,
    ScheduleConfig,
    SimpleConfig,
)
from rl_discrete.data.replay import Replay
from rl_discrete.world_models.base import ModelStep
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.learner import LearnerState
from rl_discrete.world_models.starts import Histories
from tests.world_models.toy import CoinModel, State

_CLIPPED = {"n_steps": 16, "batch_size": 64, "n_epochs": 4, "learning_rate": 1e-2, "gamma": 0.5}
_VALUE_BASED = {
    "learning_starts": 64,
    "batch_size": 64,
    "buffer_size": 2000,
    "gradient_steps": 4,
    "gamma": 0.5,
    "target_update_interval": 64,
    "learning_rate": 1e-2,
    "exploration_fraction": 0.5,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ppo": _CLIPPED,
    "a2c": {"n_steps": 8, "learning_rate": 2e-2, "gamma": 0.5},
    "trpo": {"n_steps": 16, "batch_size": 64, "learning_rate": 1e-2, "gamma": 0.5},
    "recurrent_ppo": {**_CLIPPED, "policy_kwargs": {"lstm_hidden_size": 16}},
    "dqn": _VALUE_BASED,
    "qrdqn": {**_VALUE_BASED, "policy_kwargs": {"n_quantiles": 8}},
}

SMALL = SimpleConfig(
    env="tests.world_models.toy:Coin-v0",
    real_steps=160,
    num_envs=4,
    window=40,
    checkpoint_every=40,
    schedule=ScheduleConfig(
        iterations=2, first_steps=80, last_steps=20, fit_updates=7, imagined_steps=256, block_steps=128
    ),
    collection=CollectionConfig(epsilon=0.0, entropy_floor=0.0),
    imagination=ImaginationConfig(num_envs=8, horizon=8, checkpoint_every=128),
    policy=PolicyConfig(hidden=(16,), arguments=ARGUMENTS),
    diagnosis=DiagnosisConfig(steps=40, starts=8),
)


class FalseCoin(CoinModel):
    """Pays for the side that does not lie up."""

    def step(self, state: State, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[State]:
        step = super().step(state, actions, noise)
        return replace(step, reward=np.float32(1) - step.reward)


class CoinLearner:
    """Has an exact model from the start; each fit moves a weight by a random amount, so that it can be told apart."""

    kind: type[CoinModel] = CoinModel
    interrupt: Callable[[], None] | None = None
    """Happens in the middle of a fit."""

    def __init__(self, num_actions: int, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.weight = torch.zeros(3)
        self.rows = np.zeros(0, np.int64)
        self.updates: list[int | None] = []
        self.model = self.kind(end=0.05)
        assert num_actions == self.model.num_actions

    @classmethod
    def begin(cls, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int) -> CoinLearner:
        return cls(num_actions, seed)

    @classmethod
    def restore(
        cls, state: LearnerState, replay: Replay, num_actions: int, config: WorldModelConfig, seed: int
    ) -> CoinLearner:
        learner = cls(num_actions, seed)
        learner.weight = state.tensors["weight"].clone()
        learner.generator.set_state(state.tensors["generator"])
        learner.rows, learner.updates = state.arrays["rows"], list(state.meta["updates"])
        return learner

    def fit(self, replay: Replay, updates: int | None, report: Callable[[str, float], None]) -> dict[str, float]:
        report("tossing", 0.5)
        self.weight += torch.randn(3, generator=self.generator)
        if CoinLearner.interrupt is not None:
            CoinLearner.interrupt()
        self.rows = replay.rows()
        self.updates.append(updates)
        self.model = self.kind(end=0.05)
        return {"weight": float(self.weight.sum()), "rows": float(len(self.rows))}

    def histories(self, replay: Replay) -> Histories:
        return replay.history

    def state(self) -> LearnerState:
        tensors = {"weight": self.weight.clone(), "generator": self.generator.get_state()}
        return LearnerState(tensors, {"rows": self.rows}, {"updates": list(self.updates)})


def use(monkeypatch: pytest.MonkeyPatch, learner: type[CoinLearner]) -> None:
    """Makes `learner` the learner of every run."""

    def begin(name: str, *given: Any) -> CoinLearner:
        return learner.begin(*given)

    def restore(name: str, *given: Any) -> CoinLearner:
        return learner.restore(*given)

    monkeypatch.setattr("rl_discrete.agents.simple_start.begin_learner", begin)
    monkeypatch.setattr("rl_discrete.agents.simple_start.restore_learner", restore)
