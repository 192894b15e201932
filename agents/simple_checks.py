"""What can be known to fail before the first step of a SimPLe run, and before it is resumed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from rl_discrete.agents.algorithms import check_arguments, find_algorithm
from rl_discrete.agents.simple_config import ARGUMENTS, SimpleConfig, with_selected
from rl_discrete.data.layout import ReplayLayout
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.make import is_atari
from rl_discrete.runs.config import differences, from_mapping, merge, read_yaml, to_mapping
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.config import WorldModelConfig
from rl_discrete.world_models.learner import check_frames

_AT_LEAST_ONE = ("num_envs", "window", "checkpoint_every", "threads", "replay_bytes")
_DECISIVE = (
    *("agent", "env", "env_kwargs", "seed", "num_envs", "frame_stack", "clip_rewards", "world_model", "encoder"),
    *("prior", "algo", "model", "policy", "imagination", "schedule", "real_steps", "world_run"),
)
"""Settings with which a run cannot change its mind: its checkpoints would mean something else."""


def resolve(config: SimpleConfig) -> SimpleConfig:
    """The configuration with whatever its env, or the run that its model comes from, decides.

    Raises:
        UsageError: an unknown env or algorithm, a value outside its range, or a run of another env.
    """
    _check(config)
    atari = is_atari(config.env)
    algo, arguments = _arguments(config)
    config = replace(
        config,
        algo=algo,
        policy=replace(config.policy, arguments={algo: arguments}),
        env_kwargs={**config.atari_kwargs, **config.env_kwargs} if atari else config.env_kwargs,
        atari_kwargs={},
        frame_stack=config.frame_stack or (4 if atari else 1),
        clip_rewards=("on" if atari else "off") if config.clip_rewards == "auto" else config.clip_rewards,
    )
    return with_selected(config) if config.world_run is None else _with_world_of(config, config.world_run)


def load_config(run: Path) -> SimpleConfig:
    """The configuration of a run of `rl-discrete train --agent simple`.

    Raises:
        UsageError: the folder holds no such run.
    """
    settings = read_yaml(run / "config.yaml")
    agent = settings.pop("agent", None)
    if agent != "simple":
        raise UsageError(f"{run} holds a run of {agent or 'another command'}, not of train --agent simple")
    settings.pop("profile", None)
    return from_mapping(SimpleConfig, settings, str(run / "config.yaml"))


def check_envs(config: SimpleConfig, envs: EpisodeEnvs) -> None:
    """Raises UsageError where the replay or the world model does not fit the envs."""
    space = envs.observation_space
    shape, dtype = space.shape or (), str(space.dtype)
    ReplayLayout.choose(shape, dtype, config.frame_stack, config.num_envs, config.replay_bytes)
    check_frames(config.world_model, shape, dtype)


def check_begun(config: SimpleConfig, folder: Path) -> None:
    """Raises UsageError where the run in `folder` was begun with settings that cannot change on the way."""
    old, new = read_yaml(folder / "config.yaml"), {"agent": "simple", **to_mapping(config)}
    changed = differences({key: old.get(key) for key in _DECISIVE}, {key: new[key] for key in _DECISIVE})
    if changed:
        raise UsageError(
            f"{folder} was begun with other settings ({'; '.join(changed)}): drop the flags that changed, or choose "
            "another --out"
        )


def _with_world_of(config: SimpleConfig, run: Path) -> SimpleConfig:
    """The configuration with the world model, and what it is told of the env, of another run."""
    other = load_config(run)
    if other.env != config.env:
        raise UsageError(f"{run} holds a world model of {other.env}, not of {config.env}: say --env {other.env}")
    return replace(
        config,
        world_run=run.absolute(),  # the run is to be found from any directory
        env_kwargs=other.env_kwargs,
        clip_rewards=other.clip_rewards,
        frame_stack=other.frame_stack,
        num_envs=other.num_envs,
        world_model=other.world_model,
        encoder=other.encoder,
        prior=other.prior,
        model=other.model,
    )


def _arguments(config: SimpleConfig) -> tuple[str, dict[str, Any]]:
    """The algorithm, and all keyword arguments of its constructor."""
    algo, given = find_algorithm(config.algo), {}
    for name, values in config.policy.arguments.items():
        if not isinstance(values, dict):
            raise UsageError(f"policy.arguments.{name} must be a mapping of keyword arguments, got {values!r}")
        given[find_algorithm(name)] = values
    arguments = merge(ARGUMENTS[algo], given.get(algo, {}))
    if not isinstance(arguments.get("policy_kwargs", {}), dict):
        raise UsageError(
            f"policy.arguments.{algo}.policy_kwargs must be a mapping of keyword arguments, got "
            f"{arguments['policy_kwargs']!r}"
        )
    check_arguments(algo, {name: value for name, value in arguments.items() if name != "policy_kwargs"})
    steps, batch = arguments.get("n_steps"), arguments.get("batch_size")
    rollout = config.imagination.num_envs * steps if isinstance(steps, int) else 0
    if algo in ("ppo", "trpo") and isinstance(batch, int) and (batch < 2 or rollout % batch):
        raise UsageError(
            f"policy.arguments.{algo}.batch_size must be >= 2 and divide the {rollout} steps of a rollout (n_steps * "
            f"imagination.num_envs), got {batch}"
        )
    return algo, arguments


def _check(config: SimpleConfig) -> None:
    schedule, collection, imagination = config.schedule, config.collection, config.imagination
    for name in _AT_LEAST_ONE:
        _require(getattr(config, name) >= 1, name, getattr(config, name), ">= 1")
    _require(config.seed >= 0, "seed", config.seed, ">= 0")
    _require(config.frame_stack >= 0, "frame_stack", config.frame_stack, ">= 0")
    _require(config.real_steps >= 0, "real_steps", config.real_steps, ">= 0")
    if config.real_steps % config.num_envs:
        near = config.real_steps - config.real_steps % config.num_envs
        raise UsageError(
            f"real_steps must be a multiple of num_envs ({config.num_envs}), so that it is met exactly, got "
            f"{config.real_steps}: take {near or config.num_envs}"
        )
    if (config.real_steps == 0) != (config.world_run is not None):
        raise UsageError(
            "real_steps 0 and world_run go together: --real-steps 0 --world-run DIR trains in the finished model of "
            f"another run, got real_steps {config.real_steps} and world_run {config.world_run}"
        )
    if config.prior != "lstm" and config.world_model != "code":
        raise UsageError(f"prior {config.prior} is for world_model code; the {config.world_model} model has none of it")
    model, plain = config.model, WorldModelConfig()
    for flag, chosen, given, usual in (
        ("encoder", config.encoder, model.code.codec.bottleneck, plain.code.codec.bottleneck),
        ("encoder", config.encoder, model.pixel.latents.bottleneck, plain.pixel.latents.bottleneck),
        ("encoder", config.encoder, "gs" if model.table.encoder == "gs" else "ish", plain.table.encoder),
        ("prior", config.prior, model.code.dynamics.prior, plain.code.dynamics.prior),
    ):
        if given not in (usual, chosen):
            raise UsageError(f"the model says {given} and --{flag} says {chosen}: say --{flag} {given}")
    for name in ("iterations", "first_steps", "imagined_steps", "last_agents", "block_steps"):
        _require(getattr(schedule, name) >= 1, f"schedule.{name}", getattr(schedule, name), ">= 1")
    updates, factor = schedule.fit_updates, schedule.last_imagined_factor
    _require(updates is None or updates >= 1, "schedule.fit_updates", updates, ">= 1")
    _require(0.0 < factor < math.inf, "schedule.last_imagined_factor", factor, "> 0")
    _require(schedule.last_steps >= 0, "schedule.last_steps", schedule.last_steps, ">= 0")
    for name in ("exploring_share", "epsilon", "first_epsilon", "entropy_floor"):
        value = getattr(collection, name)
        _require(0.0 <= value <= 1.0, f"collection.{name}", value, "in [0, 1]")
    _require(collection.longest_hold >= 1, "collection.longest_hold", collection.longest_hold, ">= 1")
    for name in ("num_envs", "horizon", "checkpoint_every"):
        _require(getattr(imagination, name) >= 1, f"imagination.{name}", getattr(imagination, name), ">= 1")
    life = imagination.half_life
    _require(life is None or 0.0 < life < math.inf, "imagination.half_life", life, "> 0")
    _require(config.diagnosis.steps >= 0, "diagnosis.steps", config.diagnosis.steps, ">= 0")
    _require(config.diagnosis.starts >= 1, "diagnosis.starts", config.diagnosis.starts, ">= 1")
    _require(min(config.policy.hidden, default=1) >= 1, "policy.hidden", list(config.policy.hidden), ">= 1 each")


def _require(holds: bool, name: str, value: Any, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{name} must be {allowed}, got {value}")
