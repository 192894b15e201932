"""The replay buffer of DQN, with its frames on disk: each is stored once, however many observations it is part of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from rl_discrete.data.replay import Replay, TransitionBatch
from rl_discrete.runs.seeding import derive_seed


class DiskBuffer(BaseBuffer):
    """`data.replay.Replay` as Stable-Baselines3 wants it. A cut episode's last observation keeps its value.

    Args:
        replay: holds the frames.
        observation_space: of stacked observations.
        action_space: discrete.
        seed: of the samples.

    Attributes:
        starting: (B,) envs whose next transition is the first of an episode.
    """

    def __init__(self, replay: Replay, observation_space: spaces.Box, action_space: spaces.Discrete, seed: int) -> None:
        super().__init__(replay.layout.max_rows, observation_space, action_space, "cpu", replay.layout.num_envs)
        self.replay = replay
        self._channels = replay.layout.frame_shape[0]
        self.starting = np.ones(self.n_envs, np.bool_)
        self._generator = np.random.default_rng(derive_seed(seed, "sampling"))
        self._committed: list[Mapping[str, Any]] = []

    def size(self) -> int:
        """Rows that are there."""
        return self.replay.next_row - self.replay.first_row

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """One transition of each env: observations (B, ...), the rest (B,)."""
        which = np.flatnonzero(self.starting)
        if len(which):
            nothing = np.zeros(len(which), np.int64)
            frames = np.ascontiguousarray(obs[which, : self._channels])
            self.replay.append(frames, nothing, nothing, nothing, nothing, np.ones(len(which)), envs=which)
        done = np.asarray(done, np.bool_)
        cut = done & [info.get("TimeLimit.truncated", False) for info in infos]
        frames = np.ascontiguousarray(next_obs[:, : self._channels])
        self.replay.append(frames, action.ravel(), reward, done & ~cut, cut, np.zeros(self.n_envs))
        self.starting = done

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """About `batch_size` transitions, uniformly: first observations, to which none leads, are left out."""
        rows, batch = self.replay.sample(batch_size, self._generator)
        while batch.starts.all():
            rows, batch = self.replay.sample(batch_size, self._generator)
        return self._take(rows, batch)

    def _get_samples(self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None) -> ReplayBufferSamples:
        return self._take(batch_inds, self.replay.batch(batch_inds))

    def _take(self, rows: NDArray[np.int64], batch: TransitionBatch) -> ReplayBufferSamples:
        good = ~batch.starts
        arrays = (
            batch.previous[good],
            batch.actions[good, None],
            batch.current[good],
            self.replay.columns(rows[good]).terminated[:, None].astype(np.float32),
            batch.rewards[good, None],
        )
        return ReplayBufferSamples(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))

    def commit(self) -> dict[str, Any]:
        """Put the frames safely on the disk; JSON for a checkpoint, which also keeps `starting` and the replay's state.

        Raises:
            RunError: the disk refused.
        """
        self._committed = [*self._committed[-1:], self.replay.commit()]
        return {"replay": self._committed[-1], "sampling": dict(self._generator.bit_generator.state)}

    def release(self) -> None:
        """Delete the frames that neither of the last two commits needs."""
        self.replay.release(self._committed)

    def load_state(self, meta: Mapping[str, Any], starting: NDArray[np.bool_]) -> None:
        """Go on from what `commit` returned, with the replay restored and `starting` (B,) as it was then."""
        self.starting = starting.copy()
        self._generator.bit_generator.state = meta["sampling"]
        self._committed = [meta["replay"]]
