"""Configuration of SimPLe's loop. Free of torch and gymnasium, so that `--help` stays fast."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rl_discrete.world_models.config import WorldModelConfig

SIMPLE_PROFILES = ("smoke", "cpu", "paper")
WORLD_MODELS = ("code", "pixel", "table")


_ON_POLICY = {"learning_rate": 5e-4, "gamma": 0.98, "gae_lambda": 0.95}
_CLIPPED = {"n_steps": 32, "batch_size": 512, "n_epochs": 3, "clip_range": 0.2, "ent_coef": 0.01}
_VALUE_BASED = {
    "learning_rate": 5e-4,
    "gamma": 0.98,
    "buffer_size": 200_000,
    "learning_starts": 10_000,
    "batch_size": 256,
    "train_freq": 1,
    "gradient_steps": 2,
    "target_update_interval": 10_000,
    "exploration_fraction": 0.3,
    "exploration_final_eps": 0.05,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ppo": {**_ON_POLICY, **_CLIPPED},
    "a2c": {**_ON_POLICY, "n_steps": 8, "ent_coef": 0.01},
    "dqn": _VALUE_BASED,
    "qrdqn": {**_VALUE_BASED, "policy_kwargs": {"n_quantiles": 50}},
    "trpo": {**_ON_POLICY, "learning_rate": 1e-3, "n_steps": 32, "batch_size": 512},
    "recurrent_ppo": {**_ON_POLICY, **_CLIPPED, "policy_kwargs": {"lstm_hidden_size": 64}},
}
"""Keyword arguments of the algorithms where the configuration says nothing: short views, many envs."""


@dataclass(frozen=True)
class ScheduleConfig:
    """How real steps, fits of the world model and imagined steps take turns."""

    iterations: int = 6
    """Times that the world model is fitted and the agent trained inside it, >= 1."""
    first_steps: int = 10_000
    """Real steps before the first fit, >= 1."""
    last_steps: int = 2_000
    """Real steps after the last training, >= 0: nothing learns from them, they show whether what the agent was paid in
    its imagination is paid in the real env too. The rest of `real_steps` is shared out evenly among the iterations."""
    fit_updates: int | None = None
    """Gradient steps of each fit of the world model, >= 1; by default as many as the model itself finds right."""
    fresh_agents: bool = True
    """Whether each training after a new fit begins with an agent of fresh weights. One that has learned the faults of
    an early model is too sure of them to learn better in the next."""
    imagined_steps: int = 500_000
    """Imagined steps of each training of the agent, over all model envs, >= 1; rounded up to whole blocks."""
    last_imagined_factor: float = 1.0
    """How many times as long the last training is as the others, > 0."""
    last_agents: int = 1
    """Agents, >= 1, that the last training brings up one after the other, each of fresh weights and for its whole
    length, so it has no meaning without `fresh_agents` or in a finished model: the one that its imagination pays best
    at the end is kept. What an agent finds in a model depends on its luck."""
    block_steps: int = 20_000
    """Imagined steps after which all imagined episodes begin anew, >= 1, rounded up to whole rollouts: only there a run
    is saved or stopped."""


@dataclass(frozen=True)
class CollectionConfig:
    """How the real steps are chosen."""

    exploring_share: float = 0.5
    """Share of the envs, in [0, 1], that explore once there is an agent, rounded up to whole envs. In the others it
    acts as it learned to, and what it earns there is held against what it was paid in its imagination."""
    epsilon: float = 0.1
    """Share of random actions, in [0, 1], in the envs that explore."""
    first_epsilon: float = 1.0
    """Share of random actions, in [0, 1], before the first fit: there is no agent yet, so the rest is random too, but
    not held."""
    longest_hold: int = 80
    """Steps, >= 1, for which a random action is held at most: half as long is four times as likely, so most are held
    for a step or two. A game whose first reward takes many steps in the same direction, such as Freeway, is never seen
    to pay by an agent that turns at random in each."""
    entropy_floor: float = 0.1
    """Least entropy of the agent's own actions in the envs that explore, in [0, 1], as a share of that of chance: it is
    mixed with chance where it is surer than that."""


@dataclass(frozen=True)
class ImaginationConfig:
    """The model envs that the agent learns in."""

    num_envs: int = 64
    """Imagined episodes side by side, >= 1."""
    horizon: int = 32
    """Steps after which an imagined episode is cut, >= 1; the agent's value goes on from there."""
    half_life: float | None = None
    """Real steps after which a moment is half as likely to be started from, > 0; by default all moments are alike."""
    checkpoint_every: int = 200_000
    """Imagined steps between two checkpoints, >= 1."""


@dataclass(frozen=True)
class DiagnosisConfig:
    """Real episodes at the end of a run that nothing learns from: how far the world model strays from them."""

    steps: int = 5000
    """Real steps of the finished agent, >= 0, that do not count among `real_steps`; 0: no diagnosis."""
    starts: int = 400
    """Rollouts of the world model, >= 1, each from another frame of them."""


@dataclass(frozen=True)
class PolicyConfig:
    """The agent itself: any algorithm with discrete actions of Stable-Baselines3 or sb3-contrib."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers; images go through convolutions first."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the algorithms' constructors that differ from ours, such as {ppo: {n_epochs: 4}}; those of
    `algo` count."""


@dataclass(frozen=True)
class SimpleConfig:
    """One run of `rl-discrete train`: SimPLe, an agent that learns inside a world model."""

    env: str = "Pong"
    """Real env: a bare name such as Pong, grid or DoomPlusMaze, or MODULE:ID of any registered env."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the env."""
    atari_kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments that Atari games get besides; `env_kwargs` override them."""
    world_model: Literal["code", "pixel", "table"] = "code"
    """What the agent learns inside of: code (bits of frames, predicted by a prior over them), pixel (frames, SimPLe
    proper), or table (the counts of a tabular MDP over codes)."""
    encoder: Literal["ish", "gs"] = "ish"
    """What makes the bits: improved semantic hashing, or Gumbel-softmax."""
    prior: Literal["lstm", "factorised"] = "lstm"
    """What predicts them: an LSTM over chunks of bits, or every bit by itself."""
    algo: str = "ppo"
    """What learns inside: ppo, a2c, dqn, qrdqn, trpo or recurrent_ppo."""
    seed: int = 0
    """Decides everything random, >= 0."""
    real_steps: int = 100_000
    """Steps in the real env, counted over all of them, exactly; a multiple of `num_envs`. 0: only train an agent in
    the finished model of `world_run`."""
    world_run: Path | None = None
    """With `real_steps` 0: folder of the run whose world model and replay are used; neither is changed."""
    num_envs: int = 8
    """Real envs that act in parallel, >= 1."""
    frame_stack: int = 0
    """Frames that the replay keeps together, >= 1; 0: 4 in Atari games, else 1."""
    clip_rewards: Literal["auto", "on", "off"] = "auto"
    """Whether the agent learns from the signs of rewards: auto in Atari games. Scores are never clipped."""
    replay_bytes: int = 4_000_000_000
    """Disk space for the frames of past steps; the oldest leave first."""
    window: int = 2000
    """Real steps that each line of scores sums up, >= 1."""
    checkpoint_every: int = 5000
    """Real steps between two checkpoints, >= 1; there is one before and after every fit and training too."""
    threads: int = 1
    """Threads of torch, >= 1. With one of them a resumed run is the same bit for bit."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    collection: CollectionConfig = field(default_factory=CollectionConfig)
    imagination: ImaginationConfig = field(default_factory=ImaginationConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    diagnosis: DiagnosisConfig = field(default_factory=DiagnosisConfig)
    model: WorldModelConfig = field(default_factory=WorldModelConfig)
    """Settings of the world models."""


def collections(config: SimpleConfig) -> tuple[int, ...]:
    """Real steps before each fit, and after the last training: `iterations` + 1 numbers, all multiples of `num_envs`.

    They add up to `real_steps`, whatever that takes from the last ones.
    """
    schedule, batch = config.schedule, config.num_envs
    turns = config.real_steps // batch  # steps of all envs at once
    if turns == 0:
        return (0,) * (schedule.iterations + 1)
    last = min(-(-schedule.last_steps // batch), max(turns - 1, 0))
    first = turns - last if schedule.iterations == 1 else min(-(-schedule.first_steps // batch), turns - last)
    between = schedule.iterations - 1
    rest = turns - first - last
    shares = [rest // between + (index < rest % between) for index in range(between)] if between else []
    return tuple(batch * number for number in (first, *shares, last))


def with_selected(config: SimpleConfig) -> SimpleConfig:
    """The configuration with `encoder` and `prior` put where the settings of the world model have them."""
    code = config.model.code
    code = replace(
        code,
        codec=replace(code.codec, bottleneck=config.encoder),
        dynamics=replace(code.dynamics, prior=config.prior),
    )
    pixel = replace(config.model.pixel, latents=replace(config.model.pixel.latents, bottleneck=config.encoder))
    table = config.model.table  # has more encoders to choose from, by its own settings
    if table.encoder in ("ish", "gs"):
        table = replace(table, encoder=config.encoder)
    return replace(config, model=replace(config.model, code=code, pixel=pixel, table=table))
