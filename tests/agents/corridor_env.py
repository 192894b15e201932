"""A corridor whose every number is known: the goal lies to the right, and every step costs."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

LEFT, RIGHT = 0, 1
STEP, GOAL = -0.1, 1.0


class CorridorEnv(gymnasium.Env[NDArray[Any], np.int64]):
    """Starts anywhere but at the goal, by the seed; `length` cells, the last of which ends the episode.

    Always RIGHT from cell c returns GOAL + STEP * (length - 1 - c).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        length: int = 6,
        truncate_at: int = 30,
        kind: Literal["vector", "image"] = "vector",
        size: int = 8,
        render_mode: str | None = None,
    ) -> None:
        self.length, self.truncate_at, self.kind, self.size = length, truncate_at, kind, size
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(2)
        self.observation_space = (
            gymnasium.spaces.Box(0.0, 1.0, (length,), np.float32)
            if kind == "vector"
            else gymnasium.spaces.Box(0, 255, (1, size, size), np.uint8)
        )
        self.seeds: list[int | None] = []
        self.cell, self.count, self.closed = 0, 0, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.cell, self.count = int(self.np_random.integers(self.length - 1)), 0
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        self.cell = max(0, self.cell + (1 if action == RIGHT else -1))
        self.count += 1
        terminated = self.cell == self.length - 1
        return self._observe(), STEP + GOAL * terminated, terminated, self.count >= self.truncate_at, {}

    def render(self) -> NDArray[np.uint8] | None:
        picture = np.zeros((8, 8 * self.length, 3), np.uint8)
        picture[:, 8 * self.cell : 8 * self.cell + 8, 0] = 255
        return picture if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self.closed = True

    def _observe(self) -> NDArray[Any]:
        if self.kind == "vector":
            return np.array(np.arange(self.length) == self.cell, np.float32)
        picture = np.zeros((1, self.size, self.size), np.uint8)
        picture[0, :, self.cell] = 255
        return picture


gymnasium.register("Corridor-v0", "tests.agents.corridor_env:CorridorEnv")
