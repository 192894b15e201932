"""A stream of steps of several envs to feed a replay with, and the plainest replay there could be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """The arguments of one `Replay.append`."""

    frames: NDArray[Any]
    actions: Ids
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    starts: NDArray[np.bool_]
    envs: Ids

    def arguments(self) -> tuple[NDArray[Any], ...]:
        return (self.frames, self.actions, self.rewards, self.terminated, self.truncated, self.starts, self.envs)


class Feed:
    """Steps as a loop over envs makes them: all envs step, then those whose episodes ended start anew.

    Now and then an env starts anew in the middle of an episode, as after a resume, or twice in a row.
    """

    def __init__(self, seed: int, num_envs: int, shape: tuple[int, ...], dtype: str = "uint8", end: float = 0.2):
        self.generator = np.random.default_rng(seed)
        self.num_envs, self.shape, self.dtype, self.end = num_envs, shape, dtype, end
        self.fresh = np.ones(num_envs, bool)

    def __next__(self) -> Step:
        draw = self.generator
        begin = self.fresh.any()
        envs = np.flatnonzero(self.fresh) if begin else np.arange(self.num_envs)
        n = len(envs)
        starts = self.fresh[envs] | (draw.random(n) < self.end / 4)
        ends = (draw.random((2, n)) < self.end / 2) & ~starts
        self.fresh[:] = False
        if not begin:
            self.fresh[envs] = ends.any(0) | (starts & (draw.random(n) < 0.5))
        frames = draw.integers(0, 256, (n, *self.shape)).astype(self.dtype)
        return Step(frames, draw.integers(0, 6, n), draw.normal(size=n), ends[0], ends[1], starts, envs)


class Naive:
    """Everything that was ever appended, in lists; what is kept is computed anew at every question."""

    def __init__(self, stack: int, max_segments: int, segment_rows: int) -> None:
        self.stack, self.max_segments, self.segment_rows = stack, max_segments, segment_rows
        self.frames: list[NDArray[Any]] = []
        self.facts: list[tuple[int, float, bool, bool, bool, int]] = []
        self.episodes: list[list[int]] = []
        self.episode_of: list[int] = []
        self.current: dict[int, int] = {}

    def append(self, step: Step) -> None:
        for frame, action, reward, end, cut, start, env in zip(*step.arguments(), strict=True):
            row = len(self.frames)
            if start:
                self.current[int(env)] = len(self.episodes)
                self.episodes.append([])
            self.episodes[self.current[int(env)]].append(row)
            self.episode_of.append(self.current[int(env)])
            self.frames.append(frame.copy())
            known = (0, 0.0) if start else (int(action), float(reward))
            self.facts.append((*known, bool(end), bool(cut), bool(start), int(env)))

    def first_row(self, more: int = 0) -> int:
        begins = range(0, len(self.frames) + more, self.segment_rows)
        return begins[-self.max_segments] if len(begins) >= self.max_segments else 0

    def history(self, row: int, length: int) -> list[int]:
        episode = self.episodes[self.episode_of[row]]
        place = episode.index(row)
        return episode[max(0, place - length + 1) : place + 1][::-1]

    def kept(self, more: int = 0) -> list[int]:
        first = self.first_row(more)
        return [row for row in range(first, len(self.frames)) if self.history(row, self.stack)[-1] >= first]

    def neighbours(self, rows: list[int], distance: int) -> list[int]:
        kept, found = set(self.kept()), []
        for row in rows:
            episode = self.episodes[self.episode_of[row]]
            place = episode.index(row) + distance
            found.append(episode[place] if 0 <= place < len(episode) and episode[place] in kept else -1)
        return found

    def observation(self, row: int) -> NDArray[Any]:
        frames = [self.frames[i] for i in self.history(row, self.stack)]
        return np.concatenate(frames + [np.zeros_like(frames[0])] * (self.stack - len(frames)))

    def transitions(self) -> list[int]:
        rows = self.kept()
        before = self.neighbours(rows, -1)
        return [row for row, earlier in zip(rows, before, strict=True) if earlier >= 0 or self.facts[row][4]]
