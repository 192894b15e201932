"""Configuration of the agents. Free of torch and gymnasium, so that `--help` stays fast."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from rl_discrete.encoders.config import EncoderConfig
from rl_discrete.runs.errors import UsageError

VAST_PROFILES = ("smoke", "cpu", "paper")
Relabel = Literal["snapshot", "lazy", "full"]


@dataclass(frozen=True)
class ExplorationConfig:
    """How often the agent acts at random: always in the burn-in, then a linear fall."""

    start: float = 1.0
    """Probability of a random action right after the burn-in, in [0, 1]."""
    end: float = 0.1
    """Probability of a random action in the long run, in [0, 1]."""
    steps: int = 10_000
    """Env steps, after the burn-in, over which the probability falls from `start` to `end`, >= 0."""


@dataclass(frozen=True)
class PlannerConfig:
    """The table and its planner, prioritized sweeping with small backups."""

    discount: float = 0.99
    """Weight of the value one step later, in [0, 1)."""
    cutoff: float = 5e-5
    """Smallest change of a value that is passed on to the states before it, > 0."""
    sweeps_per_step: int = 200
    """Most states taken from the queue for each env step, >= 0: a fixed budget, so that a run can be repeated."""
    backups_per_step: int = 1600
    """Most small backups for each env step, >= 0."""
    rebuild_backups: int = 5_000_000
    """Most small backups after the table was rebuilt, >= 0."""
    lookup_radius: int = 16
    """An action never tried in a state takes its value from the nearest states within this Hamming distance, >= 0."""
    lookup_fallback: float = 0.0
    """Value of an action that no state within `lookup_radius` has tried."""
    lookup_penalty: float = 0.0
    """What a value taken from other states loses for each bit of their distance, >= 0: what was tried here then counts
    more than what a neighbour promises, so that a table that learns no more leads nobody round in circles."""
    optimistic_value: float | None = None
    """Value of an action never tried, in the values of states; by default untried actions are left out."""
    max_bytes: int = 2_000_000_000
    """Memory at which the table and its planner stop growing, at least the few kilobytes of an empty table. It may
    change with --resume."""


@dataclass(frozen=True)
class LearningConfig:
    """Gradient steps of the encoder."""

    batch_size: int = 48
    """Transitions for each gradient step, >= 1."""
    steps_per_update: int = 10
    """Env steps for each gradient step, >= 1."""
    burn_in_updates: int = 1000
    """Gradient steps at the end of the burn-in, >= 0."""
    background: bool = True
    """Whether gradient steps run beside the env steps, on a second core; the results are the same. Only with
    `relabel` snapshot, where nothing that acts depends on the weights that change."""


@dataclass(frozen=True)
class Change:
    """A change of the world at a step, that nobody tells the agent, and whether a forced run shows it."""

    name: str
    """The env's method that makes the change."""
    step: int
    """Env step from which the change holds."""
    forced: bool
    """Whether one env is then led through the change once."""

    @classmethod
    def parse(cls, text: str) -> Change:
        """The change written NAME@STEP or NAME@STEP+forced, such as `open_passage@5000+forced`.

        Raises:
            UsageError: not of that form.
        """
        match = re.fullmatch(r"([a-z][a-z0-9_]*)@(\d{1,12})(\+forced)?", text)
        if match is None:
            raise UsageError(
                f"a change is NAME@STEP or NAME@STEP+forced, for example reverse_rewards@20000, got {text!r}"
            )
        return cls(match[1], int(match[2]), match[3] is not None)


@dataclass(frozen=True)
class VastConfig:
    """One run of `rl-discrete train --agent vast`."""

    env: str = "grid"
    """Real env: a bare name such as grid, DoomPlusMaze or Pong, or MODULE:ID of any registered env."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the env."""
    encoder: str = "ish"
    """What turns observations into codes: ish, gs, vast, simhash, downsample or exact."""
    seed: int = 0
    """Decides everything random, >= 0."""
    steps: int = 30_000
    """Env steps of the whole run, over all parallel envs, >= 1."""
    num_envs: int = 8
    """Envs that act in parallel, one code batch for all of them, >= 1."""
    frame_stack: int = 0
    """Frames that make an observation, the newest and those before it, >= 1; 0: 4 in Atari games, else 1."""
    burn_in: int = 5000
    """Env steps of random actions before the first gradient step, >= 0."""
    relabel: Relabel = "snapshot"
    """How the table follows the encoder. snapshot: codes come from a frozen copy, and every `relabel_every` steps
    the weights are copied and the table is rebuilt; lazy: codes come from the newest weights, and the transitions
    of every training batch are relabelled (the original's way); full: newest weights, rebuilt like snapshot."""
    relabel_every: int = 2000
    """Env steps between two rebuilds of the table (and, for lazy, two measurements of the change), >= 1."""
    replay_bytes: int = 4_000_000_000
    """Disk space for the frames of past steps; the oldest leave first."""
    forget: bool = False
    """Whether transitions that leave the replay leave the table too, at once."""
    window: int = 2000
    """Env steps that each line of metrics sums up: a line at the first step from each multiple of it on, >= 1."""
    checkpoint_every: int = 5000
    """Env steps between two checkpoints, >= 1: the most work that a kill can cost."""
    changes: tuple[str, ...] = ()
    """Changes of the world, NAME@STEP or NAME@STEP+forced, for example reverse_rewards@20000."""
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    training: LearningConfig = field(default_factory=LearningConfig)
    model: EncoderConfig = field(default_factory=EncoderConfig)
    """Settings of the encoder."""
