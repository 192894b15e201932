"""The corridor's image as a world model: exact, or one that slips now and then, or walks the wrong way."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import ModelStep
from tests.agents.corridor_env import GOAL, STEP

SIZE = 8
"""Side of the frames, uint8 (1, SIZE, SIZE)."""
State = NDArray[np.int64]
"""(B,) the cell."""


class CorridorModel:
    """What `CorridorEnv(kind="image")` does, but for its cut after `truncate_at` steps.

    Args:
        slip: probability that a step goes the other way.
        length: cells of the corridor.
    """

    num_actions = 2
    noise_dim = 1
    history_length = 2

    def __init__(self, slip: float = 0.0, length: int = 6) -> None:
        self.slip, self.length = slip, length
        self.observation_space: gymnasium.Space[Any] = gymnasium.spaces.MultiBinary(SIZE)

    def reset(self, history: History) -> State:
        if history.frames.shape[2:] != (1, SIZE, SIZE):
            raise UsageError(f"frames must be (1, {SIZE}, {SIZE}), got {history.frames.shape[2:]}")
        return np.asarray(history.frames[:, -1, 0, 0].argmax(axis=1), np.int64)

    def observe(self, state: State) -> NDArray[np.int8]:
        return np.eye(SIZE, dtype=np.int8)[state]

    def step(self, state: State, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[State]:
        right = (actions == 1) != (noise[:, 0] < self.slip)
        cell = np.clip(state + np.where(right, 1, -1), 0, self.length - 1)
        won = cell == self.length - 1
        reward = (STEP + GOAL * won).astype(np.float32)
        return ModelStep(cell, self.observe(cell), reward, won, np.zeros(len(cell), np.bool_))

    def select(self, state: State, mask: NDArray[np.bool_], fresh: State) -> State:
        chosen = state.copy()
        chosen[mask] = fresh
        return chosen

    def render(self, state: State) -> NDArray[np.uint8]:
        lit = self.observe(state).astype(np.uint8) * np.uint8(255)  # (B, SIZE)
        return np.broadcast_to(lit[:, None, :, None], (len(state), SIZE, SIZE, 3)).astype(np.uint8)
