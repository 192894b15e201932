"""Tables drawn at random: self-loops, ends, untried pairs, states that nothing leads to or that lead nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.transitions import Transitions


def random_transitions(
    seed: int, num_states: int = 12, num_actions: int = 3, key_words: int = 1, reward_scale: float = 1.0
) -> Transitions:
    """About a quarter of the pairs untried, one to three distinct outcomes each, every eighth outcome an end."""
    rng = np.random.default_rng(seed)
    visits = []
    for state in range(num_states):
        for action in range(num_actions):
            if rng.random() < 0.25 or state == num_states - 1:  # the last state leads nowhere
                continue
            for _ in range(rng.integers(1, 6)):
                target = -1 if rng.random() < 0.125 else int(rng.integers(1, num_states))  # nothing leads to state 0
                visits.append((state, action, float(rng.normal()) * reward_scale, target))
    keys = np.unique(rng.integers(2**64, size=(2 * num_states, key_words), dtype=np.uint64), axis=0)
    return transitions_of(visits, rng.permutation(keys)[:num_states], num_actions)


def transitions_of(
    visits: Sequence[tuple[int, int, float, int]], keys: NDArray[np.uint64], num_actions: int
) -> Transitions:
    """The picture of a table that saw `visits` (state, action, reward, next state or -1 for an end)."""
    counts = np.zeros((len(keys), num_actions), np.int64)
    sums = np.zeros((len(keys), num_actions))
    edges: dict[tuple[int, int], int] = {}
    for state, action, reward, target in visits:
        counts[state, action] += 1
        sums[state, action] += reward
        if target >= 0:
            edge = (state * num_actions + action, target)
            edges[edge] = edges.get(edge, 0) + 1
    ordered = sorted(edges)
    return Transitions(
        keys=keys,
        rows=np.arange(len(keys), dtype=np.int32) * 3 + 1,
        counts=counts,
        reward_sums=sums,
        edge_source=np.array([source for source, _ in ordered], np.int64),
        edge_target=np.array([target for _, target in ordered], np.int64),
        edge_count=np.array([edges[edge] for edge in ordered], np.int64),
    )


def assert_same(left: Transitions, right: Transitions) -> None:
    """Bit for bit."""
    for name in ("keys", "rows", "counts", "reward_sums", "edge_source", "edge_target", "edge_count"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name, strict=True)
