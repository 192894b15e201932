"""Fresh real episodes, written down frame by frame: what a world model is held against, and filmed beside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.evaluation import Policy, State
from rl_discrete.data.history import History
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import derive_seed


@dataclass(frozen=True, eq=False)
class RealPlay:
    """M frames of real episodes, one episode after the other; the last ones may be unfinished."""

    frames: NDArray[Any]
    """(M, *frame_shape), as the real env shows them."""
    actions: NDArray[np.int64]
    """(M,) the action that led to each frame; 0 at an episode's first."""
    rewards: NDArray[np.float64]
    """(M,) the reward that came with it; 0 at an episode's first."""
    terminated: NDArray[np.bool_]
    """(M,) whether the MDP ended with it."""
    episodes: NDArray[np.int64]
    """(M,) the number of its episode, rising."""
    states: NDArray[Any] | None = None
    """(M, ...) what `diagnostic_state` said there; None if the env has none. For eyes and diagnostics only."""

    def __len__(self) -> int:
        return len(self.actions)

    def history(self, rows: NDArray[np.int64], length: int) -> History:
        """What a world model is told of the `length` frames up to each of `rows` (N,)."""
        places = rows[:, None] + np.arange(1 - length, 1)  # (N, T)
        before, places = places < 0, np.maximum(places, 0)
        valid = ~before & (self.episodes[places] == self.episodes[rows][:, None])
        frames, actions = self.frames[places], self.actions[places]
        frames[~valid], actions[~valid] = 0, 0
        return History(frames, actions, valid)

    def inside(self, rows: NDArray[np.int64], steps: int) -> NDArray[np.bool_]:
        """(N,) whether the episode of each of `rows` (N,) goes on for `steps` more frames here."""
        later = np.minimum(rows + steps, len(self) - 1)
        return np.asarray((rows + steps < len(self)) & (self.episodes[later] == self.episodes[rows]))


def as_pictures(frames: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Real frames uint8 (N, 1 or 3, H, W) as pictures (N, H, W, 3); None where they are no images."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1] not in (1, 3):
        return None
    return np.repeat(frames.transpose(0, 2, 3, 1), 3 // frames.shape[1], axis=3)


def record_play(
    policy: Policy,
    make_env: Callable[[], AnyEnv],
    steps: int,
    *,
    seed: int,
    num_envs: int = 4,
    max_steps: int = 1000,
    report: Callable[[int], None] | None = None,
) -> RealPlay:
    """Lets a policy act in the real env as it acts (its chance included) and writes everything down.

    Episodes start from seeds in a stream of their own, which neither training nor evaluation draws from. Without end,
    an episode is cut after `max_steps`.

    Args:
        policy: acts.
        make_env: makes a real env; called `num_envs` times, and all of them are closed.
        steps: env steps over all envs, >= 1; rounded up to whole steps of all of them.
        seed: of the episodes, >= 0.
        num_envs: envs stepped side by side, >= 1.
        max_steps: steps after which an episode is cut, >= 1.
        report: called with the steps made so far.

    Raises:
        UsageError: a number outside its range.
        RunError: a reward is not finite.
    """
    for name, value in (("steps", steps), ("num_envs", num_envs), ("max_steps", max_steps)):
        if value < 1:
            raise UsageError(f"{name} must be >= 1, got {value}")
    finished: list[_Episode] = []
    with closing(EpisodeEnvs(make_env, num_envs, derive_seed(seed, "real play"))) as envs:
        observations = envs.reset_all()
        state: State = None
        running = [_Episode(frame, _state_of(env)) for frame, env in zip(observations, envs.envs, strict=True)]
        starts = np.ones(num_envs, np.bool_)
        for made in range(num_envs, steps + num_envs, num_envs):
            actions, state = policy.predict(observations, state, starts)
            result = envs.step(actions)
            if not np.isfinite(result.rewards).all():
                raise RunError(f"the env gave a reward that is not finite ({result.rewards}): mend the env")
            starts = result.ended.copy()
            for index, episode in enumerate(running):
                episode.add(
                    result.observations[index],
                    actions[index],
                    result.rewards[index],
                    result.terminated[index],
                    _state_of(envs.envs[index]),
                )
                starts[index] |= len(episode.frames) > max_steps
            observations = result.observations
            if starts.any():
                observations = envs.begin(starts)
                for index in np.flatnonzero(starts).tolist():
                    finished.append(running[index])
                    running[index] = _Episode(observations[index], _state_of(envs.envs[index]))
            if report is not None:
                report(min(made, steps))
    return _joined([*finished, *(episode for episode in running if len(episode.frames) > 1)])


class _Episode:
    """One episode under way, from its first frame on."""

    def __init__(self, frame: NDArray[Any], state: NDArray[Any] | None) -> None:
        self.frames, self.states = [frame.copy()], [state]
        self.actions, self.rewards, self.terminated = [0], [0.0], [False]

    def add(
        self, frame: NDArray[Any], action: Any, reward: float, terminated: bool, state: NDArray[Any] | None
    ) -> None:
        self.frames.append(frame.copy())
        self.states.append(state)
        self.actions.append(int(action))
        self.rewards.append(float(reward))
        self.terminated.append(bool(terminated))


def _joined(episodes: list[_Episode]) -> RealPlay:
    lengths = [len(episode.frames) for episode in episodes]
    states = [state for episode in episodes for state in episode.states if state is not None]
    return RealPlay(
        frames=np.concatenate([np.stack(episode.frames) for episode in episodes]),
        actions=np.concatenate([np.array(episode.actions, np.int64) for episode in episodes]),
        rewards=np.concatenate([np.array(episode.rewards, np.float64) for episode in episodes]),
        terminated=np.concatenate([np.array(episode.terminated, np.bool_) for episode in episodes]),
        episodes=np.repeat(np.arange(len(episodes)), lengths),
        states=np.stack(states) if states else None,
    )


def _state_of(env: AnyEnv) -> NDArray[Any] | None:
    """A copy of what the env's `diagnostic_state` says; None where it has none."""
    try:
        state = env.get_wrapper_attr("diagnostic_state")
    except AttributeError:
        return None
    return np.array(state())
