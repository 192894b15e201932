"""How a VaST run begins, and how it goes on, bit for bit, from its newest checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from rl_discrete.agents.config import Change, VastConfig
from rl_discrete.agents.exploration import Exploration
from rl_discrete.agents.learner import Learner
from rl_discrete.agents.probes import Probes
from rl_discrete.agents.run_checkpoint import earlier_commits
from rl_discrete.agents.tabulation import Tabulation
from rl_discrete.agents.vast_run import LEARNER, WEIGHTS, VastRun, append_starts
from rl_discrete.agents.window import Window
from rl_discrete.data.replay import Replay
from rl_discrete.encoders.base import Encoder, build_encoder
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.make import check_discrete, make_env
from rl_discrete.runs.checkpoint import Checkpoint, load_checkpoint
from rl_discrete.runs.seeding import derive_seed


def build_envs(config: VastConfig) -> EpisodeEnvs:
    """The parallel envs of a run.

    Raises:
        UsageError: no such env, or one whose actions are not discrete.
    """
    envs = EpisodeEnvs(partial(make_env, config.env, **config.env_kwargs), config.num_envs, config.seed)
    check_discrete(envs.envs[0])
    return envs


def build_run_encoder(config: VastConfig, shape: tuple[int, ...], num_actions: int) -> Encoder:
    """The encoder of a run, with fresh weights, for frames of a shape (C, H, W) or (D,)."""
    stacked = (shape[0] * config.frame_stack, *shape[1:])
    seed = derive_seed(config.seed, "encoder")
    return build_encoder(config.encoder, stacked, num_actions, config.model, seed, config.frame_stack)


def open_run(config: VastConfig, envs: EpisodeEnvs, folder: Path, log: Callable[[str], None]) -> VastRun:
    """The run in `folder`, from its newest good checkpoint, or from the start where there is none.

    Raises:
        RunError: its checkpoints or its replay are damaged.
    """
    checkpoint = load_checkpoint(folder / "checkpoints", warn=log)
    run = _begin(config, envs, folder, log) if checkpoint is None else _resume(config, envs, folder, checkpoint, log)
    log(run.replay.summary)
    return run


def _begin(config: VastConfig, envs: EpisodeEnvs, folder: Path, log: Callable[[str], None]) -> VastRun:
    shape, dtype = envs.observation_space.shape or (), envs.observation_space.dtype
    encoder = build_run_encoder(config, shape, check_discrete(envs.envs[0]))
    replay = Replay(folder / "replay", shape, config.frame_stack, config.num_envs, config.replay_bytes, str(dtype))
    run = _assemble(config, envs, replay, encoder, log)
    append_starts(run, envs.reset_all(), np.ones(config.num_envs, np.bool_))
    return run


def _resume(
    config: VastConfig, envs: EpisodeEnvs, folder: Path, checkpoint: Checkpoint, log: Callable[[str], None]
) -> VastRun:
    meta, tensors, arrays = checkpoint.meta, checkpoint.tensors, checkpoint.arrays
    encoder = build_run_encoder(config, tuple(meta["observation_shape"]), meta["num_actions"])
    replay = Replay.restore(folder / "replay", meta["replay"], arrays["replay"], capacity_bytes=config.replay_bytes)
    run = _assemble(config, envs, replay, encoder, log)
    run.acting.load_state(tensors[WEIGHTS])
    if LEARNER in tensors:
        encoder.load_state(tensors[LEARNER])
    run.tabulation.load_state(arrays)
    run.exploration.load_state(meta["exploration"])
    run.sampling.bit_generator.state = meta["sampling"]
    run.learner.updates = meta["updates"]
    run.step, run.relabels, run.changed = checkpoint.step, meta["relabels"], list(meta["changed"])
    run.forced_episode, run.reassigned = meta["forced_episode"], dict(meta["reassigned"])
    run.window, run.seconds = Window(meta["window"]), dict(meta["seconds"])
    run.returns, run.lengths = arrays["running"]["returns"], arrays["running"]["lengths"]
    if "probes" in arrays:
        run.probes = Probes(**arrays["probes"])
    run.committed = [*earlier_commits(folder, checkpoint).values(), meta["replay"]]
    run.resumed_at = checkpoint.step
    for text in run.changed:
        envs.call(Change.parse(text).name)
    if run.forced_episode == arrays["envs"]["episodes"][0] >= 0:
        envs.envs[0].get_wrapper_attr("schedule_forced_run")()
    observations, restarted = envs.restore(arrays["envs"], warn=log)
    if restarted.any():
        append_starts(run, observations, restarted)
    return run


def _assemble(
    config: VastConfig, envs: EpisodeEnvs, replay: Replay, encoder: Encoder, log: Callable[[str], None]
) -> VastRun:
    num_actions = check_discrete(envs.envs[0])
    snapshot = encoder.trainable and config.relabel == "snapshot"
    return VastRun(
        config=config,
        envs=envs,
        replay=replay,
        learner=Learner(encoder, background=snapshot and config.training.background),
        acting=encoder.frozen_copy() if snapshot else encoder,
        tabulation=Tabulation(replay, num_actions, encoder.key_words, config.planner, log),
        exploration=Exploration(config.exploration, config.burn_in, num_actions, config.seed),
        sampling=np.random.default_rng(derive_seed(config.seed, "sampling")),
        returns=np.zeros(config.num_envs),
        lengths=np.zeros(config.num_envs, np.int64),
    )
