"""Configuration of the baselines. Free of torch and gymnasium, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

BASELINES = ("ppo", "dqn", "random")
Network = Literal["auto", "mlp", "small", "nature"]


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of Stable-Baselines3."""

    rollout_steps: int = 128
    """Steps of each env between two updates, >= 1."""
    batch_size: int = 256
    """Steps for each gradient step; a divisor of `rollout_steps` times `num_envs`, >= 2."""
    epochs: int = 4
    """Passes over the steps of a rollout, >= 1."""
    learning_rate: float = 2.5e-4
    """Of Adam, > 0."""
    discount: float = 0.99
    """Weight of the value one step later, in [0, 1]."""
    gae_lambda: float = 0.95
    """Trade-off of bias and variance in the advantages, in [0, 1]."""
    clip_range: float = 0.2
    """How far an update may move the probability of an action, as a share of it, > 0."""
    entropy_weight: float = 0.01
    """Weight of the entropy in the loss, >= 0."""
    value_weight: float = 0.5
    """Weight of the value loss, >= 0."""
    gradient_clip: float = 0.5
    """Largest norm of the gradient, > 0."""


@dataclass(frozen=True)
class DQNConfig:
    """Deep Q-learning (Mnih et al. 2015) of Stable-Baselines3, with its replay on disk."""

    learning_rate: float = 1e-4
    """Of Adam, > 0."""
    batch_size: int = 32
    """Transitions for each gradient step, >= 1."""
    burn_in: int = 5000
    """Env steps of random actions before the first gradient step, >= 1."""
    steps_per_update: int = 4
    """Env steps for each gradient step, >= 1; rounded up to whole steps of all envs."""
    target_every: int = 2000
    """Env steps between two copies of the weights to the target network, >= 1."""
    exploration_share: float = 0.1
    """Share of the run, in (0, 1], over which random actions fall linearly from all to `exploration_end`."""
    exploration_end: float = 0.1
    """Probability of a random action in the long run, in [0, 1]."""
    discount: float = 0.99
    """Weight of the value one step later, in [0, 1]."""
    gradient_clip: float = 10.0
    """Largest norm of the gradient, > 0."""
    replay_bytes: int = 1_000_000_000
    """Disk space for the frames of past steps; the oldest leave first."""


@dataclass(frozen=True)
class BaselineConfig:
    """One run of `rl-discrete train --agent ppo`, `dqn` or `random` on a real env."""

    env: str = "grid"
    """Real env: a bare name such as grid, DoomPlusMaze or Pong, or MODULE:ID of any registered env."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the env."""
    seed: int = 0
    """Decides everything random, >= 0."""
    steps: int = 30_000
    """Env steps of the whole run, over all parallel envs, >= 1; rounded up to whole rollouts."""
    num_envs: int = 8
    """Envs that act in parallel, >= 1."""
    frame_stack: int = 0
    """Frames that make an observation, the newest and those before it, >= 1; 0: 4 in Atari games, else 1."""
    window: int = 2000
    """Env steps that each line of metrics sums up, >= 1."""
    checkpoint_every: int = 10_000
    """Env steps between two checkpoints, >= 1: the most work that a kill can cost."""
    network: Network = "auto"
    """mlp for vectors; small (any size) or nature (36 pixels or more, Mnih et al. 2015) for images; auto chooses."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of mlp; the image networks have one of 512 (nature) or 128 (small)."""
    threads: int = 1
    """Threads of torch, >= 1. With one of them a resumed run is the same bit for bit."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    dqn: DQNConfig = field(default_factory=DQNConfig)
