"""Steps drawn from the counts of a table: the empirical MDP as a simulator, a whole batch at once.

One uniform number picks one of the N(s, a) transitions that were counted, in the order of the picture's edges and the
ends last (inverse CDF): a next state follows with probability n(s, a, s') / N(s, a), an end with what is left. The
table keeps the sum of the rewards of a pair, not those of its outcomes, so a step pays their mean: the same values and
the same best policy, without the noise.

An action that was never tried in a state has no counts. It does what it did in the nearest state, by the Hamming
distance of keys, that has tried it (the most visits first, then the lowest number, among equally near ones), or
nothing: the state stays and the reward is 0. The second is also what happens to an action that nobody ever tried.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from rl_discrete.mdp.checks import checked_keys, checked_rows
from rl_discrete.mdp.compiled import kernel
from rl_discrete.mdp.hashing import fill_slots, find_slot, make_slots
from rl_discrete.mdp.lookup import seek
from rl_discrete.mdp.transitions import Keys, Transitions
from rl_discrete.runs.errors import UsageError

Untried: TypeAlias = Literal["nearest", "stay"]
"""What an action does where it was never tried."""

_BEGIN, _END, _TOTAL, _SOURCE = range(4)  # columns of a pair: its edges, N(s, a), and the pair whose counts it uses
_OPEN, _NOWHERE = -1, -2  # sources not looked for yet, and those that do not exist
_WORD_BITS = 64


class SampledStep(NamedTuple):
    """What B steps gave."""

    states: NDArray[np.int64]
    """(B,): the states that followed; where an episode ended, the one that it was in."""
    rewards: NDArray[np.float32]
    """(B,): the mean observed rewards."""
    terminated: NDArray[np.bool_]
    """(B,)"""


class TableSampler:
    """Draws steps from a picture of a table.

    The same arguments give the same step, whatever was drawn before: the only thing remembered is where untried
    actions have found their counts, which costs a pass over all keys when one is met for the first time.

    Attributes:
        transitions: the picture; a state is its number in [0, S).

    Raises:
        UsageError: the table holds no transition, or another `untried` than nearest and stay.
    """

    def __init__(self, transitions: Transitions, untried: Untried = "nearest") -> None:
        if untried not in get_args(Untried):
            raise UsageError(f"untried must be one of {', '.join(get_args(Untried))}, got {untried!r}")
        if not transitions.counts.any():
            raise UsageError("the table holds no transition, so there is nothing to sample: collect steps first")
        self.transitions = transitions
        numbers, totals = np.arange(transitions.counts.size), transitions.counts.reshape(-1)
        source = np.where(totals > 0, numbers, _OPEN if untried == "nearest" else _NOWHERE)
        begin, end = transitions.offsets[:-1], transitions.offsets[1:]
        self._pairs = np.stack([begin, end, totals, source], axis=1)  # (S * A, 4): half a cache line each
        self._rewards = np.nan_to_num(transitions.mean_rewards).astype(np.float32).reshape(-1)
        running = np.concatenate([[0], np.cumsum(transitions.edge_count)])
        within = running[1:] - running[begin[transitions.edge_source]]
        self._edges = np.stack([within, transitions.edge_target], axis=1)  # (E, 2)
        self._visits = transitions.counts.sum(axis=1, keepdims=True)  # (S, 1)
        self._slots = make_slots(transitions.num_states)
        fill_slots(self._slots, transitions.keys, np.arange(transitions.num_states, dtype=np.int32))

    def states(self, keys: npt.ArrayLike) -> NDArray[np.int64]:
        """States int64 (B,) of keys uint64 (B, W): of an unknown key, the nearest state that was ever left.

        Raises:
            UsageError: keys of another type or width than the table's.
        """
        wanted = checked_keys(keys, self.transitions.key_words)
        found = np.empty(len(wanted), np.int64)
        _find(self._slots, self.transitions.keys, wanted, found)
        unknown = np.flatnonzero(found < 0)
        if len(unknown):
            found[unknown] = self._nearest(wanted[unknown], self._visits, np.zeros(len(unknown), np.int64))
        return found

    def step(self, states: NDArray[np.int64], actions: npt.ArrayLike, uniform: NDArray[np.float32]) -> SampledStep:
        """One step of each of B episodes.

        Args:
            states: int64 (B,).
            actions: integers (B,) in [0, A).
            uniform: float32 (B,) in (0, 1). An outcome that is rarer than 2**-24 may never be drawn.

        Raises:
            UsageError: another shape, a state that the table has not got, or an action out of range.
        """
        chosen = self._checked(states, actions, uniform)
        step = SampledStep(np.empty_like(chosen), np.empty(len(chosen), np.float32), np.empty(len(chosen), np.bool_))
        uniform = np.ascontiguousarray(uniform, np.float32)
        if _draw(self._pairs, self._rewards, self._edges, states, chosen, uniform, *step):
            self._look_for(chosen)
            _draw(self._pairs, self._rewards, self._edges, states, chosen, uniform, *step)
        return step

    def _checked(
        self, states: NDArray[np.int64], actions: npt.ArrayLike, uniform: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """The numbers s * A + a of the pairs."""
        taken, num_actions = np.asarray(actions), self.transitions.num_actions
        if not states.shape == taken.shape == uniform.shape or states.ndim != 1:
            shapes = f"{states.shape}, {taken.shape} and {uniform.shape}"
            raise UsageError(f"states, actions and uniform numbers must all have the shape (B,), got {shapes}")
        if len(taken) and not (taken.dtype.kind in "iu" and 0 <= taken.min() <= taken.max() < num_actions):
            raise UsageError(f"actions must be integers between 0 and {num_actions - 1}, got {taken.dtype} {taken}")
        checked_rows(states, self.transitions.num_states)
        return np.ascontiguousarray(states * num_actions + taken, np.int64)

    def _look_for(self, pairs: NDArray[np.int64]) -> None:
        """Finds counts for those of `pairs` that have none and were never looked for."""
        wanted = np.unique(pairs)
        wanted = wanted[self._pairs[wanted, _SOURCE] == _OPEN]
        states, actions = np.divmod(wanted, self.transitions.num_actions)
        found = self._nearest(self.transitions.keys[states], self.transitions.counts, actions)
        sources = found * self.transitions.num_actions + actions
        self._pairs[wanted, _SOURCE] = np.where(found >= 0, sources, _NOWHERE)

    def _nearest(self, queries: Keys, counts: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.empty(len(queries), np.int64)
        _find_nearest(self.transitions.keys, np.ascontiguousarray(queries), counts, columns, found)
        return found


@kernel
def _draw(
    pairs: NDArray[np.int64],
    rewards: NDArray[np.float32],
    edges: NDArray[np.int64],
    states: NDArray[np.int64],
    chosen: NDArray[np.int64],
    uniform: NDArray[np.float32],
    following: NDArray[np.int64],
    gained: NDArray[np.float32],
    ended: NDArray[np.bool_],
) -> int:
    """Fill the last three; how many steps could not be made because nobody has looked for their counts yet."""
    unresolved = 0
    for index in range(len(chosen)):
        pair = pairs[chosen[index], _SOURCE]
        following[index], gained[index], ended[index] = states[index], 0.0, False
        if pair < 0:
            unresolved += pair == _OPEN
            continue
        total, end = pairs[pair, _TOTAL], pairs[pair, _END]
        place = min(int(uniform[index] * total), total - 1)  # which of the transitions that were counted
        low, high = pairs[pair, _BEGIN], end
        while low < high:
            middle = (low + high) >> 1
            if edges[middle, 0] > place:
                high = middle
            else:
                low = middle + 1
        if low < end:
            following[index] = edges[low, 1]
        else:
            ended[index] = True
        gained[index] = rewards[pair]
    return unresolved


@kernel
def _find(slots: NDArray[np.int32], keys: Keys, wanted: Keys, found: NDArray[np.int64]) -> None:
    """The row of each key; -1 where unknown."""
    for index in range(len(wanted)):
        found[index] = slots[find_slot(slots, keys, wanted, index)]


@kernel
def _find_nearest(
    keys: Keys,
    queries: Keys,
    counts: NDArray[np.int64],
    columns: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """For each query the nearest row whose count in the query's column is positive; -1 if there is none."""
    size = len(keys)
    for query in range(len(queries)):
        nearest, most, limit = -1, 0, _WORD_BITS * keys.shape[1]
        row, distance = seek(keys, queries, query, 0, size, limit)
        while row < size:
            count = counts[row, columns[query]]
            if count > 0 and (nearest < 0 or distance < limit or count > most):
                nearest, most, limit = row, count, distance
            row, distance = seek(keys, queries, query, row + 1, size, limit)
        found[query] = nearest
