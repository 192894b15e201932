"""A batch of single environments whose episodes can be replayed: what makes a run resumable without saving an env.

Every episode starts from a seed of its own, so that an episode is its seed and its actions. A checkpoint keeps the
index of the running episode and its actions; resuming replays them and compares a checksum of everything that the
environment returned.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rl_discrete.envs.chw import AnyEnv
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed

Observations: TypeAlias = npt.NDArray[Any]  # (B, ...), of the observation space's dtype
Mask: TypeAlias = npt.NDArray[np.bool_]
MAX_SEED = 2**31  # environments written in C take no more


@dataclass(frozen=True)
class StepResult:
    """What a step of B environments returned. Nothing is reset: `observations` are the true successors."""

    observations: Observations
    """(B, ...)"""
    rewards: npt.NDArray[np.float64]
    """(B,)"""
    terminated: Mask
    """(B,): the end of the MDP."""
    truncated: Mask
    """(B,): a cut."""
    infos: list[dict[str, Any]]
    """One of each environment."""

    @property
    def ended(self) -> Mask:
        """(B,): environments that need `EpisodeEnvs.begin` before their next step."""
        return self.terminated | self.truncated


class EpisodeEnvs:
    """B single environments, stepped one after the other in this process; no environment resets itself.

    Call `reset_all`, or `begin` with every environment, before the first step.

    Args:
        make: makes one environment; called B times.
        num_envs: B.
        seed: of the run. Episode `e` of environment `i` starts from a seed derived from (seed, i, e).

    Raises:
        UsageError: `num_envs` < 1, or environments that differ in their spaces.
    """

    def __init__(self, make: Callable[[], AnyEnv], num_envs: int, seed: int) -> None:
        if num_envs < 1:
            raise UsageError(f"num_envs must be >= 1, got {num_envs}")
        self.num_envs = num_envs
        self.seed = seed
        self.envs: list[AnyEnv] = []
        try:
            self.envs += (make() for _ in range(num_envs))
        except BaseException:
            self.close()
            raise
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        for env in self.envs:
            if (env.observation_space, env.action_space) != (self.observation_space, self.action_space):
                self.close()
                raise UsageError("every environment of a batch must have the same spaces; make them all alike")
        self.episodes = np.full(num_envs, -1, np.int64)
        self.ended = np.ones(num_envs, np.bool_)
        shape = self.observation_space.shape or ()
        self._observations = np.zeros((num_envs, *shape), self.observation_space.dtype)
        self._actions: list[list[Any]] = [[] for _ in range(num_envs)]
        self._checksums = [0] * num_envs

    def reset_all(self) -> Observations:
        """Start the next episode of every environment, running or not; returns the observations (B, ...)."""
        return self.begin(np.ones(self.num_envs, np.bool_))

    def begin(self, mask: npt.ArrayLike) -> Observations:
        """Start the next episode of the environments in `mask`, bool (B,).

        Returns:
            The current observations (B, ...) of all environments: first ones where an episode starts.

        Raises:
            UsageError: a mask of another shape or type.
        """
        chosen = np.asarray(mask)
        if chosen.shape != (self.num_envs,) or chosen.dtype != np.bool_:
            raise UsageError(f"mask must be bool ({self.num_envs},), got {chosen.dtype} {chosen.shape}")
        for index in np.flatnonzero(chosen).tolist():
            self._begin(index, int(self.episodes[index]) + 1)
        return self._observations.copy()

    def step(self, actions: npt.ArrayLike) -> StepResult:
        """One step of every environment.

        Args:
            actions: (B, ...), one of each environment.

        Raises:
            UsageError: a wrong number of actions, or an environment whose episode has ended.
        """
        if self.ended.any():
            raise UsageError(f"environment {self.ended.argmax()} has no running episode: call begin first")
        batch = np.asarray(actions, self.action_space.dtype)
        if batch.shape != (self.num_envs, *(self.action_space.shape or ())):
            raise UsageError(f"actions must hold one of each of the {self.num_envs} environments, got {batch.shape}")
        returned = [self._step(index, batch[index]) for index in range(self.num_envs)]
        rewards, terminated, truncated, infos = zip(*returned, strict=True)
        return StepResult(
            self._observations.copy(),
            np.array(rewards, np.float64),
            np.array(terminated, np.bool_),
            np.array(truncated, np.bool_),
            list(infos),
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The running episodes as arrays for a checkpoint: taken between any two calls, `restore` goes on from it."""
        taken = [action for actions in self._actions for action in actions]
        shape = self.action_space.shape or ()
        return {
            "episodes": self.episodes.copy(),
            "ended": self.ended.copy(),
            "lengths": np.array([len(actions) for actions in self._actions], np.int64),
            "actions": np.array(taken, self.action_space.dtype).reshape(len(taken), *shape),  # of env 0, then 1, ...
            "checksums": np.array(self._checksums, np.int64),
        }

    def restore(
        self, state: Mapping[str, npt.NDArray[Any]], warn: Callable[[str], None] = print
    ) -> tuple[Observations, Mask]:
        """Replay the episodes of a `state`, taken under the same seed.

        An environment that returns something else than it did then does not reproduce itself: it starts its next
        episode.

        Args:
            state: as returned by `state`.
            warn: receives one line that names such environments.

        Returns:
            The current observations (B, ...), and (B,) whether the environment starts a fresh episode: its last
            episode of before then ended as if truncated.

        Raises:
            UsageError: a state of another number of environments.
        """
        if len(state["episodes"]) != self.num_envs:
            raise UsageError(f"the checkpoint holds {len(state['episodes'])} environments, this run {self.num_envs}")
        first = np.concatenate(([0], np.cumsum(state["lengths"])))
        restarted = np.zeros(self.num_envs, np.bool_)
        for index in range(self.num_envs):
            episode = int(state["episodes"][index])
            if episode < 0:  # it had not begun
                self.episodes[index], self.ended[index] = episode, True
                continue
            actions = state["actions"][first[index] : first[index + 1]]
            same = self._replay(index, episode, actions, int(state["checksums"][index]), bool(state["ended"][index]))
            if not same:
                restarted[index] = True
                self._begin(index, episode + 1)
        if restarted.any():
            numbers = ", ".join(str(index) for index in np.flatnonzero(restarted))
            warn(f"environment {numbers} did not repeat its episode from its seed and actions: a fresh one starts")
        return self._observations.copy(), restarted

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """The attribute `name` of every environment, under all of its wrappers, called where it is a method."""
        found = [env.get_wrapper_attr(name) for env in self.envs]
        return [value(*args, **kwargs) if callable(value) else value for value in found]

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()

    def _begin(self, index: int, episode: int) -> None:
        start = derive_seed(self.seed, "episode", index, episode) % MAX_SEED
        self._observations[index], _ = self.envs[index].reset(seed=start)
        self.episodes[index], self.ended[index] = episode, False
        self._actions[index] = []
        self._checksums[index] = zlib.crc32(self._observations[index].tobytes())

    def _step(self, index: int, action: Any) -> tuple[float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.envs[index].step(action)
        self._observations[index] = observation
        self.ended[index] = terminated or truncated
        self._actions[index].append(action)
        outcome = np.array([reward, terminated, truncated], np.float64)
        checksum = zlib.crc32(self._observations[index].tobytes(), self._checksums[index])
        self._checksums[index] = zlib.crc32(outcome.tobytes(), checksum)
        return float(reward), bool(terminated), bool(truncated), info

    def _replay(self, index: int, episode: int, actions: npt.NDArray[Any], checksum: int, ended: bool) -> bool:
        """Whether the environment goes through the episode as it did before."""
        self._begin(index, episode)
        for action in actions:
            if self.ended[index]:
                return False
            self._step(index, action)
        return self._checksums[index] == checksum and bool(self.ended[index]) == ended
