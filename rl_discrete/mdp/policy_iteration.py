"""Compiled loops of the exact solver: Bellman sweeps over all pairs, and the values of one fixed policy.

Indices are uint32: numba then leaves out the test for negative ones, which halves the time of a sweep.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rl_discrete.mdp.transitions import Transitions

_ONE = np.uint32(1)


class Equations(NamedTuple):
    """Q(p) = rewards[p] + sum over the edges e of pair p of weights[e] * V(targets[e]), for P pairs of A actions."""

    offsets: NDArray[np.uint32]  # (P + 1,)
    targets: NDArray[np.uint32]  # (E,)
    weights: NDArray[np.float64]  # (E,): discount * n / N
    rewards: NDArray[np.float64]  # (P,): nan where untried
    num_actions: int


def equations(transitions: Transitions, rewards: NDArray[np.float64], discount: float) -> Equations:
    """The Bellman equations of every pair. `rewards` float64 (S, A), nan where untried."""
    totals = transitions.counts.reshape(-1)[transitions.edge_source]
    return Equations(
        offsets=transitions.offsets.astype(np.uint32),
        targets=transitions.edge_target.astype(np.uint32),
        weights=transitions.edge_count * discount / totals,
        rewards=np.array(rewards.reshape(-1)),
        num_actions=transitions.num_actions,
    )


@njit(cache=True)
def improve(
    problem: Equations, values: NDArray[np.float64], new: NDArray[np.float64], policy: NDArray[np.int64]
) -> float:
    """One Bellman sweep from `values` into `new`; `policy` gets each state's best pair, -1 where nothing was tried.

    Returns the largest change of a value.
    """
    largest = 0.0
    actions = np.uint32(problem.num_actions)
    for state in range(np.uint32(len(values))):
        best, chosen = -np.inf, np.int64(-1)
        first = state * actions
        for pair in range(first, first + actions):
            q = problem.rewards[pair]
            for edge in range(problem.offsets[pair], problem.offsets[pair + _ONE]):
                q += problem.weights[edge] * values[problem.targets[edge]]
            if q > best:  # nan, an untried pair, is not
                best, chosen = q, np.int64(pair)
        if chosen < 0:
            best = 0.0
        new[state] = best
        policy[state] = chosen
        largest = max(largest, abs(best - values[state]))
    return largest


@njit(cache=True)
def action_values(problem: Equations, values: NDArray[np.float64], q_values: NDArray[np.float64]) -> None:
    """Q of every pair from the values of the states, into `q_values` (P,); nan where untried."""
    for pair in range(np.uint32(len(q_values))):
        q = problem.rewards[pair]
        for edge in range(problem.offsets[pair], problem.offsets[pair + _ONE]):
            q += problem.weights[edge] * values[problem.targets[edge]]
        q_values[pair] = q


@njit(cache=True)
def restrict(problem: Equations, policy: NDArray[np.int64]) -> Equations:
    """The equations of the chosen pairs alone: one pair per state, reward 0 and no edges where the choice is -1."""
    size = np.int64(0)
    for pair in policy:
        if pair >= 0:
            size += np.int64(problem.offsets[pair + 1]) - np.int64(problem.offsets[pair])
    offsets = np.zeros(len(policy) + 1, np.uint32)
    targets, weights = np.empty(size, np.uint32), np.empty(size)
    rewards = np.zeros(len(policy))
    filled = 0
    for state, pair in enumerate(policy):
        if pair >= 0:
            rewards[state] = problem.rewards[pair]
            for edge in range(problem.offsets[pair], problem.offsets[pair + 1]):
                targets[filled] = problem.targets[edge]
                weights[filled] = problem.weights[edge]
                filled += 1
        offsets[state + 1] = filled
    return Equations(offsets, targets, weights, rewards, 1)


@njit(cache=True)
def _apply(policy: Equations, x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """out = (I - discount P) x."""
    edge = np.uint32(0)
    for state in range(np.uint32(len(x))):
        total = x[state]
        end = policy.offsets[state + _ONE]
        while edge < end:
            total -= policy.weights[edge] * x[policy.targets[edge]]
            edge += _ONE
        out[state] = total


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(np.uint32(len(x))):
        total += x[i] * y[i]
    return total


@njit(cache=True)
def _largest(x: NDArray[np.float64]) -> float:
    largest = 0.0
    for value in x:
        if not abs(value) <= largest:  # so that a nan is kept
            largest = abs(value)
    return largest


@njit(cache=True)
def evaluate(policy: Equations, values: NDArray[np.float64], share: float, floor: float, max_steps: int) -> int:
    """Move `values` towards the values of a fixed policy, until its largest residual is `share` of what it was.

    BiCGSTAB (van der Vorst 1992) on (I - discount P) V = R: near a discount of 1 it needs tens of products with P where
    sweeps need thousands. Values that the method would make worse are left as they were.

    Args:
        share: stop at this share of the first residual, or at `floor`.

    Returns:
        The products with P.
    """
    size = len(values)
    x, residual = values.copy(), np.empty(size)
    _apply(policy, x, residual)
    for i in range(size):
        residual[i] = policy.rewards[i] - residual[i]
    begin = _largest(residual)
    goal = max(share * begin, floor)
    shadow, direction = residual.copy(), residual.copy()
    moved, corrected = np.empty(size), np.empty(size)
    rho, products = _dot(shadow, residual), 1
    for _ in range(max_steps):
        _apply(policy, direction, moved)
        scale = _dot(shadow, moved)
        if rho == 0.0 or scale == 0.0:
            break
        alpha = rho / scale
        for i in range(size):
            residual[i] -= alpha * moved[i]
        _apply(policy, residual, corrected)
        products += 2
        norm = _dot(corrected, corrected)
        omega = _dot(corrected, residual) / norm if norm > 0.0 else 0.0
        for i in range(size):
            x[i] += alpha * direction[i] + omega * residual[i]
            residual[i] -= omega * corrected[i]
        if omega == 0.0 or not _largest(residual) > goal:
            break
        before, rho = rho, _dot(shadow, residual)
        beta = rho / before * alpha / omega
        for i in range(size):
            direction[i] = residual[i] + beta * (direction[i] - omega * moved[i])
    _apply(policy, x, residual)
    for i in range(size):
        residual[i] = policy.rewards[i] - residual[i]
    if _largest(residual) < begin:
        values[:] = x
    return products + 1
