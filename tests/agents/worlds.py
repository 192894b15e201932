"""Tiny worlds, each built to show one fault of an agent's loop."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import UsageError

Vector = NDArray[np.float32]


class Cue(gymnasium.Env[Vector, np.int64]):
    """One step: the first observation says which action pays, all later ones are blank."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.right = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        super().reset(seed=seed)
        self.right = int(self.np_random.integers(2))
        return np.array([1.0 if self.right else -1.0], np.float32), {}

    def step(self, action: np.int64) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), float(action == self.right), True, False, {}


class Passage(gymnasium.Env[Vector, np.int64]):
    """A corridor of 8 cells, start left, goal (+1) right; nothing passes between cells 3 and 4 until it opens."""

    length = 8

    def __init__(self, forced_run: bool = True) -> None:
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (self.length,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.has_forced_run = forced_run
        self.open = self.forced_next = self.forced = False
        self.cell = self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        super().reset(seed=seed)
        self.cell, self.count = 0, 0
        self.forced, self.forced_next = self.forced_next, False
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        target = min(max(self.cell + (1 if action else -1), 0), self.length - 1)
        if self.open or {self.cell, target} != {3, 4}:
            self.cell = target
        self.count += 1
        won = self.cell == self.length - 1
        return self._observe(), float(won), won, self.count >= 40, {}

    def open_passage(self) -> None:
        self.open = True

    def schedule_forced_run(self) -> None:
        if not self.has_forced_run:
            raise UsageError("this task has no forced run")
        if not self.open:
            raise UsageError("the forced run leads through the passage: call open_passage() first")
        self.forced_next = True

    def forced_action(self) -> int | None:
        return 1 if self.forced and self.cell < self.length - 1 else None

    def _observe(self) -> Vector:
        return np.array(np.arange(self.length) == self.cell, np.float32)


CUE, PASSAGE = "Cue-v0", "Passage-v0"
gymnasium.register(CUE, "tests.agents.worlds:Cue")
gymnasium.register(PASSAGE, "tests.agents.worlds:Passage")
