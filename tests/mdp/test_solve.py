from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.mdp.outcomes import Reward
from rl_discrete.mdp.policy_iteration import equations, evaluate, improve, restrict
from rl_discrete.mdp.solve import Solution, greedy, replan, solve
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError
from tests.mdp.random_transitions import assert_same, random_transitions, transitions_of

DISCOUNTS = (0.0, 0.5, 0.9, 0.99, 0.999)


def chain(length: int) -> Transitions:
    """States in a row; action 0 steps to the right and ends at the last state with reward 1, action 1 stays."""
    visits = [(s, 0, 0.0, s + 1) for s in range(length - 1)] + [(s, 1, 0.0, s) for s in range(length)]
    return transitions_of(
        [*visits, (length - 1, 0, 1.0, -1)], np.arange(length, dtype=np.uint64)[:, None], num_actions=2
    )


def exact(transitions: Transitions, discount: float) -> NDArray[np.float64]:
    """Howard's policy iteration with dense matrices: another method than the one under test."""
    states, actions = transitions.counts.shape
    rewards = transitions.mean_rewards
    seen = np.zeros((states * actions, states))
    seen[transitions.edge_source, transitions.edge_target] = transitions.edge_count
    follow = seen.reshape(states, actions, states) / np.maximum(transitions.counts, 1)[:, :, None]
    tried = ~np.isnan(rewards)
    policy = np.where(tried.any(1), tried.argmax(1), -1)
    for _ in range(1000):
        every, chosen = np.arange(states), np.maximum(policy, 0)
        acting = (policy >= 0).astype(np.float64)
        matrix = np.eye(states) - discount * follow[every, chosen] * acting[:, None]
        values = np.linalg.solve(matrix, np.where(policy >= 0, rewards[every, chosen], 0.0))
        q = np.where(tried, np.nan_to_num(rewards) + discount * follow @ values, -np.inf)
        better = q.max(1) > q[every, chosen] + 1e-12 * max(1.0, float(np.abs(values).max()))
        if not (better & (policy >= 0)).any():
            return values.astype(np.float64)
        policy = np.where(better & (policy >= 0), q.argmax(1), policy)
    raise AssertionError("policy iteration did not end")


def plain_sweeps(transitions: Transitions, discount: float, sweeps: int) -> NDArray[np.float64]:
    problem = equations(transitions, transitions.mean_rewards, discount)
    values, new = np.zeros(transitions.num_states), np.zeros(transitions.num_states)
    for _ in range(sweeps):
        improve(problem, values, new, np.empty(len(values), np.int64))
        values, new = new, values
    return values


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_a_chain_has_the_values_of_the_formula(discount: float) -> None:
    solution = solve(chain(30), discount)
    np.testing.assert_allclose(solution.values, discount ** np.arange(29, -1, -1), atol=1e-8)
    assert greedy(solution)[-1] == 0
    if discount > 0.4:
        assert not greedy(solution)[-20:].any()


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_a_loop_collects_its_reward_for_ever(discount: float) -> None:
    loop = transitions_of([(0, 0, 3.0, 0)], np.zeros((1, 1), np.uint64), 1)
    assert solve(loop, discount).values[0] == pytest.approx(3 / (1 - discount), abs=1e-8)


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_random_tables_have_the_values_of_a_dense_solver(discount: float) -> None:
    for seed in range(0, 40, 2):
        table = random_transitions(seed, num_states=2 + seed, num_actions=1 + seed % 4)
        solution = solve(table, discount)
        np.testing.assert_allclose(solution.values, exact(table, discount), atol=2e-8)
        check_consistent(table, solution, discount)


def check_consistent(table: Transitions, solution: Solution, discount: float) -> None:
    """Q follows from V by one backup, V from Q by a maximum, nan stands where untried, and the policy is greedy."""
    tried = table.counts > 0
    np.testing.assert_array_equal(np.isnan(solution.q_values), ~tried)
    best = np.where(tried, solution.q_values, -np.inf).max(axis=1)
    np.testing.assert_array_equal(solution.values, np.where(tried.any(axis=1), best, 0.0))
    followed = np.zeros(table.counts.size)
    np.add.at(followed, table.edge_source, table.edge_count * solution.values[table.edge_target])
    means = followed.reshape(tried.shape) / np.maximum(table.counts, 1)
    expected = np.where(tried, table.mean_rewards + discount * means, np.nan)
    np.testing.assert_allclose(solution.q_values, expected, atol=2e-8)
    policy = greedy(solution)
    np.testing.assert_array_equal(policy >= 0, tried.any(axis=1))
    states = np.flatnonzero(policy >= 0)
    np.testing.assert_array_equal(solution.q_values[states, policy[states]], solution.values[states])


def test_a_discount_near_one_needs_more_than_plain_sweeps() -> None:
    """The control: 1,000 plain sweeps are far off where a few dozen of ours suffice."""
    table = random_transitions(3, num_states=400, num_actions=3)
    truth = exact(table, 0.999)
    solution = solve(table, 0.999)
    assert np.abs(solution.values - truth).max() < 1e-7
    assert solution.iterations < 60
    loop = transitions_of([(0, 0, 1.0, 1), (1, 0, 0.0, 0)], np.arange(2, dtype=np.uint64)[:, None], 1)
    assert np.abs(plain_sweeps(loop, 0.999, 1000) - exact(loop, 0.999)).max() > 100
    assert np.abs(solve(loop, 0.999).values - exact(loop, 0.999)).max() < 1e-7


def test_large_rewards_end_at_what_float64_can_tell() -> None:
    table = random_transitions(1, num_states=100, reward_scale=1e9)
    truth = exact(table, 0.99)
    solution = solve(table, 0.99, tolerance=1e-12)
    assert np.abs(solution.values - truth).max() < 1e-12 * np.abs(truth).max() / 0.01
    assert solution.iterations < 100


def test_an_evaluation_never_makes_values_worse() -> None:
    table = random_transitions(5, num_states=60)
    problem = equations(table, table.mean_rewards, 0.99)
    values, new, policy = np.zeros(60), np.empty(60), np.empty(60, np.int64)
    improve(problem, values, new, policy)
    fixed = restrict(problem, policy)
    last = np.inf
    for steps in (0, 1, 2, 5, 50, 50):
        evaluate(fixed, values, 0.0, 0.0, steps)
        improve(fixed, values, new, np.empty(60, np.int64))
        residual = np.abs(new - values).max()
        assert residual <= last
        last = residual
    assert last < 1e-12


def test_the_start_changes_the_time_and_not_the_answer() -> None:
    table = random_transitions(8, num_states=80)
    cold = solve(table, 0.99)
    assert solve(table, 0.99, start=cold.values).iterations < cold.iterations
    high = solve(table, 0.99, start=np.full(80, 1e4))
    np.testing.assert_allclose(high.values, cold.values, atol=2e-8)


def test_what_nothing_leads_to_and_what_leads_nowhere() -> None:
    table = transitions_of([(0, 1, 2.0, 1), (2, 0, -1.0, 0)], np.arange(3, dtype=np.uint64)[:, None], 2)
    solution = solve(table, 0.5)
    np.testing.assert_array_equal(solution.q_values, [[np.nan, 2.0], [np.nan, np.nan], [0.0, np.nan]])
    assert solution.values.tolist() == [2.0, 0.0, 0.0]
    assert greedy(solution).tolist() == [1, -1, 0]


def test_no_states_and_no_edges() -> None:
    empty = transitions_of([], np.zeros((0, 1), np.uint64), 2)
    assert solve(empty, 0.9).values.shape == (0,)
    ends = transitions_of([(0, 0, 1.0, -1), (0, 1, 3.0, -1), (0, 1, 1.0, -1)], np.zeros((1, 1), np.uint64), 2)
    assert solve(ends, 0.999).q_values.tolist() == [[1.0, 2.0]]


def by_entered_state(table: Transitions, per_state: NDArray[np.float64]) -> Reward:
    order = np.argsort(table.keys[:, 0])

    def reward(
        keys: NDArray[np.uint64],
        actions: NDArray[np.int64],
        next_keys: NDArray[np.uint64],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        state = order[np.minimum(np.searchsorted(table.keys[order, 0], next_keys[:, 0]), len(order) - 1)]
        return np.where(terminated, 0.0, per_state[state])

    return reward


@pytest.mark.parametrize("discount", [0.9, 0.999])
def test_one_reward_said_in_three_ways(discount: float) -> None:
    """Per state entered, by a function of the outcome, and per pair: the mean over the edges, written out here."""
    table = random_transitions(11, num_states=40)
    per_state = np.random.default_rng(0).normal(size=40)
    per_pair = np.full(table.counts.shape, np.nan)
    for pair in np.flatnonzero(table.counts):
        edges = slice(table.offsets[pair], table.offsets[pair + 1])
        total = (table.edge_count[edges] * per_state[table.edge_target[edges]]).sum()
        per_pair.flat[pair] = total / table.counts.flat[pair]
    ways: list[Reward] = [per_state, by_entered_state(table, per_state), per_pair]
    solutions = [replan(table, reward, discount, tolerance=1e-9) for reward in ways]
    for solution in solutions[1:]:
        np.testing.assert_allclose(solution.values, solutions[0].values, atol=1e-8)
        np.testing.assert_allclose(solution.q_values, solutions[0].q_values, atol=1e-8)
    assert np.abs(solutions[0].values - solve(table, discount).values).max() > 0.1  # it is another reward


def test_the_same_rewards_give_the_same_values_and_their_negative_a_new_plan() -> None:
    table = chain(20)
    same = replan(table, table.mean_rewards, 0.9)
    np.testing.assert_allclose(same.values, solve(table, 0.9).values, atol=1e-6)
    turned = replan(table, -table.mean_rewards, 0.9)
    np.testing.assert_array_equal(turned.values, 0.0)
    assert greedy(turned)[-1] == 1  # stay rather than end with -1
    assert greedy(same)[-1] == 0


def test_a_function_sees_every_outcome_once() -> None:
    table = transitions_of(
        [(0, 0, 5.0, 1), (0, 0, 5.0, 1), (0, 0, 5.0, -1), (1, 1, 5.0, 0)], np.array([[7, 70], [9, 90]], np.uint64), 2
    )
    seen: list[Any] = []

    def reward(*arrays: NDArray[Any]) -> NDArray[np.float64]:
        seen.extend(array.tolist() for array in arrays)
        return np.array([1.0, 10.0, 100.0])

    solution = replan(table, reward, 0.0)
    assert seen == [[[7, 70], [9, 90], [7, 70]], [0, 1, 0], [[9, 90], [7, 70], [0, 0]], [False, False, True]]
    np.testing.assert_allclose(solution.q_values, [[(2 * 1 + 100) / 3, np.nan], [np.nan, 10.0]])


def test_a_function_may_go_without_the_ends() -> None:
    table = random_transitions(5, num_states=30)

    def full(keys: Any, actions: Any, next_keys: Any, terminated: Any) -> Any:
        del keys, terminated
        return actions + (next_keys[:, 0] & np.uint64(1))

    def short(keys: Any, actions: Any, next_keys: Any) -> Any:
        return full(keys, actions, next_keys, None)

    np.testing.assert_array_equal(replan(table, short, 0.9).q_values, replan(table, full, 0.9).q_values)
    with pytest.raises(UsageError, match=r"must take \(keys, actions, next_keys, terminated\), got \(keys, actions\)"):
        replan(table, lambda keys, actions: actions, 0.9)  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", [1, -1])
def test_rewards_that_no_value_can_hold_are_refused(sign: int) -> None:
    table = chain(4)
    with pytest.raises(UsageError, match=r"rewards of 3e\+306 at discount 0.99 make values that float64 cannot hold"):
        replan(table, np.full(table.counts.shape, sign * 3e306), 0.99)
    many = dataclasses.replace(table, counts=10 * table.counts, edge_count=10 * table.edge_count)
    with pytest.raises(UsageError, match=r"rewards of 1e\+308 are too large for float64 to sum"):
        replan(many, np.full(table.num_states, sign * 1e308), 0.0)
    large = replan(table, np.full(table.counts.shape, sign * 1e300), 0.99, 1e290)
    small = replan(table, np.full(table.counts.shape, float(sign)), 0.99, 1e-10)
    np.testing.assert_allclose(large.values, 1e300 * small.values, rtol=1e-6)


def test_replanning_leaves_the_table_and_the_old_values_alone() -> None:
    table, twin = random_transitions(2), random_transitions(2)
    old = solve(table, 0.9)
    kept = old.values.copy()
    reward = np.ones(table.num_states)
    replan(table, reward, 0.9)
    assert_same(table, twin)
    np.testing.assert_array_equal(old.values, kept)
    np.testing.assert_array_equal(reward, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rewards_that_are_not_finite_are_refused(bad: float) -> None:
    table = chain(4)
    per_pair = np.zeros((4, 2))
    per_pair[2, 1] = bad
    per_state = np.array([0.0, 0.0, bad, 0.0])
    for reward in (per_pair, per_state, lambda *_: np.full(8, bad)):
        with pytest.raises(UsageError, match=r"rewards must be finite, got .*(nan|inf) for state \d, action \d"):
            replan(table, reward, 0.9)
    untried = random_transitions(0)
    replan(untried, np.where(untried.counts > 0, 1.0, bad), 0.9)  # nobody asks what an untried pair would bring


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (np.zeros(5), "must have shape (4,) per state or (4, 2) per state and action, got (5,)"),
        (np.zeros((2, 4)), "got (2, 4)"),
        (np.array(["a"] * 4), "rewards must be numbers, got <U1"),
        (lambda *_: np.zeros(3), "must return shape (8,), got (3,)"),
        (lambda *_: None, "rewards must be numbers, got object"),
    ],
)
def test_rewards_of_another_shape_or_type_are_refused(reward: Reward, message: str) -> None:
    with pytest.raises(UsageError) as error:
        replan(chain(4), reward, 0.9)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"discount": 1.0}, "discount must be in [0, 1), got 1.0"),
        ({"discount": -0.1}, "discount must be in [0, 1), got -0.1"),
        ({"discount": float("nan")}, "discount must be in [0, 1), got nan"),
        ({"discount": 0.9, "tolerance": 0.0}, "tolerance must be > 0, got 0.0"),
        ({"discount": 0.9, "rewards": np.zeros(4)}, "rewards must have shape (4, 2), got (4,)"),
        ({"discount": 0.9, "start": np.zeros(3)}, "start must be finite values of shape (4,)"),
        ({"discount": 0.9, "start": np.full(4, np.nan)}, "start must be finite"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        solve(chain(4), **arguments)
    assert message in str(error.value)
