"""Settings of the commands that work on a finished run. Free of torch and gymnasium, so that `--help` stays fast."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rl_discrete.runs.errors import UsageError

_MAX_NAME = 200  # file systems take 255, with what is put before and behind it


@dataclass(frozen=True)
class EvaluationConfig:
    """Whole episodes of a run's agent in its real env; written into the run folder as `evaluation.json`."""

    episodes: int = 30
    """Episodes played to their ends, >= 1."""
    seed: int = 0
    """Decides where episodes start and what is drawn, >= 0; no training draws from the same streams."""
    epsilon: float = 0.05
    """Probability of a random action, in [0, 1], of a vast or dqn agent; a ppo agent draws from its policy."""
    policy: Literal["both", "sampled", "greedy"] = "both"
    """Whether actions are drawn (sampled) or always the best ones (greedy), or both, on the same episodes."""
    max_steps: int = 27_000
    """Steps after which an episode is stopped and counted as capped, >= 1."""
    num_envs: int = 8
    """Envs stepped side by side, >= 1."""
    videos: int = 0
    """Episodes to film, the first ones, as `videos/episode-000.webp` and so on, >= 0."""
    checkpoint: Path | None = None
    """Folder of one of the run's checkpoints; by default the newest."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the env that replace the run's own, for example {start: right}."""
    lookup_penalty: float | None = None
    """Of a vast agent, in place of the run's `planner.lookup_penalty`, >= 0: with 0.2 a greedy agent trusts what was
    tried more than what similar states promise."""

    def __post_init__(self) -> None:
        for name in ("episodes", "max_steps", "num_envs"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        for name in ("seed", "videos"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        _require(0.0 <= self.epsilon <= 1.0, "epsilon", self.epsilon, "in [0, 1]")


@dataclass(frozen=True)
class ReplanConfig:
    """New values of a learned MDP for another reward, without a step in the env; with `steps`, a trial in the env."""

    name: str | None = None
    """Name of the files in the run's folder `replans`; by default the next free number."""
    tolerance: float = 1e-6
    """Largest error of a value, > 0."""
    steps: int = 0
    """Steps of a trial of the new values against the old ones in the env, >= 0; 0: none. Nothing is learned from it."""
    change: tuple[str, ...] = ()
    """Methods of the env called before a trial, for example reverse_rewards."""
    epsilon: float = 0.1
    """Probability of a random action in a trial, in [0, 1]."""
    max_steps: int = 400
    """Steps after which an episode of a trial is cut, >= 1."""
    num_envs: int = 1
    """Envs stepped side by side in a trial, >= 1."""
    seed: int = 0
    """Decides where the episodes of a trial start and what is drawn, >= 0."""
    checkpoint: Path | None = None
    """Folder of one of the run's checkpoints; by default the newest."""

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UsageError(f"name must be letters, digits, '_', '-' and '.', a letter first, got {self.name!r}")
        if self.name is not None and len(self.name.encode()) > _MAX_NAME:
            raise UsageError(f"name must be at most {_MAX_NAME} bytes long, got {len(self.name.encode())}")
        _require(0.0 < self.tolerance < math.inf, "tolerance", self.tolerance, "> 0")
        for name in ("max_steps", "num_envs"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        for name in ("steps", "seed"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        _require(0.0 <= self.epsilon <= 1.0, "epsilon", self.epsilon, "in [0, 1]")
        if self.change and not self.steps:
            raise UsageError(f"change {','.join(self.change)} needs a trial: say how many --steps")
        for method in self.change:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", method):
                raise UsageError(f"a change is the name of a method of the env, got {method!r}")


@dataclass(frozen=True)
class ExportConfig:
    """A run's learned MDP, with its exact values, as a file of its own."""

    tolerance: float = 1e-8
    """Largest error of the values, > 0."""
    checkpoint: Path | None = None
    """Folder of one of the run's checkpoints; by default the newest."""

    def __post_init__(self) -> None:
        _require(0.0 < self.tolerance < math.inf, "tolerance", self.tolerance, "> 0")


@dataclass(frozen=True)
class VideoConfig:
    """Fresh episodes of a run's agent: the real env, its codes decoded, and what its world model imagines."""

    out: Path | None = None
    """File to write, *.webp; by default `videos/world.webp` in the run folder."""
    steps: int = 300
    """Env steps filmed, >= 1."""
    horizon: int = 50
    """Imagined steps, >= 1, after which the model starts anew from the real frame."""
    epsilon: float = 0.05
    """Probability of a random action, in [0, 1], of a dqn agent; others draw from their policy."""
    seed: int = 0
    """Decides where episodes start and what is drawn, >= 0."""
    fps: float = 15.0
    """Frames a second, in (0, 1000]."""

    def __post_init__(self) -> None:
        for name in ("steps", "horizon"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        _require(self.seed >= 0, "seed", self.seed, ">= 0")
        _require(0.0 <= self.epsilon <= 1.0, "epsilon", self.epsilon, "in [0, 1]")
        _require(0.0 < self.fps <= 1000.0, "fps", self.fps, "in (0, 1000]")


@dataclass(frozen=True)
class PlayConfig:
    """A game inside a run's world model: arrows and space bar (or the digits) act, R begins anew, Escape ends it."""

    script: str | None = None
    """Play without a window: a file of lines ACTION or ACTION TIMES (`RIGHT 12`), or the word random."""
    video: Path | None = None
    """File for a film of the game, *.webp; of a script by default `videos/play.webp` in the run folder."""
    steps: int = 500
    """Length of a random script, >= 1."""
    seed: int = 0
    """Decides starts, what is imagined, and random actions, >= 0."""
    fps: float = 15.0
    """Steps a second, in (0, 1000]."""

    def __post_init__(self) -> None:
        _require(self.steps >= 1, "steps", self.steps, ">= 1")
        _require(self.seed >= 0, "seed", self.seed, ">= 0")
        _require(0.0 < self.fps <= 1000.0, "fps", self.fps, "in (0, 1000]")


@dataclass(frozen=True)
class CompareConfig:
    """Scores and curves of finished and evaluated runs, beside each other and the published ones."""

    out: Path | None = None
    """Folder for `compare.json` and the figures; by default nothing is written."""
    resamples: int = 2000
    """Bootstrap resamples of an interval, >= 100."""
    seed: int = 0
    """Of the resamples, >= 0."""

    def __post_init__(self) -> None:
        _require(self.resamples >= 100, "resamples", self.resamples, ">= 100")
        _require(self.seed >= 0, "seed", self.seed, ">= 0")


def _require(holds: bool, name: str, value: Any, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{name} must be {allowed}, got {value}")
