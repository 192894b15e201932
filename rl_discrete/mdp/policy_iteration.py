"""Compiled loops of the exact solver: Bellman sweeps over all pairs, and the values of one fixed policy.

Indices are uint32: numba then leaves out the test for negative ones, which halves the time of a sweep.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.compiled import kernel
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


@kernel
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


@kernel
def action_values(problem: Equations, values: NDArray[np.float64], q_values: NDArray[np.float64]) -> None:
    """Q of every pair from the values of the states, into `q_values` (P,); nan where untried."""
    for pair in range(np.uint32(len(q_values))):
        q = problem.rewards[pair]
        for edge in range(problem.offsets[pair], problem.offsets[pair + _ONE]):
            q += problem.weights[edge] * values[problem.targets[edge]]
        q_values[pair] = q


def restrict(problem: Equations, policy: NDArray[np.int64]) -> Equations:
    """The equations of the chosen pairs alone: one pair per state, reward 0 and no edges where the choice is -1."""
    offsets, rewards = np.zeros(len(policy) + 1, np.uint32), np.zeros(len(policy))
    _copy_pairs(problem, policy, offsets, rewards)
    size = int(offsets[-1])
    fixed = Equations(offsets, np.empty(size, np.uint32), np.empty(size), rewards, 1)
    _copy_edges(problem, policy, fixed)
    return fixed


def evaluate(policy: Equations, values: NDArray[np.float64], share: float, floor: float, max_steps: int) -> int:
    """Move `values` towards the values of a fixed policy, until its largest residual is `share` of what it was.

    BiCGSTAB (van der Vorst 1992) on (I - discount P) V = R: near a discount of 1 it needs tens of products with P where
    sweeps need thousands. Values that the method would make worse are left as they were.

    Args:
        share: stop at this share of the first residual, or at `floor`.

    Returns:
        The steps that it took, of two products with P each.
    """
    x = values.copy()
    steps, worked = _bicgstab(policy, x, np.empty((5, len(values))), share, floor, max_steps)
    if worked:
        values[:] = x
    return int(steps)


@kernel
def _copy_pairs(
    problem: Equations, policy: NDArray[np.int64], offsets: NDArray[np.uint32], rewards: NDArray[np.float64]
) -> None:
    for state in range(np.uint32(len(policy))):
        offsets[state + _ONE] = offsets[state]
        if policy[state] >= 0:
            pair = np.uint32(policy[state])
            offsets[state + _ONE] += problem.offsets[pair + _ONE] - problem.offsets[pair]
            rewards[state] = problem.rewards[pair]


@kernel
def _copy_edges(problem: Equations, policy: NDArray[np.int64], fixed: Equations) -> None:
    filled = np.uint32(0)
    for state in range(np.uint32(len(policy))):
        if policy[state] >= 0:
            pair = np.uint32(policy[state])
            for edge in range(problem.offsets[pair], problem.offsets[pair + _ONE]):
                fixed.targets[filled] = problem.targets[edge]
                fixed.weights[filled] = problem.weights[edge]
                filled += _ONE


@kernel
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


@kernel
def _residual(policy: Equations, x: NDArray[np.float64], out: NDArray[np.float64]) -> float:
    """out = R - (I - discount P) x; the largest entry of it."""
    _apply(policy, x, out)
    for i in range(np.uint32(len(x))):
        out[i] = policy.rewards[i] - out[i]
    return _largest(out)


@kernel
def _dot(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """x . y, in four sums so that the processor need not wait for each addition."""
    a = b = c = d = 0.0
    whole = np.uint32(len(x) & ~3)
    for i in range(np.uint32(0), whole, np.uint32(4)):
        a += x[i] * y[i]
        b += x[i + _ONE] * y[i + _ONE]
        c += x[i + np.uint32(2)] * y[i + np.uint32(2)]
        d += x[i + np.uint32(3)] * y[i + np.uint32(3)]
    for i in range(whole, np.uint32(len(x))):
        a += x[i] * y[i]
    return (a + b) + (c + d)


@kernel
def _largest(x: NDArray[np.float64]) -> float:
    largest = 0.0
    for value in x:
        if not abs(value) <= largest:  # so that a nan is kept
            largest = abs(value)
    return largest


@kernel
def _bicgstab(
    policy: Equations,
    x: NDArray[np.float64],
    work: NDArray[np.float64],
    share: float,
    floor: float,
    max_steps: int,
) -> tuple[int, bool]:
    """Improve `x`, with `work` (5, S) as scratch; the steps made, and whether the largest residual fell."""
    residual, shadow, direction, moved, corrected = work[0], work[1], work[2], work[3], work[4]
    begin = _residual(policy, x, residual)
    goal = max(share * begin, floor)
    for i in range(np.uint32(len(x))):
        shadow[i] = direction[i] = residual[i]
    rho = _dot(shadow, residual)
    steps = 0
    while steps < max_steps:
        _apply(policy, direction, moved)
        scale = _dot(shadow, moved)
        if rho == 0.0 or scale == 0.0:
            break
        steps += 1
        alpha = rho / scale
        for i in range(np.uint32(len(x))):
            residual[i] -= alpha * moved[i]
        _apply(policy, residual, corrected)
        norm = _dot(corrected, corrected)
        omega = _dot(corrected, residual) / norm if norm > 0.0 else 0.0
        for i in range(np.uint32(len(x))):
            x[i] += alpha * direction[i] + omega * residual[i]
            residual[i] -= omega * corrected[i]
        if omega == 0.0 or not _largest(residual) > goal:
            break
        before, rho = rho, _dot(shadow, residual)
        beta = rho / before * alpha / omega
        for i in range(np.uint32(len(x))):
            direction[i] = residual[i] + beta * (direction[i] - omega * moved[i])
    return steps, _residual(policy, x, residual) < begin
