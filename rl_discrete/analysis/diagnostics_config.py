"""Settings of `rl-discrete diagnose`. Free of torch and gymnasium, so that `--help` stays fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rl_discrete.runs.errors import UsageError


@dataclass(frozen=True)
class DiagnosticsConfig:
    """Fresh episodes of a run's agent in its real env, and what they tell about its codes, table or world model."""

    steps: int = 5000
    """Env steps, over all envs, >= 1; rounded up to whole steps of all of them."""
    epsilon: float = 0.3
    """Share of random actions, in [0, 1]: more than the agent's own, so that states are left in several ways."""
    max_steps: int = 1000
    """Steps after which an episode is cut, >= 1."""
    num_envs: int = 4
    """Envs stepped side by side, >= 1."""
    seed: int = 0
    """Decides where episodes start and what is drawn, >= 0; no training draws from the same streams."""
    position_cell: float = 32.0
    """Side of the cells that a continuous position is put into, in units of the env (Doom: map units), > 0."""
    heading_cell: float = 30.0
    """Width of the cells that a heading is put into, in degrees, in (0, 360]."""
    memory_bytes: tuple[int, ...] = ()
    """Which bytes of a game's memory make its true state, >= 0; none: all of them, frame counters too."""
    min_visits: int = 10
    """A code is judged for aliasing if at least so many transitions begin in it, >= 2."""
    starts: int = 400
    """Rollouts of a world model, >= 1, each from another frame of the fresh episodes."""
    horizons: tuple[int, ...] = (1, 5, 15, 50)
    """Imagined steps after which a world model is compared with the real env, >= 1."""

    def __post_init__(self) -> None:
        for name in ("steps", "max_steps", "num_envs", "starts"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        _require(self.seed >= 0, "seed", self.seed, ">= 0")
        _require(0.0 <= self.epsilon <= 1.0, "epsilon", self.epsilon, "in [0, 1]")
        _require(0.0 < self.position_cell < math.inf, "position_cell", self.position_cell, "> 0")
        _require(0.0 < self.heading_cell <= 360.0, "heading_cell", self.heading_cell, "in (0, 360]")
        _require(all(place >= 0 for place in self.memory_bytes), "memory_bytes", self.memory_bytes, ">= 0")
        _require(bool(self.horizons) and min(self.horizons) >= 1, "horizons", self.horizons, ">= 1")
        _require(self.min_visits >= 2, "min_visits", self.min_visits, ">= 2")


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{name} must be {allowed}, got {value}")
