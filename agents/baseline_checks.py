"""What can be known to fail before the first step of a baseline, and before it is resumed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from rl_discrete.agents.baseline_config import BASELINES, BaselineConfig
from rl_discrete.envs.make import is_atari
from rl_discrete.runs.config import differences, nearest, read_yaml, to_mapping
from rl_discrete.runs.errors import UsageError

_AT_LEAST_ONE = ("steps", "num_envs", "window", "checkpoint_every", "threads")
_DECISIVE = ("agent", "env", "env_kwargs", "seed", "num_envs", "frame_stack", "network", "hidden", "ppo", "dqn")
"""Settings with which a run cannot change its mind: its checkpoints would mean something else."""


def resolve(agent: str, config: BaselineConfig) -> BaselineConfig:
    """The configuration with whatever its env decides.

    Raises:
        UsageError: an unknown agent or env, or a value outside its range.
    """
    _check(agent, config)
    return config if config.frame_stack else replace(config, frame_stack=4 if is_atari(config.env) else 1)


def check_begun(agent: str, config: BaselineConfig, folder: Path) -> None:
    """Raises UsageError where the run in `folder` was begun with settings that cannot change on the way."""
    old, new = read_yaml(folder / "config.yaml"), {"agent": agent, **to_mapping(config)}
    changed = differences({key: old.get(key) for key in _DECISIVE}, {key: new[key] for key in _DECISIVE})
    if changed:
        raise UsageError(
            f"{folder} was begun with other settings ({'; '.join(changed)}): drop the flags that changed, or choose "
            "another --out"
        )


def _check(agent: str, config: BaselineConfig) -> None:
    if agent not in BASELINES:
        close = nearest(agent, BASELINES)
        hint = f"; did you mean {close}?" if close else ""
        raise UsageError(f"agent must be one of {', '.join(BASELINES)}, got {agent!r}{hint}")
    ppo, dqn = config.ppo, config.dqn
    for name in _AT_LEAST_ONE:
        _require(getattr(config, name) >= 1, name, getattr(config, name), ">= 1")
    _require(config.seed >= 0, "seed", config.seed, ">= 0")
    _require(config.frame_stack >= 0, "frame_stack", config.frame_stack, ">= 0")
    for group, settings, names in (
        ("ppo", ppo, ("rollout_steps", "epochs")),
        ("dqn", dqn, ("batch_size", "burn_in", "steps_per_update", "target_every", "replay_bytes")),
    ):
        for name in names:
            _require(getattr(settings, name) >= 1, f"{group}.{name}", getattr(settings, name), ">= 1")
        for name in ("learning_rate", "gradient_clip"):
            _require(_positive(getattr(settings, name)), f"{group}.{name}", getattr(settings, name), "> 0")
        _require(0.0 <= settings.discount <= 1.0, f"{group}.discount", settings.discount, "in [0, 1]")
    rollout = ppo.rollout_steps * config.num_envs
    if agent == "ppo" and not (2 <= ppo.batch_size <= rollout and rollout % ppo.batch_size == 0):
        raise UsageError(
            f"ppo.batch_size must be >= 2 and divide the {rollout} steps of a rollout (ppo.rollout_steps * num_envs), "
            f"got {ppo.batch_size}"
        )
    _require(0.0 <= ppo.gae_lambda <= 1.0, "ppo.gae_lambda", ppo.gae_lambda, "in [0, 1]")
    _require(_positive(ppo.clip_range), "ppo.clip_range", ppo.clip_range, "> 0")
    for name in ("entropy_weight", "value_weight"):
        value = getattr(ppo, name)
        _require(math.isfinite(value) and value >= 0.0, f"ppo.{name}", value, ">= 0")
    _require(0.0 < dqn.exploration_share <= 1.0, "dqn.exploration_share", dqn.exploration_share, "in (0, 1]")
    _require(0.0 <= dqn.exploration_end <= 1.0, "dqn.exploration_end", dqn.exploration_end, "in [0, 1]")


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0.0


def _require(holds: bool, name: str, value: Any, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{name} must be {allowed}, got {value}")
