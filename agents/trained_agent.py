"""The agent of any run of `rl-discrete train`, with the world it was last in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rl_discrete.agents.baseline_config import BASELINES
from rl_discrete.agents.config import Change
from rl_discrete.agents.run_checkpoint import find_checkpoint
from rl_discrete.agents.vast_policy import PARTS, VastPolicy, load_config, restore_policy
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.make import make_env
from rl_discrete.runs.config import read_yaml
from rl_discrete.runs.errors import UsageError

if TYPE_CHECKING:
    from rl_discrete.agents.sb3_policy import RandomPolicy, Sb3Policy
    from rl_discrete.envs.encoded import EncodedPolicy

AGENTS = ("simple", "vast", *BASELINES)
AnyPolicy: TypeAlias = "EncodedPolicy | VastPolicy | Sb3Policy | RandomPolicy"


@dataclass(frozen=True)
class TrainedAgent:
    """A policy that acts, and the real env that it was trained in."""

    name: str
    """simple, vast, ppo, dqn or random."""
    policy: AnyPolicy
    env: str
    """Name of the env, as for `make_env`."""
    env_kwargs: dict[str, Any]
    """Its keyword arguments."""
    changed: tuple[str, ...]
    """Methods of the env that had changed the world by then, in this order."""
    step: int
    """Env steps of its training, over all envs."""

    def make_env(self, **kwargs: Any) -> AnyEnv:
        """The env as it was at the end of that training; `kwargs` override its own, such as `render_mode`."""
        return make_changed_env(self.env, {**self.env_kwargs, **kwargs}, self.changed)


def load_agent(
    run: Path,
    checkpoint: Path | None = None,
    epsilon: float = 0.05,
    seed: int = 0,
    warn: Callable[[str], None] = print,
    lookup_penalty: float | None = None,
) -> TrainedAgent:
    """The agent of a run of `rl-discrete train`; nothing of the run is changed.

    Args:
        run: the run folder.
        checkpoint: one of its checkpoints; None for the newest that is good.
        epsilon: probability of a random action of a value-based agent: vast, dqn, and simple with dqn or qrdqn.
        seed: of random actions.
        warn: receives a line where the newest checkpoint is damaged.
        lookup_penalty: of vast, in place of the run's `planner.lookup_penalty`.

    Raises:
        UsageError: the folder holds no such run, or it has no checkpoint yet.
        RunError: its checkpoints are damaged.
    """
    name = agent_of(run)
    if name == "simple":
        return _load_simple(run, checkpoint, epsilon, seed, warn)
    if name == "vast":
        config = load_config(run)
        if lookup_penalty is not None:
            config = replace(config, planner=replace(config.planner, lookup_penalty=lookup_penalty))
        found = find_checkpoint(run, PARTS, checkpoint, warn)
        changed = changes_made(found.meta["changed"])
        policy = restore_policy(config, found, epsilon, seed)
        return TrainedAgent("vast", policy, config.env, config.env_kwargs, changed, found.step)
    return _load_baseline(run, checkpoint, epsilon, seed, warn)


def agent_of(run: Path) -> str:
    """The agent that a run of `rl-discrete train` trained.

    Raises:
        UsageError: the folder holds no such run.
    """
    agent = read_yaml(run / "config.yaml").get("agent")
    if agent not in AGENTS:
        allowed = ", ".join(AGENTS)
        raise UsageError(f"{run} holds a run of {agent or 'another command'}, not of train with an agent of {allowed}")
    return str(agent)


def changes_made(changes: Sequence[str]) -> tuple[str, ...]:
    """The methods of the env that made the changes of a run, which its checkpoint names as NAME@STEP."""
    return tuple(Change.parse(text).name for text in changes)


def make_changed_env(name: str, kwargs: dict[str, Any], changes: Sequence[str]) -> AnyEnv:
    """An env in which methods of its own have changed the world.

    Args:
        name: as for `make_env`.
        kwargs: keyword arguments of the env.
        changes: names of methods without arguments, called in this order.

    Raises:
        UsageError: no such env, or no such method.
    """
    env = make_env(name, **kwargs)
    try:
        for change in changes:
            try:
                env.get_wrapper_attr(change)()
            except (AttributeError, TypeError) as error:
                reason = " ".join(str(error).split())
                raise UsageError(f"env {name} cannot change by {change}: {reason}") from error
    except BaseException:
        env.close()
        raise
    return env


def _load_simple(
    run: Path, checkpoint: Path | None, epsilon: float, seed: int, warn: Callable[[str], None]
) -> TrainedAgent:
    # Stable-Baselines3 takes seconds to import, and the table's own agent does without it.
    from rl_discrete.agents.trained_world import load_simple

    config, found, policy = load_simple(run, checkpoint, epsilon, seed, warn)
    return TrainedAgent("simple", policy, config.env, config.env_kwargs, (), found.step)


def _load_baseline(
    run: Path, checkpoint: Path | None, epsilon: float, seed: int, warn: Callable[[str], None]
) -> TrainedAgent:
    # Stable-Baselines3 takes seconds to import, and the table's own agent does without it.
    from rl_discrete.agents.baselines import load_baseline, load_baseline_config
    from rl_discrete.agents.sb3_state import POLICY

    name, config = load_baseline_config(run)
    found = find_checkpoint(run, () if name == "random" else (POLICY,), checkpoint, warn)
    policy = load_baseline(run, found.path, epsilon, seed)
    return TrainedAgent(name, policy, config.env, config.env_kwargs, (), found.step)
