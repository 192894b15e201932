"""The whole state of a baseline between two rollouts: how it begins, is saved, and goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rl_discrete.agents.baseline_agents import BaselineAgent, DQNAgent, PPOAgent, RandomAgent
from rl_discrete.agents.baseline_config import BaselineConfig
from rl_discrete.agents.global_randomness import load_randomness, randomness_state
from rl_discrete.agents.sb3_networks import Algorithm, PolicySpec, is_finite
from rl_discrete.agents.sb3_state import POLICY
from rl_discrete.agents.training_curve import TrainingCurve
from rl_discrete.data.layout import ReplayLayout
from rl_discrete.data.replay import Replay
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episode_vector import EpisodeVectorEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.frame_stack import FrameStack
from rl_discrete.envs.make import check_discrete, make_env
from rl_discrete.envs.sb3 import VectorEnvToVecEnv
from rl_discrete.runs.checkpoint import Checkpoint, save_checkpoint
from rl_discrete.runs.errors import RunError


@dataclass
class BaselineRun:
    """A run between two rollouts; everything in it is in its checkpoints."""

    config: BaselineConfig
    spec: PolicySpec | None
    """Of the policy; None for chance."""
    envs: EpisodeEnvs
    agent: BaselineAgent
    curve: TrainingCurve
    seconds: float = 0.0
    """Wall time of earlier parts of the run."""
    begin: float = field(default_factory=time.monotonic)

    @property
    def step(self) -> int:
        """Env steps so far, over all envs."""
        return self.curve.step

    @property
    def total_seconds(self) -> float:
        """Wall time so far, over resumes."""
        return self.seconds + time.monotonic() - self.begin

    def advance(self) -> None:
        """One rollout with its update.

        Raises:
            RunError: a loss is not finite.
        """
        losses = self.agent.advance()
        for name, value in losses.items():
            if not math.isfinite(value):
                raise RunError(
                    f"the loss {name} became {value} by step {self.step}; the last checkpoint is kept: lower the "
                    "learning rate"
                )
        if losses:
            self.curve.add_losses(losses)

    def save(self, folder: Path) -> None:
        """Saves a checkpoint.

        Raises:
            RunError: a weight is not finite (nothing is saved), or the disk is full.
        """
        parts = self.agent.parts()
        if not is_finite(parts.tensors.get(POLICY, {})):
            raise RunError(f"a weight is not finite at step {self.step}; the last good checkpoint is kept")
        curve, running = self.curve.state()
        arrays = {**parts.arrays, "envs": self.envs.state(), "running": running, "randomness": randomness_state()}
        spec = None if self.spec is None else self.spec.to_json()
        meta = {"agent": parts.meta, "curve": curve, "spec": spec, "seconds": self.total_seconds}
        save_checkpoint(
            folder / "checkpoints", self.step, tensors=parts.tensors, arrays=arrays, meta=meta, older_parts=(POLICY,)
        )
        self.agent.release()

    def restore(self, checkpoint: Checkpoint, warn: Callable[[str], None]) -> None:
        """Goes on from a checkpoint."""
        observations, restarted = self.envs.restore(checkpoint.arrays["envs"], warn=warn)
        self.agent.restore(checkpoint, observations, restarted)
        self.curve.load_state(checkpoint.meta["curve"], checkpoint.arrays["running"], restarted)
        self.seconds = checkpoint.meta["seconds"]
        load_randomness(checkpoint.arrays["randomness"])  # last of all: whatever came before drew from it


def build_envs(config: BaselineConfig) -> EpisodeEnvs:
    """The parallel envs of a run.

    Raises:
        UsageError: no such env, or one whose actions are not discrete.
    """
    envs = EpisodeEnvs(partial(_make_stacked, config), config.num_envs, config.seed)
    check_discrete(envs.envs[0])
    return envs


def describe_policy(agent: str, config: BaselineConfig, envs: EpisodeEnvs) -> PolicySpec | None:
    """What the policy is, once all that could not work has been found; None for chance.

    Raises:
        UsageError: network, replay and env do not fit together.
    """
    stacked = envs.observation_space.shape or ()
    shape = (stacked[0] // config.frame_stack, *stacked[1:])
    actions = check_discrete(envs.envs[0])
    if agent == "dqn":
        ReplayLayout.choose(
            shape, str(envs.observation_space.dtype), config.frame_stack, config.num_envs, config.dqn.replay_bytes
        )
    if agent == "random":
        return None
    algorithm: Algorithm = "ppo" if agent == "ppo" else "dqn"
    return PolicySpec.choose(algorithm, config.network, config.hidden, shape, config.frame_stack, actions)


def open_run(
    agent: str,
    config: BaselineConfig,
    envs: EpisodeEnvs,
    folder: Path,
    checkpoint: Checkpoint | None,
    log: Callable[[int, dict[str, float]], None],
    warn: Callable[[str], None],
) -> BaselineRun:
    """The run in `folder`, from a checkpoint, or from the start where that is None."""
    curve = TrainingCurve(config.num_envs, config.window, log)
    spec = describe_policy(agent, config, envs)
    run = BaselineRun(config, spec, envs, _build_agent(agent, config, spec, envs, curve, folder, checkpoint), curve)
    if checkpoint is not None:
        run.restore(checkpoint, warn)
    if isinstance(run.agent, DQNAgent):
        warn(run.agent.buffer.replay.summary)
    return run


def _build_agent(
    agent: str,
    config: BaselineConfig,
    spec: PolicySpec | None,
    envs: EpisodeEnvs,
    curve: TrainingCurve,
    folder: Path,
    checkpoint: Checkpoint | None,
) -> BaselineAgent:
    venv = VectorEnvToVecEnv(EpisodeVectorEnv(envs))
    if spec is None:
        return RandomAgent(check_discrete(envs.envs[0]), venv, curve.add, config.seed)
    if agent == "ppo":
        return PPOAgent(config, spec, venv, curve.add)
    replay_folder, capacity = folder / "replay", config.dqn.replay_bytes
    if checkpoint is None:
        dtype = str(envs.observation_space.dtype)
        replay = Replay(replay_folder, spec.frame_shape, spec.frame_stack, config.num_envs, capacity, dtype)
    else:
        meta, arrays = checkpoint.meta["agent"]["buffer"]["replay"], checkpoint.arrays["replay"]
        replay = Replay.restore(replay_folder, meta, arrays, capacity_bytes=capacity)
    return DQNAgent(config, spec, venv, curve.add, replay)


def _make_stacked(config: BaselineConfig) -> AnyEnv:
    env = make_env(config.env, **config.env_kwargs)
    try:
        return FrameStack(env, config.frame_stack)
    except BaseException:
        env.close()
        raise
