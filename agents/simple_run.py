"""The whole state of a SimPLe run at one of its named boundaries, and what a checkpoint says of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from rl_discrete.agents.collecting import Explorer
from rl_discrete.agents.contest import Contest
from rl_discrete.agents.global_randomness import randomness_state
from rl_discrete.agents.model_agent import ModelAgent
from rl_discrete.agents.sb3_networks import is_finite
from rl_discrete.agents.sb3_state import POLICY, Mask
from rl_discrete.agents.simple_config import SimpleConfig
from rl_discrete.agents.training_curve import TrainingCurve
from rl_discrete.agents.window import Window
from rl_discrete.data.replay import Replay
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.model import WorldModelVectorEnv
from rl_discrete.envs.sb3 import VectorEnvToVecEnv
from rl_discrete.runs.checkpoint import save_checkpoint
from rl_discrete.runs.errors import RunError
from rl_discrete.runs.metrics import MetricLog
from rl_discrete.runs.seeding import derive_seed
from rl_discrete.world_models.learner import WorldModelLearner
from rl_discrete.world_models.starts import ReplayStarts

WORLD = "world"
"""Part of a checkpoint: the world model and whatever its next fit depends on."""


@dataclass
class SimpleRun:
    """A run between two steps of its loop; everything in it is in its checkpoints. Made by `simple_start.open_run`."""

    config: SimpleConfig
    envs: EpisodeEnvs
    num_actions: int
    replay: Replay
    explorer: Explorer
    log: MetricLog
    lines: int = 0
    """Lines of metrics so far: of two checkpoints at the same real step, each knows which of them it had seen."""
    learner: WorldModelLearner | None = None
    """The world model; None before its first fit."""
    agent: ModelAgent | None = None
    """None before the first fit: the model decides what it sees."""
    before: int = 0
    """Imagined steps of the agents before this one."""
    memory: tuple[NDArray[Any], ...] | None = None
    """What a recurrent agent remembers of the running real episodes."""
    starting: Mask = field(default_factory=lambda: np.ones(0, np.bool_))
    """(B,) real envs whose next step is the first of an episode."""
    fits: int = 0
    """Fits of the world model so far."""
    trainings: int = 0
    """Trainings of the agent that are finished."""
    blocks: int = 0
    """Blocks of the running training that are done."""
    earned: Window = field(default_factory=Window)
    """Steps and signs of rewards in the running collection, in the real env."""
    imagined: list[dict[str, float]] = field(default_factory=list)
    """Steps, rewards and their signs in imagination, block by block, of the newest agent."""
    contest: Contest = field(default_factory=Contest)
    """The agents of the running training that have finished."""
    iterations: list[dict[str, Any]] = field(default_factory=list)
    """What each iteration measured."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by phase, over resumes."""
    committed: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the replay committed for the checkpoints from which the run can go on, by their steps."""
    rates: Window = field(default_factory=Window)
    """Of the running block."""

    def __post_init__(self) -> None:
        self.curve = TrainingCurve(self.config.num_envs, self.config.window, self.log_line)

    @property
    def real_steps(self) -> int:
        """Steps in the real env so far, over all of them."""
        return self.curve.step

    @property
    def imagined_steps(self) -> int:
        """Imagined steps so far."""
        return self.before + (0 if self.agent is None else self.agent.steps)

    @property
    def step(self) -> int:
        """What checkpoints and metrics are counted by: real steps; imagined ones in a run without real ones."""
        return self.real_steps if self.config.real_steps else self.imagined_steps

    @property
    def exploring(self) -> Mask:
        """(B,) the envs in which chance has a part in what is done: all of them, as long as there is no agent."""
        envs = np.arange(self.config.num_envs)
        return envs < math.ceil(self.config.collection.exploring_share * len(envs)) if self.agent else envs >= 0

    @property
    def renews_agents(self) -> bool:
        """Whether each training begins with an agent of fresh weights: never where the model stays as it is."""
        return self.config.schedule.fresh_agents and self.config.world_run is None

    @property
    def num_agents(self) -> int:
        """Agents of the running training."""
        last = self.trainings == self.config.schedule.iterations - 1
        return self.config.schedule.last_agents if last and self.renews_agents else 1

    def log_line(self, step: int, values: dict[str, float]) -> None:
        """Writes one line of metrics."""
        self.log.scalars(step, values)
        self.lines += 1

    def add_imagined(self, rewards: NDArray[np.floating[Any]], terminated: Mask, truncated: Mask) -> None:
        """Counts a step of the model envs, (B,) each."""
        counts = count_signs(np.asarray(rewards))
        self.rates.add(**counts, reward=float(np.sum(rewards)), ends=np.count_nonzero(terminated))

    def begin_agent(self) -> ModelAgent:
        """An agent with fresh weights for the world model."""
        config = self.config
        arguments = config.policy.arguments.get(config.algo, {})
        seed = derive_seed(config.seed, "agent", self.trainings, len(self.contest))
        total = total_imagined(config)
        if self.renews_agents:
            total = blocks_of(config, self.trainings) * config.schedule.block_steps
        return ModelAgent(
            config.algo, self.model_envs(), config.policy.hidden, arguments, total, self.add_imagined, seed
        )

    def renew_agent(self) -> None:
        """Puts an agent with fresh weights in place of the one there is."""
        assert self.agent is not None
        self.before += self.agent.steps
        self.agent = self.begin_agent()

    def model_envs(self) -> VectorEnvToVecEnv:
        """Envs of the newest world model, which start where the real ones have been.

        Raises:
            UsageError: more of them than memory holds; it says how many there can be.
        """
        assert self.learner is not None
        model, imagination = self.learner.model, self.config.imagination
        histories = self.learner.histories(self.replay)
        starts = ReplayStarts(self.replay, model.history_length, imagination.half_life, histories=histories)
        return VectorEnvToVecEnv(
            WorldModelVectorEnv(
                model, starts, imagination.num_envs, imagination.horizon, autoreset_mode=AutoresetMode.SAME_STEP
            )
        )

    def save(self, folder: Path) -> None:
        """Saves a checkpoint, after which frames that none of the last two needs are deleted.

        Raises:
            RunError: a weight is not finite (nothing is saved), or the disk is full.
        """
        begin = time.perf_counter()
        explorer, acting = self.explorer.state()
        acting["starting"] = self.starting
        acting |= {f"memory_{index}": value for index, value in enumerate(self.memory or ())}
        curve, running = self.curve.state()
        arrays: dict[str, dict[str, NDArray[Any]]] = {"acting": acting, "running": running}
        arrays |= {"envs": self.envs.state(), "randomness": randomness_state()}
        tensors, world, agent = {}, None, None
        if self.learner is not None:
            state = self.learner.state()
            tensors[WORLD], arrays[WORLD], world = state.tensors, state.arrays, state.meta
        if self.agent is not None:
            parts = self.agent.parts()
            tensors |= parts.tensors
            arrays |= parts.arrays
            agent = {**parts.meta, "spec": self.agent.spec.to_json()}
        finished, contest = self.contest.state()
        tensors |= finished
        for name, named in tensors.items():
            if name in (WORLD, POLICY) and not is_finite(named):
                raise RunError(
                    f"a weight of the {name} is not finite at step {self.step}; the last good checkpoint is kept: "
                    "lower its learning rate"
                )
        replay = None
        if self.config.world_run is None:
            replay, arrays["replay"] = self.replay.commit(), self.replay.state()
        meta = {
            "replay": replay,
            "world": world,
            "agent": agent,
            "explorer": explorer,
            "curve": curve,
            "lines": self.lines,
            "fits": self.fits,
            "trainings": self.trainings,
            "blocks": self.blocks,
            "contest": contest,
            "before": self.before,
            "earned": self.earned.totals,
            "imagined": self.imagined,
            "iterations": self.iterations,
            "num_actions": self.num_actions,
            "seconds": self.seconds,
        }
        save_checkpoint(
            folder / "checkpoints", self.step, tensors=tensors, arrays=arrays, meta=meta, older_parts=(POLICY, WORLD)
        )
        if replay is not None:
            self.committed[self.step] = replay
            self.committed = dict(sorted(self.committed.items())[-2:])
            self.replay.release(self.committed.values())
        self.seconds["save"] = self.seconds.get("save", 0.0) + time.perf_counter() - begin


def total_imagined(config: SimpleConfig) -> int:
    """Imagined steps of one agent that goes on through all trainings, before they are rounded up to blocks."""
    return sum(_wanted_steps(config, training) for training in range(config.schedule.iterations))


def blocks_of(config: SimpleConfig, training: int) -> int:
    """Blocks of each agent of one training, counted from 0."""
    return -(-_wanted_steps(config, training) // config.schedule.block_steps)


def _wanted_steps(config: SimpleConfig, training: int) -> int:
    schedule = config.schedule
    factor = schedule.last_imagined_factor if training == schedule.iterations - 1 else 1.0
    return max(1, round(factor * schedule.imagined_steps))


def count_signs(rewards: NDArray[Any]) -> dict[str, int]:
    """How many of the rewards (B,) are there, are positive, are negative."""
    return {
        "steps": len(rewards),
        "plus": int(np.count_nonzero(rewards > 0)),
        "minus": int(np.count_nonzero(rewards < 0)),
    }


def rates_of(counts: list[dict[str, float]]) -> dict[str, float]:
    """Positive and negative rewards per 1000 steps; nan without steps."""
    steps = sum(count["steps"] for count in counts)
    return {
        f"{sign}_per_1000": 1000.0 * sum(count[sign] for count in counts) / steps if steps else math.nan
        for sign in ("plus", "minus")
    }


def describe_rates(rates: dict[str, float]) -> str:
    """A few words for the progress bar."""
    return f"+{rates['plus_per_1000']:.2f} and -{rates['minus_per_1000']:.2f} per 1000"
