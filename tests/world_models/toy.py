"""A world whose every number is known, as a model and as the real thing: name the side that lies up.

A coin with three sides is thrown again and again. Whoever names the side that lies up is paid 1; chance gets a third.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import ModelStep

SIDES = 3
SHAPE = (SIDES,)
"""Of a real frame, float32: 1 for the side that lies up."""
State = NDArray[np.int64]
"""(B, 2): the side that lies up, and the action before, -1 for none."""


def throw(uniform: NDArray[Any]) -> NDArray[np.int64]:
    """The sides that numbers (B,) in [0, 1) throw; rounding could bring one up to SIDES itself."""
    return np.asarray(np.minimum(uniform * SIDES, SIDES - 1), np.int64)


class CoinModel:
    """The coin as an exact `WorldModel`. Agents see which side lies up, and which action came before.

    A step takes two numbers: the first is the next throw, the second ends the episode or makes the model doubt.

    Args:
        end: probability that a step ends the episode.
        doubt: probability that a step makes the model doubt.
    """

    num_actions = SIDES
    noise_dim = 2
    history_length = 2

    def __init__(self, end: float = 0.0, doubt: float = 0.0) -> None:
        self.end, self.doubt = end, doubt
        self.observation_space: gymnasium.Space[Any] = gymnasium.spaces.MultiBinary(2 * SIDES)

    def reset(self, history: History) -> State:
        if history.frames.shape[2:] != SHAPE or history.frames.shape[1] < self.history_length:
            raise UsageError(f"frames must be (B, >= 2, {SIDES}), got {history.frames.shape}")
        before = np.where(history.valid[:, -2], history.actions[:, -1], -1)
        return np.stack((history.frames[:, -1].argmax(axis=1), before), axis=1)

    def observe(self, state: State) -> NDArray[np.int8]:
        sides = np.arange(SIDES)
        return np.concatenate((state[:, :1] == sides, state[:, 1:] == sides), axis=1).astype(np.int8)

    def step(self, state: State, actions: NDArray[np.int64], noise: NDArray[np.float32]) -> ModelStep[State]:
        following = np.stack((throw(noise[:, 0]), actions), axis=1)
        return ModelStep(
            state=following,
            observation=self.observe(following),
            reward=(actions == state[:, 0]).astype(np.float32),
            terminated=noise[:, 1] < self.end,
            doubtful=noise[:, 1] > 1.0 - self.doubt,
        )

    def select(self, state: State, mask: NDArray[np.bool_], fresh: State) -> State:
        chosen = state.copy()
        chosen[mask] = fresh
        return chosen

    def render(self, state: State) -> NDArray[np.uint8]:
        """A bright third, (B, 8, 24, 3)."""
        lit = np.repeat(self.observe(state)[:, :SIDES], 8, axis=1) * np.uint8(255)  # (B, 24)
        return np.broadcast_to(lit[:, None, :, None], (len(state), 8, 8 * SIDES, 3)).astype(np.uint8)


class CoinStarts:
    """Starts at the first frame of an episode: the first number is the first throw."""

    def draw(self, uniform: NDArray[np.float64]) -> History:
        frames = np.eye(SIDES, dtype=np.float32)[throw(uniform[:, 0])]
        return History.of_first(frames, CoinModel.history_length)


class CoinEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The real coin: shows frames of `SHAPE`; truncated after `length` steps, ended with probability `end` in each."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, length: int = 20, end: float = 0.0, render_mode: str | None = None) -> None:
        self.length, self.end, self.render_mode = length, end, render_mode
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, SHAPE, np.float32)
        self.action_space = gymnasium.spaces.Discrete(SIDES)
        self.side = self.count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._throw(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        reward = float(action == self.side)
        self.count += 1
        terminated = bool(self.np_random.random() < self.end)
        return self._throw(), reward, terminated, self.count >= self.length, {}

    def render(self) -> NDArray[np.uint8] | None:
        picture = np.zeros((8, 8 * SIDES, 3), np.uint8)
        picture[:, 8 * self.side : 8 * self.side + 8] = 255
        return picture if self.render_mode == "rgb_array" else None

    def _throw(self) -> NDArray[np.float32]:
        self.side = int(self.np_random.integers(SIDES))
        return np.array(np.arange(SIDES) == self.side, np.float32)


def coin_replay(folder: Path, rows: int = 200, num_envs: int = 2, length: int = 20, seed: int = 0) -> Replay:
    """A replay of `rows` frames of each of `num_envs` real coins; random actions, episodes of `length` steps."""
    replay = Replay(folder, SHAPE, 4, num_envs, 2**20, np.float32)
    generator = np.random.default_rng(seed)
    counts = np.full(num_envs, length)
    sides = np.zeros(num_envs, np.int64)
    for _ in range(rows):
        starts = counts == length
        counts = np.where(starts, 0, counts + 1)
        actions = generator.integers(SIDES, size=num_envs)
        rewards = (actions == sides).astype(np.float64)
        sides = generator.integers(SIDES, size=num_envs)
        frames = np.eye(SIDES, dtype=np.float32)[sides]
        replay.append(frames, actions, rewards, np.zeros(num_envs, np.bool_), counts == length, starts)
    return replay


gymnasium.register("Coin-v0", "tests.world_models.toy:CoinEnv")
