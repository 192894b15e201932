"""What can follow a tried action: the distinct outcomes of every pair, and the reward that they promise on average.

A new reward is said per outcome (by a function), per state entered or per pair (by an array). The planner needs one
number per pair, the mean over the outcomes that were seen, each weighted by how often it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.transitions import Keys, Transitions
from rl_discrete.runs.errors import UsageError

RewardFunction: TypeAlias = (
    Callable[[Keys, NDArray[np.int64], Keys, NDArray[np.bool_]], NDArray[Any]]
    | Callable[[Keys, NDArray[np.int64], Keys], NDArray[Any]]
)
Reward: TypeAlias = RewardFunction | NDArray[Any]


@dataclass(frozen=True)
class Outcomes:
    """The M distinct outcomes of all tried pairs: first the edges in their order, then the ends, by pair."""

    pairs: NDArray[np.int64]
    """(M,): s * A + a."""
    states: NDArray[np.int64]
    """(M,): s."""
    actions: NDArray[np.int64]
    """(M,): a, in [0, A)."""
    keys: Keys
    """uint64 (M, W): the key of s."""
    next_keys: Keys
    """uint64 (M, W): the key of the state that followed; zeros where the episode ended."""
    terminated: NDArray[np.bool_]
    """(M,): whether the episode ended."""
    counts: NDArray[np.int64]
    """(M,): how often this outcome was seen, >= 1."""


def outcomes(transitions: Transitions) -> Outcomes:
    """Every distinct outcome that `transitions` holds."""
    ended = np.flatnonzero(transitions.terminations)
    pairs = np.concatenate([transitions.edge_source, ended])
    states, actions = np.divmod(pairs, transitions.num_actions)
    next_keys = np.zeros((len(pairs), transitions.key_words), np.uint64)
    next_keys[: transitions.num_edges] = transitions.keys[transitions.edge_target]
    return Outcomes(
        pairs=pairs,
        states=states,
        actions=actions,
        keys=transitions.keys[states],
        next_keys=next_keys,
        terminated=np.arange(len(pairs)) >= transitions.num_edges,
        counts=np.concatenate([transitions.edge_count, transitions.terminations.reshape(-1)[ended]]),
    )


def expected_rewards(transitions: Transitions, reward: Reward) -> NDArray[np.float64]:
    """The mean reward of each pair, float64 (S, A), nan where untried, when `reward` takes the place of the old one.

    Args:
        reward: one of
            a function of vectorised arrays (keys uint64 (M, W), actions int64 (M,), next_keys uint64 (M, W),
                terminated bool (M,)) -> (M,), called once with every distinct outcome; see `Outcomes`. One that
                takes three arguments goes without `terminated`: an end then has next keys of zeros, and no other sign;
            an array (S,): the reward for *entering* each state; an end enters none and brings 0;
            an array (S, A): the reward of each pair; what it says of untried pairs is ignored.

    Raises:
        UsageError: another shape or type, a function of other arguments, or rewards that are nan or infinite.
    """
    if callable(reward):
        every = outcomes(transitions)
        values = _numbers(_called(reward, every))
        if values.shape != every.pairs.shape:
            raise UsageError(f"the reward function must return shape {every.pairs.shape}, got {values.shape}")
        return mean_of_outcomes(transitions, every.pairs, every.counts, values)
    values, shape = _numbers(reward), transitions.counts.shape
    if values.shape == shape[:1]:
        entered = values[transitions.edge_target]
        return mean_of_outcomes(transitions, transitions.edge_source, transitions.edge_count, entered)
    if values.shape == shape:
        values = np.where(transitions.counts > 0, values, np.nan)
        _check_finite(transitions, values.reshape(-1), np.flatnonzero(transitions.counts))
        return values
    raise UsageError(
        f"rewards must have shape {shape[:1]} per state or {shape} per state and action, got {values.shape}"
    )


def mean_of_outcomes(
    transitions: Transitions, pairs: NDArray[np.int64], counts: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean per pair, float64 (S, A), of `values` (M,) that were seen `counts` times; nan where untried.

    Raises:
        UsageError: a value is nan or infinite, or too large for a sum.
    """
    _check_finite(transitions, values, None, pairs)
    with np.errstate(over="ignore"):
        sums = np.bincount(pairs, weights=counts * values, minlength=transitions.counts.size)
    if not np.isfinite(sums).all():
        raise UsageError(f"rewards of {np.abs(values).max():g} are too large for float64 to sum; give smaller ones")
    means = np.full(transitions.counts.shape, np.nan)
    np.divide(sums.reshape(means.shape), transitions.counts, out=means, where=transitions.counts > 0)
    return means


def _called(reward: Callable[..., Any], every: Outcomes) -> Any:
    """What the user's function returns, given as many arguments as it takes."""
    arrays = every.keys, every.actions, every.next_keys, every.terminated
    try:
        signature = inspect.signature(reward)
    except ValueError:  # some compiled functions have none
        return reward(*arrays)
    for given in (arrays, arrays[:3]):
        try:
            signature.bind(*given)
        except TypeError:
            continue
        return reward(*given)
    raise UsageError(f"the reward function must take (keys, actions, next_keys, terminated), got {signature}")


def _numbers(values: object) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"rewards must be numbers, got {array.dtype}; give an array of float64")
    return array.astype(np.float64, copy=False)


def _check_finite(
    transitions: Transitions,
    values: NDArray[np.float64],
    places: NDArray[np.int64] | None,
    pairs: NDArray[np.int64] | None = None,
) -> None:
    wrong = np.flatnonzero(~np.isfinite(values if places is None else values[places]))
    if len(wrong):
        place = wrong[0] if places is None else places[wrong[0]]
        state, action = divmod(int(place if pairs is None else pairs[place]), transitions.num_actions)
        raise UsageError(
            f"rewards must be finite, got {values[place]} for state {state}, action {action}; "
            "give every tried action a finite reward"
        )
