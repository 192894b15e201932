"""A corridor with a prize at one end and a fine at the other, which can change places."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

ENV = "TwoEnds-v0"
LENGTH = 9


class TwoEnds(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Starts in the middle of `LENGTH` cells; the right end pays 1 and the left one costs 1, or the other way round."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (LENGTH,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.render_mode = render_mode
        self.reversed = False
        self.cell = self.count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.cell, self.count = LENGTH // 2, 0
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.cell += 1 if action else -1
        self.count += 1
        end = (self.cell == LENGTH - 1) - (self.cell == 0)
        return self._observe(), float(-end if self.reversed else end), end != 0, self.count >= 40, {}

    def render(self) -> NDArray[np.uint8] | None:
        return np.full((8, 8, 3), 20 * self.cell, np.uint8) if self.render_mode else None

    def reverse_rewards(self) -> None:
        self.reversed = not self.reversed

    def needs_more(self, something: int) -> None:
        """A method that cannot be a change: it wants to be told something."""

    def _observe(self) -> NDArray[np.float32]:
        return np.array(np.arange(LENGTH) == self.cell, np.float32)


gymnasium.register(ENV, "tests.agents.two_ends:TwoEnds")
