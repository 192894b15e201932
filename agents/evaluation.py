"""How good is whatever acts: whole episodes in real envs, the same way for every agent."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.video import SUFFIX, write_video
from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import MAX_SEED
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.seeding import derive_seed

End = Literal["terminated", "truncated", "capped"]
State = tuple[NDArray[Any], ...] | None

MAX_VIDEO_FRAMES = 3000
"""Frames of a video; the rest of a longer episode is left out."""
_RESAMPLES = 10_000


class Policy(Protocol):
    """Whatever acts: the `predict` of Stable-Baselines3."""

    def predict(
        self,
        observation: NDArray[Any],
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], State]:
        """Actions (B,) for observations (B, ...), and the state to give back with the next ones.

        Args:
            observation: (B, ...).
            state: what the last call returned; None at first.
            episode_start: (B,) where an episode begins.
            deterministic: take the best action.
        """


@dataclass(frozen=True)
class Evaluation:
    """N whole episodes, in the order of their seeds."""

    seed: int
    """From which each episode's own was derived."""
    returns: tuple[float, ...]
    """Sum of the rewards of each episode, not discounted."""
    lengths: tuple[int, ...]
    """Steps of each episode."""
    ends: tuple[End, ...]
    """How each ended: by the MDP, cut by the env, or capped by the evaluation, which counts the return so far."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return math.fsum(self.returns) / len(self.returns)

    @property
    def std(self) -> float:
        """Sample standard deviation of the returns; 0 for a single one."""
        return float(np.std(self.returns, ddof=1)) if len(self.returns) > 1 else 0.0

    @property
    def median(self) -> float:
        """Median return."""
        return float(np.median(self.returns))

    @property
    def num_capped(self) -> int:
        """Episodes that the evaluation itself stopped."""
        return self.ends.count("capped")

    @property
    def reward_per_step(self) -> float:
        """Sum of all rewards over the sum of all steps."""
        return math.fsum(self.returns) / sum(self.lengths)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean return (percentiles of 10,000 resamples, the same every time)."""
        generator = np.random.default_rng(derive_seed(self.seed, "bootstrap"))
        returns = np.array(self.returns)
        draws = (generator.integers(len(returns), size=(_RESAMPLES // 20, len(returns))) for _ in range(20))
        low, high = np.percentile([returns[draw].mean(axis=1) for draw in draws], (2.5, 97.5))
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        """Everything, for a result file."""
        return {
            "episodes": len(self.returns),
            "seed": self.seed,
            "mean": self.mean,
            "std": self.std,
            "median": self.median,
            "interval": list(self.interval),
            "reward_per_step": self.reward_per_step,
            "mean_length": sum(self.lengths) / len(self.lengths),
            "capped": self.num_capped,
            "returns": list(self.returns),
            "lengths": list(self.lengths),
            "ends": list(self.ends),
        }


def evaluate(
    policy: Policy,
    make_env: Callable[[], AnyEnv],
    episodes: int,
    seed: int,
    *,
    max_steps: int | None = None,
    num_envs: int = 8,
    deterministic: bool = False,
    videos: Path | None = None,
    num_videos: int = 1,
    report: Callable[[int], None] | None = None,
) -> Evaluation:
    """Plays episodes 0 to `episodes` - 1 to their ends, several at a time.

    Each starts from a seed derived from `seed` and its number, in a stream of its own that no training draws from.
    All of them count, short or long, so that no end comes too often. With a policy that decides by its observations
    alone the result does not depend on `num_envs`.

    Args:
        policy: acts.
        make_env: makes a real env; called `num_envs` times, and all of them are closed.
        episodes: how many, >= 1.
        seed: of the evaluation, >= 0.
        max_steps: steps after which an episode is stopped and counts as capped, >= 1; None: never.
        num_envs: envs stepped side by side, >= 1.
        deterministic: passed on to the policy.
        videos: folder for a video of the first episodes, `episode-000.webp` and so on; None: none.
        num_videos: how many.
        report: called with the number of finished episodes whenever one ends.

    Raises:
        UsageError: a number outside its range, or videos of an env that was not made with render_mode="rgb_array".
        RunError: a reward that is not finite, or a full disk.
    """
    for name, value in (("episodes", episodes), ("num_envs", num_envs), ("max_steps", max_steps)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be >= 1, got {value}")
    if seed < 0 or num_videos < 0:
        raise UsageError(f"seed and num_videos must be >= 0, got {seed} and {num_videos}")
    finished: dict[int, _Episode] = {}
    with ExitStack() as closing:
        envs = []
        for _ in range(min(num_envs, episodes)):
            envs.append(make_env())
            closing.callback(envs[-1].close)
        running = [_Episode(number, env, seed, videos, num_videos) for number, env in enumerate(envs)]
        starts, state = np.ones(len(envs), np.bool_), None
        begun = len(envs)
        while len(finished) < episodes:
            observations = np.stack([episode.observation for episode in running])
            actions, state = policy.predict(observations, state, starts, deterministic)
            starts = np.zeros(len(envs), np.bool_)
            for index, episode in enumerate(running):
                if episode.end is not None:
                    continue  # no episode is left for this env: its row of the batch stays as it is
                episode.step(actions[index], max_steps)
                if episode.end is not None:
                    episode.write_video()
                    finished[episode.number] = episode
                    if report is not None:
                        report(len(finished))
                    if begun < episodes:
                        running[index] = _Episode(begun, episode.env, seed, videos, num_videos)
                        starts[index] = True
                        begun += 1
    done = [finished[number] for number in range(episodes)]
    return Evaluation(
        seed=seed,
        returns=tuple(episode.total for episode in done),
        lengths=tuple(episode.length for episode in done),
        ends=tuple(episode.end for episode in done if episode.end is not None),
    )


class _Episode:
    """One episode under way, from its reset on."""

    def __init__(self, number: int, env: AnyEnv, seed: int, videos: Path | None, num_videos: int) -> None:
        self.number, self.env = number, env
        self.total, self.length = 0.0, 0
        self.end: End | None = None
        self._video = videos / f"episode-{number:03d}{SUFFIX}" if videos is not None and number < num_videos else None
        self._frames: list[NDArray[np.uint8]] = []
        self.observation, _ = env.reset(seed=derive_seed(seed, "evaluation", number) % MAX_SEED)
        self._film()

    def step(self, action: Any, max_steps: int | None) -> None:
        self.observation, reward, terminated, truncated, _ = self.env.step(action)
        if not math.isfinite(reward):
            raise RunError(f"episode {self.number} got the reward {reward} at step {self.length}: mend the env")
        self.total += float(reward)
        self.length += 1
        if terminated or truncated:
            self.end = "terminated" if terminated else "truncated"
        elif self.length == max_steps:
            self.end = "capped"
        self._film()

    def write_video(self) -> None:
        if self._video is not None:
            write_video(self._video, self._frames, float(self.env.metadata.get("render_fps") or 15))
            self._frames = []

    def _film(self) -> None:
        if self._video is None or len(self._frames) >= MAX_VIDEO_FRAMES:
            return
        frame = self.env.render()
        if not isinstance(frame, np.ndarray):
            raise UsageError('a video needs an env made with render_mode="rgb_array", and this one shows no frames')
        self._frames.append(frame.copy())
