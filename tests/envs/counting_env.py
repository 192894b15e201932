"""An environment that counts: every observation, reward, info and end is known in advance."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

Observation = npt.NDArray[np.float32]


class CountingEnv(gymnasium.Env[Observation, np.int64]):
    """Observes (name, episode, steps since its start); pays the steps; action 1 counts double.

    Terminates at `terminate_at` steps counted, truncates at `truncate_at`. `drifts` makes it remember how often it was
    made to start, so that a seed and the actions no longer reproduce it.
    """

    def __init__(
        self, name: int = 0, terminate_at: int = 1000, truncate_at: int = 1000, *, drifts: bool = False
    ) -> None:
        self.name, self.terminate_at, self.truncate_at, self.drifts = name, terminate_at, truncate_at, drifts
        self.observation_space = gymnasium.spaces.Box(0, 2**31, (4,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.episode, self.count, self.noise, self.closed = -1, 0, 0, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        self.noise = int(self.np_random.integers(1000))
        return self._observation(), {"started": self.episode}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self.count += 1 + int(action)
        self.noise = int(self.np_random.integers(1000))
        terminated, truncated = self.count >= self.terminate_at, self.count >= self.truncate_at
        return self._observation(), float(self.count), terminated, truncated, {"count": self.count}

    def close(self) -> None:
        self.closed = True

    def diagnostic_state(self, times: int = 1) -> int:
        return self.count * times

    def _observation(self) -> Observation:
        seen = self.episode if self.drifts else 0
        return np.array([self.name, seen, self.count, self.noise], np.float32)
