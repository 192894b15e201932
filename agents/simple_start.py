"""How a SimPLe run begins, and how it goes on, bit for bit, from its newest checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from rl_discrete.agents.collecting import Explorer
from rl_discrete.agents.contest import Contest
from rl_discrete.agents.global_randomness import load_randomness
from rl_discrete.agents.run_checkpoint import earlier_commits, find_checkpoint
from rl_discrete.agents.simple_config import SimpleConfig
from rl_discrete.agents.simple_run import WORLD, SimpleRun
from rl_discrete.agents.window import Window
from rl_discrete.data.replay import Replay
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import EpisodeEnvs, Mask, Observations
from rl_discrete.envs.make import check_discrete, make_env
from rl_discrete.envs.steady import SteadyEnv
from rl_discrete.runs.checkpoint import Checkpoint
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.metrics import MetricLog
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.learner import LearnerState, WorldModelLearner, begin_learner, restore_learner

_LEAST_BYTES = 2**20


def build_envs(config: SimpleConfig) -> EpisodeEnvs:
    """The parallel real envs of a run.

    Raises:
        UsageError: no such env, or one whose actions are not discrete.
    """
    envs = EpisodeEnvs(partial(_make, config), config.num_envs, config.seed)
    check_discrete(envs.envs[0])
    return envs


def open_run(
    config: SimpleConfig,
    envs: EpisodeEnvs,
    folder: Path,
    checkpoint: Checkpoint | None,
    log: MetricLog,
    warn: Callable[[str], None],
) -> SimpleRun:
    """The run in `folder`, from a checkpoint, or from the start where that is None.

    Raises:
        RunError: the replay is damaged.
        UsageError: the run whose model is used is gone, or has no model yet.
    """
    run = (
        _begin(config, envs, folder, log, warn)
        if checkpoint is None
        else _resume(config, envs, folder, checkpoint, log, warn)
    )
    warn(run.replay.summary)
    return run


def begin_world(run: SimpleRun) -> WorldModelLearner:
    """A world model that has seen nothing yet, made for what the replay holds."""
    seed = derive_seed(run.config.seed, "world")
    return begin_learner(run.config.world_model, run.replay, run.num_actions, run.config.model, seed)


def restore_world(config: SimpleConfig, checkpoint: Checkpoint, replay: Replay) -> WorldModelLearner:
    """The world model of a checkpoint, which has one."""
    meta = checkpoint.meta
    state = LearnerState(checkpoint.tensors[WORLD], checkpoint.arrays[WORLD], meta["world"])
    seed = derive_seed(config.seed, "world")
    return restore_learner(config.world_model, state, replay, meta["num_actions"], config.model, seed)


def restore_replay(folder: Path, checkpoint: Checkpoint, capacity_bytes: int | None = None) -> Replay:
    """The replay of a run; to be read only, unless it gets a capacity."""
    return Replay.restore(
        folder / "replay",
        checkpoint.meta["replay"],
        checkpoint.arrays["replay"],
        capacity_bytes=capacity_bytes,
        read_only=capacity_bytes is None,
    )


def replay_capacity(config: SimpleConfig, envs: EpisodeEnvs) -> int:
    """Bytes of frames that the replay may hold: no more than the run can fill, since the rows' index is as large."""
    space = envs.observation_space
    frame_bytes = math.prod(space.shape or ()) * np.dtype(space.dtype).itemsize
    most = 2 * (config.real_steps + config.num_envs)  # every episode has a first frame besides
    return min(config.replay_bytes, max(2 * most * frame_bytes, _LEAST_BYTES))


def append_starts(run: SimpleRun, observations: Observations, mask: Mask) -> None:
    """Puts the first observations of the episodes that begin in the envs of `mask` (B,) into the replay."""
    which = np.flatnonzero(mask)
    nothing = np.zeros(len(which), np.int64)
    run.replay.append(observations[which], nothing, nothing, nothing, nothing, np.ones(len(which)), envs=which)
    run.starting = run.starting | mask


def _begin(
    config: SimpleConfig, envs: EpisodeEnvs, folder: Path, log: MetricLog, warn: Callable[[str], None]
) -> SimpleRun:
    if config.world_run is not None:
        return _begin_in_world_of(config, envs, config.world_run, log, warn)
    shape, dtype = envs.observation_space.shape or (), str(envs.observation_space.dtype)
    capacity = replay_capacity(config, envs)
    replay = Replay(folder / "replay", shape, config.frame_stack, config.num_envs, capacity, dtype)
    run = _assemble(config, envs, replay, log)
    append_starts(run, envs.reset_all(), np.ones(config.num_envs, np.bool_))
    return run


def _begin_in_world_of(
    config: SimpleConfig, envs: EpisodeEnvs, other: Path, log: MetricLog, warn: Callable[[str], None]
) -> SimpleRun:
    checkpoint = find_checkpoint(other, (), None, warn)
    if checkpoint.meta.get("world") is None:
        raise UsageError(f"{other} has no world model yet: continue it with --resume")
    checkpoint = find_checkpoint(other, (WORLD, "replay"), checkpoint.path)
    if checkpoint.meta["replay"] is None:
        raise UsageError(f"{other} has no replay of its own: name the run that its model came from")
    run = _assemble(config, envs, restore_replay(other, checkpoint), log)
    run.learner = restore_world(config, checkpoint, run.replay)
    run.agent = run.begin_agent()
    return run


def _resume(
    config: SimpleConfig,
    envs: EpisodeEnvs,
    folder: Path,
    checkpoint: Checkpoint,
    log: MetricLog,
    warn: Callable[[str], None],
) -> SimpleRun:
    meta, arrays = checkpoint.meta, checkpoint.arrays
    if config.world_run is None:
        replay = restore_replay(folder, checkpoint, replay_capacity(config, envs))
    else:
        replay = restore_replay(config.world_run, find_checkpoint(config.world_run, ("replay",), None, warn))
    run = _assemble(config, envs, replay, log)
    if meta["world"] is not None:
        run.learner = restore_world(config, checkpoint, replay)
    run.explorer.load_state(meta["explorer"], {name: arrays["acting"][name] for name in ("held", "left")})
    run.starting = arrays["acting"]["starting"]
    remembered = sorted(name for name in arrays["acting"] if name.startswith("memory_"))
    run.memory = tuple(arrays["acting"][name] for name in remembered) or None
    run.lines, run.fits, run.trainings, run.blocks = (meta[name] for name in ("lines", "fits", "trainings", "blocks"))
    run.before = meta["before"]
    run.earned, run.imagined, run.iterations = Window(meta["earned"]), meta["imagined"], meta["iterations"]
    run.seconds = dict(meta["seconds"])
    if config.world_run is None:
        observations, restarted = envs.restore(arrays["envs"], warn=warn)
        run.curve.load_state(meta["curve"], arrays["running"], restarted)
        run.committed = {**earlier_commits(folder, checkpoint), checkpoint.step: meta["replay"]}
        if restarted.any():
            append_starts(run, observations, restarted)
    run.contest = Contest.restore(checkpoint.tensors, meta["contest"])
    if meta["agent"] is not None:
        run.agent = run.begin_agent()
        run.agent.load_parts(checkpoint.tensors, arrays, meta["agent"])
    load_randomness(arrays["randomness"])  # last of all: whatever came before drew from it
    return run


def _assemble(config: SimpleConfig, envs: EpisodeEnvs, replay: Replay, log: MetricLog) -> SimpleRun:
    num_actions = check_discrete(envs.envs[0])
    explorer = Explorer(config.num_envs, num_actions, config.seed)
    run = SimpleRun(config, envs, num_actions, replay, explorer, log)
    run.starting = np.zeros(config.num_envs, np.bool_)
    return run


def _make(config: SimpleConfig) -> AnyEnv:
    env = make_env(config.env, **config.env_kwargs)
    try:
        return SteadyEnv(env)
    except BaseException:
        env.close()
        raise
