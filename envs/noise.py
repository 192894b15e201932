"""The chance of imagined episodes: counter-based streams, two of each env."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import UsageError

Key: TypeAlias = tuple[int, int]

_BLOCK = 2**20  # numbers that are drawn ahead at most, 4 MiB
_ROWS = 64  # steps that are drawn ahead at most
_SMALLEST = np.float32(2.0**-25)  # stands for 0, half the distance between the numbers that can be drawn
_EPISODES = 1 << 192  # the counter from which numbers for starts are taken, out of reach of those for steps


class NoiseStreams:
    """Uniform numbers for B envs by Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    An env's numbers are a function of its key and of how many it has taken since: they depend neither on B nor on
    the other envs. Steps and episodes draw from streams of their own. Numbers for steps are drawn ahead in blocks,
    so that a step costs one copy.

    Args:
        noise_dim: numbers that one step of one env takes, >= 0.
        keys: two whole numbers in [0, 2**64) for each env.
    """

    def __init__(self, noise_dim: int, keys: Sequence[Key]) -> None:
        rows = min(max(_BLOCK // max(len(keys) * noise_dim, 1), 1), _ROWS)
        self._block = np.empty((len(keys), rows, noise_dim), np.float32)
        self._position = rows
        self._steps: list[np.random.Generator] = []
        self._episodes: list[np.random.Generator] = []
        for key in keys:
            steps, episodes = _streams(key)
            self._steps.append(steps)
            self._episodes.append(episodes)

    def restart(self, keys: Mapping[int, Key]) -> None:
        """Begin the streams of some envs, by their index, anew."""
        for index, key in keys.items():
            self._steps[index], self._episodes[index] = _streams(key)
            self._fill(index, self._position)

    def for_step(self) -> NDArray[np.float32]:
        """The next numbers of every env, (B, noise_dim) in (0, 1)."""
        if self._position == self._block.shape[1]:
            self._position = 0
            for index in range(len(self._block)):
                self._fill(index, 0)
        self._position += 1
        return self._block[:, self._position - 1].copy()

    def for_episodes(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Two numbers in [0, 1) for each env in `mask` (B,), whose next episode begins: (N, 2)."""
        return np.array([self._episodes[index].random(2) for index in np.flatnonzero(mask).tolist()]).reshape(-1, 2)

    def _fill(self, index: int, begin: int) -> None:
        ahead = self._block[index, begin:]  # (rows, noise_dim)
        if ahead.size > 0:
            self._steps[index].random(out=ahead, dtype=np.float32)
            np.maximum(ahead, _SMALLEST, out=ahead)


def keys_of(seed: int | Sequence[int | None] | None, num_envs: int) -> dict[int, Key]:
    """The keys that a seed of gymnasium's `reset` gives to envs, by their index.

    Args:
        seed: a number s gives env i the key (s, i); of a sequence each number s gives its env (s, 0), which an env on
            its own gets from s, and None gives nothing, as it does alone.
        num_envs: B.

    Raises:
        UsageError: a seed outside [0, 2**64), or a sequence of another length.
    """
    if seed is None:
        return {}
    if isinstance(seed, (int, np.integer)):
        keys = {index: (int(seed), index) for index in range(num_envs)}
    elif len(seed) != num_envs:
        raise UsageError(f"seeds must be a number or one for each of {num_envs} envs, got {len(seed)} of them")
    else:
        keys = {index: (operator.index(value), 0) for index, value in enumerate(seed) if value is not None}
    for value, _ in keys.values():
        if not 0 <= value < 2**64:
            raise UsageError(f"a seed must be in [0, 2**64), got {value}")
    return keys


def _streams(key: Key) -> tuple[np.random.Generator, np.random.Generator]:
    """The streams for steps and for episodes."""
    number = key[0] + (key[1] << 64)
    return (
        np.random.Generator(np.random.Philox(key=number)),
        np.random.Generator(np.random.Philox(key=number, counter=_EPISODES)),
    )
