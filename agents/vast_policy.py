"""The agent of a finished (or stopped) VaST run: encoder and table frozen, ready to act."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.config import VastConfig
from rl_discrete.agents.exploration import best_actions
from rl_discrete.agents.run_checkpoint import find_checkpoint
from rl_discrete.agents.tabulation import build_lookup, load_planner
from rl_discrete.agents.vast_run import TABLE, WEIGHTS
from rl_discrete.agents.vast_start import build_run_encoder
from rl_discrete.encoders.base import Encoder
from rl_discrete.mdp.lookup import ReadablePlanner
from rl_discrete.runs.checkpoint import Checkpoint
from rl_discrete.runs.config import from_mapping, read_yaml
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed

PARTS = (WEIGHTS, TABLE)
"""Parts of a checkpoint that an agent needs to act."""


class VastPolicy:
    """Acts on the values of a frozen table, with the Hamming fallback; has the `predict` of Stable-Baselines3.

    A frozen table can send the agent round in circles where codes merge several places, so that a small `epsilon`
    does better than none; so does `planner.lookup_penalty` where actions never tried promise more than what was tried.

    Attributes:
        config: of the run.
        encoder: frames -> keys.
        planner: values, of a run's own planner or of any table with the same keys (`SolvedTable`, for another reward).
    """

    def __init__(
        self,
        config: VastConfig,
        encoder: Encoder,
        planner: ReadablePlanner,
        num_actions: int,
        epsilon: float = 0.05,
        seed: int = 0,
    ) -> None:
        if not 0.0 <= epsilon <= 1.0:
            raise UsageError(f"epsilon must be in [0, 1], got {epsilon}")
        self.config, self.encoder, self.planner = config, encoder, planner
        self._lookup = build_lookup(planner, config.planner)
        self._num_actions, self._epsilon = num_actions, epsilon
        self._generator = np.random.default_rng(derive_seed(seed, "policy"))

    def predict(
        self,
        observation: NDArray[Any],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """Actions for a batch of envs.

        Args:
            observation: newest frames (B, C, H, W) or vectors (B, D), or those of a single env without B.
            state: what the last call returned: the frames before, where observations are stacks. None at first.
            episode_start: (B,) where an episode starts, so that older frames do not count.
            deterministic: never act at random. Ties are broken at random all the same.

        Returns:
            Actions int64 (B,), or () for a single env, and the state for the next call.
        """
        values, following = self.values(observation, state, episode_start)
        actions = best_actions(values, self._generator)
        if not deterministic:
            random = self._generator.random(len(actions)) < self._epsilon
            actions = np.where(random, self._generator.integers(self._num_actions, size=len(actions)), actions)
        single = np.ndim(observation) in (1, 3)
        return (actions[0] if single else actions), following

    def values(
        self,
        observation: NDArray[Any],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float64], tuple[NDArray[Any], ...] | None]:
        """Action values (B, A) and the state for the next call; arguments as for `predict`."""
        frames = np.asarray(observation)
        frames = frames[None] if frames.ndim in (1, 3) else frames
        stack, following = self._stack(frames, state, episode_start)
        return self._lookup.q_values(self.encoder.encode(stack)).q, following

    def _stack(
        self, frames: NDArray[Any], state: tuple[NDArray[Any], ...] | None, episode_start: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Observations, newest frame first, with zeros before an episode's start."""
        depth, channels = self.config.frame_stack, frames.shape[1]
        if depth == 1:
            return frames, None
        before = np.zeros_like(np.concatenate([frames] * (depth - 1), axis=1)) if state is None else state[0].copy()
        if episode_start is not None:
            before[np.asarray(episode_start, np.bool_)] = 0
        stack = np.concatenate([frames, before], axis=1)
        return stack, (stack[:, :-channels],)


def load_policy(
    run: Path,
    checkpoint: Path | None = None,
    epsilon: float = 0.05,
    seed: int = 0,
    warn: Callable[[str], None] = print,
) -> VastPolicy:
    """The agent of a run of `rl-discrete train --agent vast`.

    Args:
        run: the run folder.
        checkpoint: one of its checkpoints, older ones too; None for the newest that is good.
        epsilon: probability of a random action.
        seed: of random actions and ties.
        warn: receives a line where the newest checkpoint is damaged.

    Raises:
        UsageError: the folder holds no such run, or it has no checkpoint yet.
        RunError: its checkpoints are damaged.
    """
    config = load_config(run)
    return restore_policy(config, find_checkpoint(run, PARTS, checkpoint, warn), epsilon, seed)


def restore_policy(
    config: VastConfig,
    checkpoint: Checkpoint,
    epsilon: float = 0.05,
    seed: int = 0,
    planner: ReadablePlanner | None = None,
) -> VastPolicy:
    """The agent of a checkpoint that holds `PARTS`; see `load_policy`.

    Args:
        config: of the run.
        checkpoint: one of its checkpoints.
        epsilon, seed: see `load_policy`.
        planner: acts on these values in place of the checkpoint's own.
    """
    meta = checkpoint.meta
    encoder = build_run_encoder(config, tuple(meta["observation_shape"]), meta["num_actions"])
    if encoder.trainable and config.relabel == "snapshot":
        encoder = encoder.frozen_copy()
    encoder.load_state(checkpoint.tensors[WEIGHTS])
    values = planner if planner is not None else load_planner(checkpoint.arrays[TABLE])
    return VastPolicy(config, encoder, values, meta["num_actions"], epsilon, seed)


def load_config(run: Path) -> VastConfig:
    """The configuration of a run of `rl-discrete train --agent vast`.

    Raises:
        UsageError: the folder holds no such run.
    """
    settings = read_yaml(run / "config.yaml")
    agent = settings.pop("agent", None)
    if agent != "vast":
        raise UsageError(f"{run} holds a run of {agent or 'another command'}, not of train --agent vast")
    settings.pop("profile", None)
    return from_mapping(VastConfig, settings, str(run / "config.yaml"))
