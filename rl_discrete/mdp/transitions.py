"""A picture of a tabular MDP at one moment: counts and reward sums, with the edges in compressed sparse rows (CSR).

The live table changes with every step; the exact solver, the exporter and the diagnostics read this instead. A pair
(state s, action a) has the number s * A + a, and an edge leads from a pair to the state that followed. Transitions
that ended the episode have no edge: they are what is left of a pair's count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import UsageError

Keys: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Transitions:
    """S states with A actions and E edges. The arrays are read-only views of those given, so give them away.

    Raises:
        UsageError: arrays of another type or shape, states or edges that occur twice, edges out of order, counts that
            do not add up, rewards that are not finite.
    """

    keys: Keys
    """uint64 (S, W): the packed code of each state."""
    rows: NDArray[np.int32]
    """(S,): the row of each state in the table that the picture was taken of."""
    counts: NDArray[np.int64]
    """(S, A): how often the action was tried, N(s, a)."""
    reward_sums: NDArray[np.float64]
    """(S, A): the sum of the rewards observed; 0 where untried."""
    edge_source: NDArray[np.int64]
    """(E,): s * A + a; ascending, and within one pair the targets ascend."""
    edge_target: NDArray[np.int64]
    """(E,): the state that followed, in [0, S)."""
    edge_count: NDArray[np.int64]
    """(E,): how often it followed, n(s, a, s') >= 1."""

    def __post_init__(self) -> None:
        shapes = {
            "keys": (np.uint64, 2),
            "rows": (np.int32, 1),
            "counts": (np.int64, 2),
            "reward_sums": (np.float64, 2),
            "edge_source": (np.int64, 1),
            "edge_target": (np.int64, 1),
            "edge_count": (np.int64, 1),
        }
        for name, (dtype, ndim) in shapes.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
                raise UsageError(f"{name} must be {ndim}-dimensional {np.dtype(dtype)}, got {_describe(array)}")
            fixed = np.ascontiguousarray(array).view()
            fixed.flags.writeable = False
            object.__setattr__(self, name, fixed)
        self._check_states()
        self._check_edges()

    @property
    def num_states(self) -> int:
        return len(self.keys)

    @property
    def num_actions(self) -> int:
        return int(self.counts.shape[1])

    @property
    def num_edges(self) -> int:
        return len(self.edge_source)

    @property
    def key_words(self) -> int:
        return int(self.keys.shape[1])

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(S * A + 1,): the edges of pair p are offsets[p] to offsets[p + 1]."""
        offsets = np.zeros(self.counts.size + 1, np.int64)
        np.cumsum(np.bincount(self.edge_source, minlength=self.counts.size), out=offsets[1:])
        return _read_only(offsets)

    @cached_property
    def terminations(self) -> NDArray[np.int64]:
        """(S, A): how often the action ended the episode."""
        running = np.concatenate([[0], np.cumsum(self.edge_count)])
        followed = running[self.offsets[1:]] - running[self.offsets[:-1]]
        return _read_only(self.counts - followed.reshape(self.counts.shape))

    @cached_property
    def mean_rewards(self) -> NDArray[np.float64]:
        """(S, A): the mean reward observed; nan where untried."""
        means = np.full(self.counts.shape, np.nan)
        np.divide(self.reward_sums, self.counts, out=means, where=self.counts > 0)
        return _read_only(means)

    def _check_states(self) -> None:
        states, (_, actions) = len(self.keys), self.counts.shape
        if self.keys.shape[1] < 1 or actions < 1:
            raise UsageError(f"keys need >= 1 word and counts >= 1 action, got {self.keys.shape}, {self.counts.shape}")
        for name, shape in (("rows", (states,)), ("counts", (states, actions)), ("reward_sums", (states, actions))):
            if getattr(self, name).shape != shape:
                raise UsageError(f"{name} must have shape {shape} like keys, got {getattr(self, name).shape}")
        if self.rows.min(initial=0) < 0 or _has_twins(self.rows[:, None]):
            raise UsageError("rows must be >= 0 and differ from each other")
        if _has_twins(self.keys):
            raise UsageError("two states have the same key; merge them or mend the encoder")
        if np.any(self.counts < 0):
            raise UsageError(f"counts must be >= 0, got {self.counts.min()}")
        if not np.isfinite(self.reward_sums).all():
            raise UsageError("reward_sums must be finite, got nan or infinity")
        if np.any(self.reward_sums[self.counts == 0]):
            raise UsageError("reward_sums must be 0 where counts is 0: an action never tried was never rewarded")

    def _check_edges(self) -> None:
        states, pairs, edges = len(self.keys), self.counts.size, len(self.edge_source)
        for name in ("edge_target", "edge_count"):
            if getattr(self, name).shape != (edges,):
                raise UsageError(f"{name} must have shape {(edges,)} like edge_source, got {getattr(self, name).shape}")
        if not edges:
            return
        for name, size in (("edge_source", pairs), ("edge_target", states)):
            array = getattr(self, name)
            if array.min() < 0 or array.max() >= size:
                raise UsageError(f"{name} must be in [0, {size}), got {array.min()} to {array.max()}")
        if np.any(np.diff(self.edge_source * states + self.edge_target) <= 0):
            raise UsageError("edges must ascend by edge_source, then edge_target, none twice; sort them first")
        if self.edge_count.min() < 1:
            raise UsageError(f"edge_count must be >= 1, got {self.edge_count.min()}; leave out what never happened")
        if np.any(self.terminations < 0):
            state, action = np.argwhere(self.terminations < 0)[0]
            raise UsageError(f"the edges of state {state}, action {action} count more transitions than counts says")


def _has_twins(table: NDArray[Any]) -> bool:
    """Whether two rows (N, W) are equal. Mostly the first words differ, and sorting those alone tells."""
    first = np.sort(table[:, 0])
    if not np.any(first[1:] == first[:-1]):
        return False
    ordered = table[np.lexsort(table.T)]
    return bool(np.any((ordered[1:] == ordered[:-1]).all(axis=1)))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def _describe(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
