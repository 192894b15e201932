"""Epsilon-greedy actions for a batch of envs, ties broken at random, all chance from one explicit generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.config import ExplorationConfig
from rl_discrete.runs.seeding import derive_seed


@dataclass(frozen=True)
class Choice:
    """What B envs do next, and why."""

    actions: NDArray[np.int64]
    """(B,)."""
    greedy: NDArray[np.bool_]
    """(B,): chosen by value, not at random."""


class Exploration:
    """Chooses actions: uniformly at random in the burn-in, then greedily but for a share that falls linearly."""

    def __init__(self, config: ExplorationConfig, burn_in: int, num_actions: int, seed: int) -> None:
        self._config, self._burn_in, self._num_actions = config, burn_in, num_actions
        self._generator = np.random.default_rng(derive_seed(seed, "exploration"))

    def epsilon(self, step: int) -> float:
        """Probability of a random action at an env step."""
        if step < self._burn_in:
            return 1.0
        start, end, steps = self._config.start, self._config.end, self._config.steps
        passed = min(1.0, (step - self._burn_in) / steps) if steps else 1.0
        return start + (end - start) * passed

    def choose_random(self, batch: int) -> Choice:
        """Random actions for `batch` envs."""
        actions = self._generator.integers(self._num_actions, size=batch)
        return Choice(actions, np.zeros(batch, np.bool_))

    def choose(self, values: NDArray[np.float64], step: int) -> Choice:
        """Actions for envs whose action values are `values` (B, A), none of them nan."""
        greedy = self._generator.random(len(values)) >= self.epsilon(step)
        actions = self._generator.integers(self._num_actions, size=len(values))
        best = best_actions(values, self._generator)
        return Choice(np.where(greedy, best, actions), greedy)

    def state(self) -> dict[str, Any]:
        """The generator, for a checkpoint."""
        return dict(self._generator.bit_generator.state)

    def load_state(self, state: dict[str, Any]) -> None:
        self._generator.bit_generator.state = state


def best_actions(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int64]:
    """The best action of each row of `values` (B, A); where several are equally good, one of them at random."""
    ranks = np.where(values == values.max(axis=1, keepdims=True), generator.random(values.shape), -1.0)
    return np.asarray(ranks.argmax(axis=1), np.int64)
