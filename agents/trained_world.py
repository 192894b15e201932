"""The world model of a finished (or stopped) SimPLe run, and the agent that learned inside it, ready to act outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl_discrete.agents.algorithms import AgentSpec
from rl_discrete.agents.model_policy import ModelPolicy
from rl_discrete.agents.run_checkpoint import find_checkpoint
from rl_discrete.agents.sb3_state import POLICY
from rl_discrete.agents.simple_checks import load_config
from rl_discrete.agents.simple_config import SimpleConfig
from rl_discrete.agents.simple_run import WORLD
from rl_discrete.agents.simple_start import restore_replay, restore_world
from rl_discrete.data.replay import Replay
from rl_discrete.envs.encoded import EncodedPolicy
from rl_discrete.runs.checkpoint import Checkpoint
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.base import WorldModel
from rl_discrete.world_models.starts import ReplayStarts


def load_world_model(
    run: Path, checkpoint: Path | None = None, warn: Callable[[str], None] = print
) -> tuple[WorldModel[Any], ReplayStarts]:
    """The world model of a run, and where its imagined episodes start: at any moment of the run's real steps.

    Args:
        run: the run folder; nothing in it is changed.
        checkpoint: one of its checkpoints, older ones too; None for the newest that is good.
        warn: receives a line where the newest checkpoint is damaged.

    Raises:
        UsageError: the folder holds no such run, or it has no world model yet.
        RunError: its checkpoints or its replay are damaged.
    """
    config = load_config(run)
    found = find_trained(run, (WORLD,), checkpoint, warn)
    replay = load_replay(run, config, warn)
    model = restore_world(config, found, replay).model
    return model, ReplayStarts(replay, model.history_length, config.imagination.half_life)


def load_replay(run: Path, config: SimpleConfig, warn: Callable[[str], None] = print) -> Replay:
    """The real steps of a run, to be read only: its own, or those of the run that its world model came from.

    Raises:
        UsageError: that run is gone, or has no checkpoint yet.
        RunError: the replay is damaged.
    """
    owner = run if config.world_run is None else config.world_run
    return restore_replay(owner, find_checkpoint(owner, ("replay",), None, warn))


def load_simple(
    run: Path,
    checkpoint: Path | None = None,
    epsilon: float = 0.05,
    seed: int = 0,
    warn: Callable[[str], None] = print,
) -> tuple[SimpleConfig, Checkpoint, EncodedPolicy]:
    """The configuration of a run, a checkpoint, and its agent as it acts in the real env.

    Args:
        run: the run folder.
        checkpoint: one of its checkpoints, older ones too; None for the newest that is good.
        epsilon: probability of a random action of a value-based agent; others draw from their policy.
        seed: of these draws.
        warn: receives a line where the newest checkpoint is damaged.

    Raises:
        UsageError: the folder holds no such run, or it has no agent yet.
        RunError: its checkpoints or its replay are damaged.
    """
    config = load_config(run)
    found = find_trained(run, (WORLD, POLICY), checkpoint, warn)
    model = restore_world(config, found, load_replay(run, config, warn)).model
    spec = AgentSpec.from_json(found.meta["agent"]["spec"])
    policy = ModelPolicy.restore(spec, found.tensors[POLICY], epsilon, seed)
    return config, found, EncodedPolicy(policy, model)


def find_trained(
    run: Path, parts: tuple[str, ...], checkpoint: Path | None = None, warn: Callable[[str], None] = print
) -> Checkpoint:
    """A checkpoint of a run that holds a world model, with some of its parts.

    Raises:
        UsageError: there is none yet.
        RunError: its checkpoints are damaged.
    """
    found = find_checkpoint(run, (), checkpoint, warn)
    if found.meta.get("world") is None:
        raise UsageError(f"{found.path} has no world model yet: continue {run} with --resume")
    return find_checkpoint(run, parts, checkpoint, warn)
