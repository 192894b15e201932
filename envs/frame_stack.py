"""Observations of several frames: the newest and those before it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.envs.chw import AnyEnv
from rl_discrete.runs.errors import UsageError


class FrameStack(gymnasium.Wrapper[NDArray[Any], Any, NDArray[Any], Any]):
    """The `depth` newest frames joined along the first axis, newest first, zeros before the episode's start.

    Images (C, H, W) become (depth * C, H, W), vectors (D,) become (depth * D,): the stacks that `data.replay` rebuilds.

    Raises:
        UsageError: `depth` < 1, or observations that are not a Box.
    """

    def __init__(self, env: AnyEnv, depth: int) -> None:
        super().__init__(env)
        if depth < 1:
            raise UsageError(f"frame_stack must be >= 1, got {depth}")
        space = env.observation_space
        if not isinstance(space, gymnasium.spaces.Box):
            raise UsageError(f"only arrays can be stacked, got {space}: wrap the environment")
        low, high = (np.concatenate([bound] * depth) for bound in (space.low, space.high))
        older = slice(len(space.low), None)
        low[older], high[older] = np.minimum(low[older], 0), np.maximum(high[older], 0)  # zeros may stand there
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=space.dtype.type)
        self._stack = np.zeros_like(low)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        frame, info = self.env.reset(seed=seed, options=options)
        self._stack = np.zeros_like(self._stack)
        return self._push(frame), info

    def step(self, action: Any) -> tuple[NDArray[Any], Any, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = self.env.step(action)
        return self._push(frame), reward, terminated, truncated, info

    def _push(self, frame: NDArray[Any]) -> NDArray[Any]:
        self._stack = np.concatenate([frame, self._stack[: -len(frame)]])
        return self._stack.copy()
