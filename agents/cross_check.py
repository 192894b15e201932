"""A code model held against a table: total variation between its next codes and what was counted. numpy only.

Counts are noisy: even the true probabilities lie some way from them. So beside each distance stands its sampling floor,
the mean of the same statistic over multinomial resamples, in which the probabilities are right by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from rl_discrete.envs.grid_world import TrueMDP
from rl_discrete.mdp.transitions import Keys, Transitions
from rl_discrete.runs.errors import RunError, UsageError

Floats: TypeAlias = npt.NDArray[np.float64]
Ids: TypeAlias = npt.NDArray[np.int64]
LogProb: TypeAlias = Callable[[Keys, Ids, Keys], npt.ArrayLike]
"""Keys (M, W), actions (M,) and next keys (M, W) to exact log probabilities (M, H), nats, of the next codes.

H are ways in which the key was reached, the same ones for all next keys of a key and an action; 1 for a model that
looks at the key alone."""

RESAMPLES = 200
_ROUNDING = 1e-3  # by which probabilities in float32 may add up to more than 1


@dataclass(frozen=True)
class CrossCheck:
    """P pairs (s, a) that were tried often enough, in the order of the picture."""

    states: Ids
    """(P,): s, as numbered in the picture."""
    actions: Ids
    """(P,)"""
    visits: Ids
    """(P,): N, how often a next code was observed; ends have none and do not count."""
    distance: Floats
    """(P,): total variation in [0, 1] between the model, as its mean over the H ways to s, and what was observed."""
    single: Floats
    """(P,): the mean over these ways of the total variation of each: never less, for errors do not cancel."""
    floor: Floats
    """(P,): its mean over resamples of the counts."""
    floor_high: Floats
    """(P,): their 95 % quantile."""
    true_floor: Floats
    """(P,): the mean over resamples of the true MDP, against the true probabilities; nan where it is not known."""

    def at_least(self, min_visits: int) -> CrossCheck:
        """The pairs with so many visits or more."""
        often = self.visits >= min_visits
        return CrossCheck(**{column.name: getattr(self, column.name)[often] for column in fields(self)})

    def metrics(self) -> dict[str, float]:
        """Means over pairs, by name, for a log and result.json; nan where there is no pair.

        `tv` is the distance, `tv_single` that of a single way to s, `tv_excess` what the distance exceeds its floor by,
        `tv_true_...` the same for the floor of the true MDP, over the `tv_true_pairs` for which it is known.
        `tv_above_floor_share` is the share of pairs beyond the 95 % quantile of their own floor: 0.05 would be chance.
        """
        figures = {
            "tv": self.distance,
            "tv_single": self.single,
            "tv_floor": self.floor,
            "tv_excess": self.distance - self.floor,
            "tv_above_floor_share": (self.distance > self.floor_high).astype(np.float64),
            "tv_true_floor": self.true_floor,
            "tv_true_excess": self.distance - self.true_floor,
        }
        found = {name: _mean(values) for name, values in figures.items()}
        return {"tv_pairs": float(len(self.states)), **found, "tv_true_pairs": float(_known(self.true_floor).sum())}


def cross_check(
    transitions: Transitions,
    log_prob: LogProb,
    generator: np.random.Generator,
    *,
    min_visits: int = 20,
    truth: Floats | None = None,
    resamples: int = RESAMPLES,
    most_edges: int | None = None,
) -> CrossCheck:
    """Total variation between a model and the counts of every pair with N >= `min_visits`.

    With n of the N transitions of a pair leading to a code of model probability p, the distance is half of (sum over
    observed next codes of |p - n / N| + 1 - sum of p): what the model gives to codes never seen counts whole.

    Ends have no next code in a table, so probabilities are those of the next code given that the episode goes on. A
    model that also predicts the code of an episode's last frame is to be held against a table to which such transitions
    were added without their end.

    Args:
        transitions: a picture of the table, whose keys are the model's own codes.
        log_prob: of the model; never asked about what was not observed.
        generator: draws the resamples.
        min_visits: >= 1.
        truth: (S, A, X), from `true_chances`: probabilities of everything that can follow; rows of nan are not known.
        resamples: of each pair, >= 1.
        most_edges: pairs are drawn until they have more next codes than this, so that the model is not asked without
            end; None for all pairs.

    Raises:
        UsageError: a number out of range, or a truth of another shape.
        RunError: what the model gives are no probabilities.
    """
    if min_visits < 1 or resamples < 1:
        raise UsageError(f"min_visits and resamples must be >= 1, got {min_visits} and {resamples}")
    if truth is not None and truth.shape[:-1] != transitions.counts.shape:
        raise UsageError(f"truth must have the shape {(*transitions.counts.shape, 'X')}, got {truth.shape}")
    visits = (transitions.counts - transitions.terminations).reshape(-1)
    pairs = np.flatnonzero(visits >= min_visits)
    if most_edges is not None:
        drawn_pairs = generator.permutation(pairs)
        pairs = np.sort(drawn_pairs[np.diff(transitions.offsets)[drawn_pairs].cumsum() <= most_edges])
    edges = np.flatnonzero(np.isin(transitions.edge_source, pairs))
    place = np.searchsorted(pairs, transitions.edge_source[edges])  # of each edge among the pairs
    chances = _chances(transitions, log_prob, edges)  # (edges, H)
    shares = transitions.edge_count[edges] / visits[transitions.edge_source[edges]]
    total = _sums(chances, place, len(pairs))  # (P, H)
    if (total > 1.0 + _ROUNDING).any():
        wrong = int(total.max(axis=1).argmax())
        raise RunError(f"the model's next codes of pair {pairs[wrong]} add up to {total[wrong].max():.4f}, more than 1")
    distance = _distance(chances.mean(axis=1, keepdims=True), shares, place, len(pairs))[:, 0]
    single = _distance(chances, shares, place, len(pairs)).mean(axis=1)
    begins = np.searchsorted(place, np.arange(len(pairs) + 1))
    floor, high, true_floor = (np.full(len(pairs), np.nan) for _ in range(3))
    known = None if truth is None else truth.reshape(transitions.counts.size, -1)
    for index, pair in enumerate(pairs):
        drawn = _resampled(shares[begins[index] : begins[index + 1]], visits[pair], resamples, generator)
        floor[index], high[index] = drawn.mean(), np.quantile(drawn, 0.95)
        if known is not None and np.isfinite(known[pair]).all():
            true_floor[index] = _resampled(known[pair], visits[pair], resamples, generator).mean()
    states, actions = np.divmod(pairs, transitions.num_actions)
    return CrossCheck(states, actions, visits[pairs], distance, single, floor, high, true_floor)


def true_chances(
    mdp: TrueMDP, transitions: Transitions, keys: Keys, states: npt.ArrayLike, ends_are_codes: bool = False
) -> Floats:
    """What can follow each pair of a table in the true MDP, (S, A, X) for X true states; nan where that is not known.

    Known are the codes that were seen in one true state alone: a code that merges two has no row of the true MDP. What
    follows are codes, so states that share one follow as one.

    Args:
        mdp: of the env (`true_mdp`).
        transitions: the picture of the table.
        keys, states: uint64 (N, W) and integers (N, k): observations of all kinds, as coded and as they truly were.
        ends_are_codes: whether ends were added to the table as ordinary transitions; otherwise what follows is
            conditional on the episode's going on, and unknown where it cannot.

    Raises:
        UsageError: keys and states of different lengths, or a state that the MDP has not got.
    """
    seen = np.asarray(states)
    if len(keys) != len(seen):
        raise UsageError(f"keys and states must have equal lengths, got {len(keys)} and {len(seen)}")
    numbers = {tuple(state): number for number, state in enumerate(mdp.states.tolist())}
    merged = np.full(transitions.num_states, -1)
    places = {tuple(key): place for place, key in enumerate(transitions.keys.tolist())}
    same, first = np.arange(len(mdp.states)), dict[tuple[int, ...], int]()  # the first state with the code of each
    for key, state in {(tuple(key), tuple(state)) for key, state in zip(keys.tolist(), seen.tolist(), strict=True)}:
        if state not in numbers:
            raise UsageError(f"the true MDP has no state {state}; its states are those of true_mdp().states")
        same[numbers[state]] = first.setdefault(key, numbers[state])
        place = places.get(key)
        if place is not None:
            merged[place] = numbers[state] if merged[place] == -1 else -2
    chances = mdp.transitions if ends_are_codes else np.where(mdp.terminals, 0.0, mdp.transitions)
    chances = chances @ np.eye(len(same))[same]
    total = chances.sum(axis=2, keepdims=True)
    chances = np.divide(chances, total, out=np.full(chances.shape, np.nan), where=total > 0)
    return np.where((merged >= 0)[:, None, None], chances[np.maximum(merged, 0)], np.nan)


def _chances(transitions: Transitions, log_prob: LogProb, edges: Ids) -> Floats:
    """The model's probabilities of the observed next codes, (edges, H)."""
    states, actions = np.divmod(transitions.edge_source[edges], transitions.num_actions)
    keys, next_keys = transitions.keys[states], transitions.keys[transitions.edge_target[edges]]
    nats = np.asarray(log_prob(keys, actions, next_keys), np.float64)
    if nats.ndim != 2 or len(nats) != len(keys) or np.isnan(nats).any() or (nats > _ROUNDING).any():
        raise RunError(f"log_prob must give log probabilities of shape ({len(keys)}, H), got shape {nats.shape}")
    return np.exp(nats)


def _sums(values: Floats, place: Ids, num_pairs: int) -> Floats:
    """(P, H): the sums over the edges of each pair of `values` (edges, H)."""
    sums = np.zeros((num_pairs, values.shape[1]))
    np.add.at(sums, place, values)
    return sums


def _distance(chances: Floats, shares: Floats, place: Ids, num_pairs: int) -> Floats:
    """(P, H): total variation between `chances` (edges, H) and observed `shares` (edges,)."""
    missing = np.maximum(1.0 - _sums(chances, place, num_pairs), 0.0)
    return 0.5 * (_sums(np.abs(chances - shares[:, None]), place, num_pairs) + missing)


def _resampled(chances: Floats, visits: int, resamples: int, generator: np.random.Generator) -> Floats:
    """(resamples,): total variation between probabilities and the frequencies of `visits` draws from them."""
    drawn = generator.multinomial(visits, chances / chances.sum(), resamples)
    distances: Floats = 0.5 * np.abs(drawn / visits - chances).sum(axis=1)
    return distances


def _known(values: Floats) -> npt.NDArray[np.bool_]:
    return np.isfinite(values)


def _mean(values: Floats) -> float:
    known = values[_known(values)]
    return float(known.mean()) if len(known) else float("nan")
