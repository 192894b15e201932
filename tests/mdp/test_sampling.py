"""Steps drawn from a table's counts: every transition that was counted has its share of the numbers in (0, 1)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.mdp.sampling import TableSampler, Untried
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError
from tests.mdp.random_transitions import random_transitions, transitions_of


def middles(total: int) -> NDArray[np.float32]:
    """The middle of each of `total` equal parts of (0, 1)."""
    return ((np.arange(total) + 0.5) / total).astype(np.float32)


def drawn(sampler: TableSampler, state: int, action: int, uniform: NDArray[np.float32]) -> Counter[int]:
    """How often each state followed, -1 for an end."""
    shape = uniform.shape
    step = sampler.step(np.full(shape, state), np.full(shape, action), uniform)
    return Counter(np.where(step.terminated, -1, step.states).tolist())


def counted(transitions: Transitions, state: int, action: int) -> Counter[int]:
    """The same, as the table counted it; written without the library's offsets."""
    found: Counter[int] = Counter()
    for source, target, count in zip(
        transitions.edge_source, transitions.edge_target, transitions.edge_count, strict=True
    ):
        if source == state * transitions.num_actions + action:
            found[int(target)] += int(count)
    ends = int(transitions.counts[state, action]) - found.total()
    return found + Counter({-1: ends})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_counted_transition_is_drawn_once(seed: int) -> None:
    transitions = random_transitions(seed)
    sampler, shuffled = TableSampler(transitions), 0
    for state, action in np.argwhere(transitions.counts).tolist():
        uniform = middles(int(transitions.counts[state, action]))
        expected = counted(transitions, state, action)
        assert drawn(sampler, state, action, uniform) == expected
        shuffled += drawn(sampler, state, action, uniform**2) != expected  # numbers that are not uniform
        step = sampler.step(np.full(len(uniform), state), np.full(len(uniform), action), uniform)
        np.testing.assert_array_equal(step.rewards, np.float32(transitions.mean_rewards[state, action]))
        assert (step.states[step.terminated] == state).all()
    assert shuffled > 3


def test_a_batch_of_many_states_equals_single_steps_and_repeats() -> None:
    transitions, rng = random_transitions(4, num_states=30, key_words=2), np.random.default_rng(0)
    states, actions = rng.integers(30, size=200), rng.integers(3, size=200)
    uniform = rng.random(200, np.float32)
    together = TableSampler(transitions).step(states, actions, uniform)
    sampler = TableSampler(transitions)
    for index in rng.permutation(200):  # in another order, so that untried actions are looked for in another one
        part = slice(index, index + 1)
        alone = sampler.step(states[part], actions[part], uniform[part])
        assert together.states[index] == alone.states[0]
        assert together.rewards[index] == alone.rewards[0]
        assert together.terminated[index] == alone.terminated[0]


def hamming(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_untried_actions_follow_the_nearest_state_that_tried_them() -> None:
    keys = np.array([[0b0000], [0b0001], [0b0110], [0b1001], [0b1111]], np.uint64)
    visits = [(1, 0, 1.0, 2)] + [(2, 1, 2.0, 4)] * 2 + [(3, 1, 3.0, 0)] * 5 + [(4, 0, 4.0, -1)]
    sampler = TableSampler(transitions_of(visits, keys, num_actions=3))
    half = np.array([0.5], np.float32)
    step = sampler.step(np.array([0, 0, 0, 2]), np.array([0, 1, 2, 0]), np.repeat(half, 4))
    # 0: state 1, one bit away; 1: states 2 and 3 are both two bits away and 3 was visited more; 2: nobody tried it;
    # 0 in state 2: state 4 is two bits away, state 1 three.
    assert step.states.tolist() == [2, 0, 0, 2]
    assert step.rewards.tolist() == [1.0, 3.0, 0.0, 4.0]
    assert step.terminated.tolist() == [False, False, False, True]
    staying = TableSampler(sampler.transitions, "stay")
    step = staying.step(np.array([0, 0, 0, 2]), np.array([0, 1, 2, 0]), np.repeat(half, 4))
    assert step.states.tolist() == [0, 0, 0, 2]
    assert not step.rewards.any()
    assert not step.terminated.any()


def test_nearest_agrees_with_a_plain_search() -> None:
    transitions = random_transitions(7, num_states=60)
    sampler = TableSampler(transitions)
    keys, tried = transitions.keys[:, 0].tolist(), transitions.counts
    queries = np.random.default_rng(1).integers(2**64, size=(40, 1), dtype=np.uint64)
    for query, found in zip(queries[:, 0].tolist(), sampler.states(queries).tolist(), strict=True):
        left = [row for row in range(60) if tried[row].sum()]
        assert found == min(left, key=lambda row: (hamming(keys[row], query), -tried[row].sum(), row))
    np.testing.assert_array_equal(sampler.states(transitions.keys), np.arange(60))


def test_bad_input_is_refused_in_one_line() -> None:
    transitions = random_transitions(0)
    sampler, one, half = TableSampler(transitions), np.zeros(1, np.int64), np.full(1, 0.5, np.float32)
    with pytest.raises(UsageError, match="actions must be integers between 0 and 2, got int64"):
        sampler.step(one, one + 3, half)
    with pytest.raises(UsageError, match="rows must be between"):
        sampler.step(one + 12, one, half)
    with pytest.raises(UsageError, match=r"shape \(B,\)"):
        sampler.step(one, np.zeros(2, np.int64), half)
    with pytest.raises(UsageError, match="width of this table"):
        sampler.states(np.zeros((1, 2), np.uint64))
    other: Untried = "guess"  # type: ignore[assignment]
    with pytest.raises(UsageError, match="untried must be one of nearest, stay, got 'guess'"):
        TableSampler(transitions, other)
    with pytest.raises(UsageError, match="holds no transition"):
        TableSampler(transitions_of([], np.zeros((1, 1), np.uint64), 2))
