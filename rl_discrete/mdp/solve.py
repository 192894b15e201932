"""Exact solutions: optimal values of a table as it stands, for its own rewards or for any other.

Policy iteration with inexact evaluation (Puterman, Markov Decision Processes, section 6.5): a Bellman sweep over all
pairs finds the greedy policy, a Krylov method moves the values towards those of that policy, and a sweep that hardly
changes anything bounds the error. Prioritized sweeping is the tool for one new transition, this for a change
everywhere: it starts from zero, since values that are too high sink only by the discount per sweep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.outcomes import Reward, expected_rewards
from rl_discrete.mdp.policy_iteration import Equations, action_values, equations, evaluate, improve, restrict
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError

_FIRST_SWEEPS = 5  # rewards spread by plain sweeps before a policy is worth an evaluation
_MAX_EVALUATIONS = 500  # far more than any table took; from then on plain sweeps, which cannot fail
_EVALUATION_SHARE = 0.01
_EVALUATION_STEPS = 1000
_ROUNDING = 16 * np.finfo(np.float64).eps  # of the largest value: what a sweep in float64 cannot improve


@dataclass(frozen=True)
class Solution:
    """Optimal values of S states and A actions."""

    values: NDArray[np.float64]
    """(S,): the largest Q among the tried actions; 0 where none was tried."""
    q_values: NDArray[np.float64]
    """(S, A): R + discount * sum over s' of n / N * V(s'); nan where untried."""
    iterations: int
    """Bellman sweeps over all pairs."""


def solve(
    transitions: Transitions,
    discount: float,
    tolerance: float = 1e-8,
    rewards: NDArray[np.float64] | None = None,
    start: NDArray[np.float64] | None = None,
) -> Solution:
    """The optimal values of the MDP whose probabilities are the observed frequencies.

    Args:
        discount: in [0, 1).
        tolerance: the largest error of any value, > 0; or what float64 can tell, where that is more.
        rewards: float64 (S, A), in place of the mean observed ones; untried pairs are ignored.
        start: float64 (S,), the values to start from, zeros if None. It changes the time, not the answer.

    Raises:
        UsageError: a number out of range, arrays of another shape, rewards or start values that are not finite, or
            rewards so large that values need not be.
    """
    if not 0 <= discount < 1:
        raise UsageError(f"discount must be in [0, 1), got {discount}")
    if not 0 < tolerance < math.inf:
        raise UsageError(f"tolerance must be > 0, got {tolerance}")
    means = transitions.mean_rewards
    if rewards is not None:
        if np.shape(rewards) != means.shape:
            raise UsageError(f"rewards must have shape {means.shape}, got {np.shape(rewards)}; see replan for others")
        means = expected_rewards(transitions, np.asarray(rewards))
    first = np.zeros(transitions.num_states) if start is None else np.array(start, np.float64)
    if first.shape != (transitions.num_states,) or not np.isfinite(first).all():
        raise UsageError(f"start must be finite values of shape {(transitions.num_states,)}, got shape {first.shape}")
    largest = float(np.abs(means[transitions.counts > 0]).max(initial=0.0))
    if not math.isfinite(2 * largest / (1 - discount)):  # twice the largest value, since a sweep takes differences
        raise UsageError(f"rewards of {largest:g} at discount {discount:g} make values that float64 cannot hold")
    problem = equations(transitions, means, discount)
    values, sweeps = _optimal_values(problem, first, discount, tolerance)
    q_values = np.empty(means.shape)
    action_values(problem, values, q_values.reshape(-1))
    best = np.where(np.isnan(q_values), -np.inf, q_values).max(axis=1)
    return Solution(np.where(np.isneginf(best), 0.0, best), q_values, sweeps + 1)


def replan(transitions: Transitions, reward: Reward, discount: float, tolerance: float = 1e-6) -> Solution:
    """The optimal values for a new reward, without a step in the env. `transitions` and the planner's values stay.

    Args:
        reward: a function of outcomes, an array (S,) per state entered, or (S, A): see `outcomes.expected_rewards`.
        discount, tolerance: see `solve`.

    Raises:
        UsageError: a number out of range, or rewards of another shape, not numbers, not finite, too large.
    """
    return solve(transitions, discount, tolerance, expected_rewards(transitions, reward))


def greedy(solution: Solution) -> NDArray[np.int64]:
    """The best action of each state, (S,): the lowest of equals, -1 where nothing was tried."""
    tried = ~np.isnan(solution.q_values)
    best = np.where(tried, solution.q_values, -np.inf).argmax(axis=1)
    return np.where(tried.any(axis=1), best, -1)


def _optimal_values(
    problem: Equations, values: NDArray[np.float64], discount: float, tolerance: float
) -> tuple[NDArray[np.float64], int]:
    """Values within `tolerance` of the optimal ones, and the sweeps that it took."""
    if discount == 0 or not len(problem.targets):
        tolerance = math.inf  # one sweep is exact
    goal = tolerance * (1 - discount) / discount if discount else math.inf
    new, policy = np.empty_like(values), np.empty(len(values), np.int64)
    sweeps, last = 0, math.inf
    while sweeps < last:
        change = improve(problem, values, new, policy)
        values, new, sweeps = new, values, sweeps + 1
        floor = _ROUNDING * float(np.abs(values).max(initial=0.0))
        if change <= max(goal, floor):
            break
        if sweeps == _MAX_EVALUATIONS:
            last = sweeps + math.ceil(math.log(max(goal, floor) / change) / math.log(discount))
        if _FIRST_SWEEPS < sweeps < _MAX_EVALUATIONS:
            evaluate(restrict(problem, policy), values, _EVALUATION_SHARE, max(goal / 3, floor), _EVALUATION_STEPS)
    return values, sweeps
