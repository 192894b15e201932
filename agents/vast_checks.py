"""What can be known to fail before the first step of a VaST run, and before it is resumed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from rl_discrete.agents.config import Change, VastConfig
from rl_discrete.agents.tabulation import build_lookup, build_planner
from rl_discrete.agents.trained_agent import make_changed_env
from rl_discrete.agents.vast_start import build_run_encoder
from rl_discrete.data.layout import ReplayLayout
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.make import check_discrete, is_atari
from rl_discrete.runs.config import differences, read_yaml, to_mapping
from rl_discrete.runs.errors import UsageError

_AT_LEAST_ONE = ("steps", "num_envs", "relabel_every", "window", "checkpoint_every")
_DECISIVE = ("agent", "env", "env_kwargs", "encoder", "seed", "num_envs", "frame_stack", "burn_in", "relabel", "model")
_DECISIVE_OF_PLANNER = ("discount", "cutoff", "optimistic_value")
"""Settings with which a run cannot change its mind: its checkpoints would mean something else."""


def resolve(config: VastConfig) -> VastConfig:
    """The configuration with whatever its env decides.

    Raises:
        UsageError: a value outside its range, or an env that is not known.
    """
    _check(config)
    return config if config.frame_stack else replace(config, frame_stack=4 if is_atari(config.env) else 1)


def _check(config: VastConfig) -> None:
    planner, training, exploration = config.planner, config.training, config.exploration
    for name in _AT_LEAST_ONE:
        _require(getattr(config, name) >= 1, name, getattr(config, name), ">= 1")
    _require(config.seed >= 0, "seed", config.seed, ">= 0")
    _require(config.frame_stack >= 0, "frame_stack", config.frame_stack, ">= 0")
    _require(config.burn_in >= 0, "burn_in", config.burn_in, ">= 0")
    _require(0.0 <= planner.discount < 1.0, "planner.discount", planner.discount, "in [0, 1)")
    _require(0.0 < planner.cutoff < math.inf, "planner.cutoff", planner.cutoff, "> 0 and finite")
    for name in ("sweeps_per_step", "backups_per_step", "rebuild_backups", "lookup_radius"):
        _require(getattr(planner, name) >= 0, f"planner.{name}", getattr(planner, name), ">= 0")
    _require(0.0 <= planner.lookup_penalty < math.inf, "planner.lookup_penalty", planner.lookup_penalty, ">= 0")
    _require(math.isfinite(planner.lookup_fallback), "planner.lookup_fallback", planner.lookup_fallback, "finite")
    optimistic = planner.optimistic_value
    _require(optimistic is None or math.isfinite(optimistic), "planner.optimistic_value", optimistic, "finite")
    for name in ("batch_size", "steps_per_update"):
        _require(getattr(training, name) >= 1, f"training.{name}", getattr(training, name), ">= 1")
    _require(training.burn_in_updates >= 0, "training.burn_in_updates", training.burn_in_updates, ">= 0")
    for name in ("start", "end"):
        value = getattr(exploration, name)
        _require(0.0 <= value <= 1.0, f"exploration.{name}", value, "in [0, 1]")
    _require(exploration.steps >= 0, "exploration.steps", exploration.steps, ">= 0")
    for text in config.changes:
        Change.parse(text)
        _require(config.changes.count(text) == 1, "changes", text, "made once")


def check_envs(config: VastConfig, envs: EpisodeEnvs) -> None:
    """Raises UsageError where encoder, table, replay or changes do not fit the envs."""
    space, num_actions = envs.observation_space, check_discrete(envs.envs[0])
    shape = space.shape or ()
    encoder = build_run_encoder(config, shape, num_actions)
    try:
        build_lookup(build_planner(num_actions, encoder.key_words, config.planner), config.planner)
    except UsageError as error:
        raise UsageError(f"planner: {error}") from error
    ReplayLayout.choose(shape, str(space.dtype), config.frame_stack, config.num_envs, config.replay_bytes)
    _try_changes(config, envs)


def _try_changes(config: VastConfig, envs: EpisodeEnvs) -> None:
    """Makes all changes in an env of their own, in their order, since one can need another."""
    changes = sorted(map(Change.parse, config.changes), key=lambda change: change.step)
    if any(change.forced for change in changes) and not _has(envs.envs[0], "schedule_forced_run"):
        raise UsageError(f"env {config.env} has no forced run: drop '+forced'")
    names = [name for change in changes for name in (change.name, *["schedule_forced_run"] * change.forced)]
    if names:
        make_changed_env(config.env, config.env_kwargs, names).close()


def check_begun(config: VastConfig, folder: Path) -> None:
    """Raises UsageError where the run in `folder` was begun with settings that cannot change on the way."""
    old, new = read_yaml(folder / "config.yaml"), {"agent": "vast", **to_mapping(config)}
    changed = differences({key: old.get(key) for key in _DECISIVE}, {key: new[key] for key in _DECISIVE})
    before = old.get("planner", {})
    changed += differences(
        {f"planner.{name}": before.get(name) for name in _DECISIVE_OF_PLANNER},
        {f"planner.{name}": getattr(config.planner, name) for name in _DECISIVE_OF_PLANNER},
    )
    lost = [text for text in old.get("changes", []) if text not in config.changes]
    if lost:
        changed.append(f"changes lacks {', '.join(lost)}")
    if changed:
        raise UsageError(
            f"{folder} was begun with other settings ({'; '.join(changed)}): drop the flags that changed, or choose "
            "another --out"
        )


def _has(env: Any, name: str) -> bool:
    try:
        return callable(env.get_wrapper_attr(name))
    except AttributeError:
        return False


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{name} must be {allowed}, got {value}")
