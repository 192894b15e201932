"""Random transitions, and independent slow answers: a table made of dictionaries, value iteration made of loops."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.tabular import TabularMDP, TransitionArrays


class Slow(NamedTuple):
    """What a table must hold: counts by (s, a, s'), s' = None for an end; reward sums by (s, a)."""

    counts: Counter[tuple[int, int, int | None]]
    rewards: dict[tuple[int, int], float]

    @classmethod
    def of(cls, *batches: TransitionArrays) -> Slow:
        slow = cls(Counter(), {})
        for batch in batches:
            for key, action, reward, next_key, end in zip(*batch, strict=True):
                pair = (_number(key), int(action))
                slow.counts[(*pair, None if end else _number(next_key))] += 1
                slow.rewards[pair] = slow.rewards.get(pair, 0.0) + float(reward)
        return slow


def _number(key: NDArray[np.uint64]) -> int:
    return sum(int(word) << (64 * place) for place, word in enumerate(key))


def random_keys(generator: np.random.Generator, states: int, words: int = 1) -> NDArray[np.uint64]:
    """Different keys, uint64 (states, words), not all of them far apart."""
    keys = generator.integers(0, 2**64, (states, words), np.uint64, endpoint=False)
    keys[:, 0] = np.where(generator.random(states) < 0.5, np.arange(states), keys[:, 0] | np.uint64(1 << 40))
    return keys


def random_batch(
    generator: np.random.Generator, keys: NDArray[np.uint64], actions: int, num: int, ends: float = 0.1
) -> TransitionArrays:
    """Transitions between `keys`; about one in twenty is a self-loop, rewards are multiples of 1/8 and often 0."""
    source, target = generator.integers(len(keys), size=(2, num))
    target = np.where(generator.random(num) < 0.05, source, target)
    rewards = generator.integers(-8, 9, num) / 8 * (generator.random(num) < 0.4)
    return TransitionArrays(
        keys[source], generator.integers(actions, size=num), rewards, keys[target], generator.random(num) < ends
    )


def chosen(batch: TransitionArrays, index: NDArray[Any]) -> TransitionArrays:
    return TransitionArrays(*(array[index] for array in batch))


def joined(*batches: TransitionArrays) -> TransitionArrays:
    return TransitionArrays(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))


def contents(table: TabularMDP) -> Slow:
    """What a table holds, read from its picture."""
    picture = table.transitions()
    names = [_number(key) for key in picture.keys]
    counts: Counter[tuple[int, int, int | None]] = Counter()
    for source, target, count in zip(picture.edge_source, picture.edge_target, picture.edge_count, strict=True):
        state, action = divmod(int(source), picture.num_actions)
        counts[names[state], action, names[target]] += int(count)
    for state, action in np.argwhere(picture.terminations):
        counts[names[state], int(action), None] += int(picture.terminations[state, action])
    sums = {(names[s], int(a)): float(picture.reward_sums[s, a]) for s, a in np.argwhere(picture.counts)}
    return Slow(counts, sums)


def value_iteration(table: TabularMDP, discount: float, tolerance: float) -> NDArray[np.float64]:
    """V* by row, float64 (num_rows,), from dense arrays; 0 for rows without a count. Written without the library."""
    picture = table.transitions()
    states, actions = picture.counts.shape
    dense = np.zeros((states * actions, states))
    dense[picture.edge_source, picture.edge_target] = picture.edge_count
    tried = picture.counts.ravel() > 0
    number = np.maximum(picture.counts.ravel(), 1)
    dense, rewards = dense / number[:, None], picture.reward_sums.ravel() / number
    values = np.zeros(states)
    for _ in range(100_000):
        q = np.where(tried, rewards + discount * dense @ values, -np.inf).reshape(states, actions)
        new = q.max(axis=1, initial=-np.inf)
        new[~np.isfinite(new)] = 0.0
        change, values = np.abs(new - values).max(initial=0.0), new
        if change <= tolerance * (1 - discount):
            break
    by_row = np.zeros(table.num_rows)
    by_row[picture.rows] = values
    return by_row
