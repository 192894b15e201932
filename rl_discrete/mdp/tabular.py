"""A tabular MDP on packed codes: counts and reward sums, no values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from rl_discrete.mdp import storage
from rl_discrete.mdp.blocks import EDGES
from rl_discrete.mdp.checks import TransitionArrays, checked_batch, checked_key, checked_keys, checked_rows
from rl_discrete.mdp.compiled import Index
from rl_discrete.mdp.counting import (
    ACTIONS,
    NUM_FREE,
    ROWS,
    add_batch,
    find_rows,
    release_batch,
    remove_batch,
)
from rl_discrete.mdp.picture import filled, picture
from rl_discrete.mdp.store import Store
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError

__all__ = ["Keys", "TabularMDP", "TransitionArrays"]

Keys: TypeAlias = NDArray[np.uint64]


class TabularMDP:
    """Counts N(s, a) and n(s, a, s') and reward sums, for states known by their keys.

    A state is a row. Rows are numbered from 0 as keys come; a row that has lost its last count and its last
    predecessor is an orphan and is used again for the next new key. A terminated transition counts for N(s, a) and
    leads nowhere: its next key is ignored.

    Everywhere N transitions are (keys uint64 (N, W), actions integers (N,) in [0, A), rewards (N,) finite,
    next_keys uint64 (N, W), terminated bool (N,)); what does not fit is a UsageError before anything changes.
    While a `PrioritizedSweeping` is attached, change the table through it alone.

    Corneil, Gerstner and Brea, "Efficient Model-Based Deep RL with Variational State Tabulation" (ICML 2018), whose
    table keeps means instead of sums.
    """

    def __init__(
        self,
        num_actions: int,
        key_words: int = 1,
        max_bytes: int | None = None,
        warn: Callable[[str], None] = print,
    ) -> None:
        """An empty table.

        Args:
            num_actions: A >= 1.
            key_words: W, words of 64 bits in a key.
            max_bytes: no more memory than this for the table and the planner attached to it, except while an
                array is being copied into a larger one; None for no limit. A table at its cap says so once and goes
                on with what it has.
            warn: receives that line.

        Raises:
            UsageError: a size that no table can have.
        """
        if num_actions < 1 or key_words < 1:
            raise UsageError(f"num_actions and key_words must be >= 1, got {num_actions} and {key_words}")
        self._store = Store(storage.make_table(num_actions, key_words), max_bytes, warn)

    @property
    def num_actions(self) -> int:
        """A."""
        return int(self._store.arrays.sizes[ACTIONS])

    @property
    def key_words(self) -> int:
        """W, words of 64 bits in a key."""
        return int(self._store.arrays.keys.shape[1])

    @property
    def num_states(self) -> int:
        """Rows in use: states that were left, or reached without an end."""
        return self.num_rows - int(self._store.arrays.sizes[NUM_FREE])

    @property
    def num_rows(self) -> int:
        """One more than the largest row ever used; recycled orphans included."""
        return int(self._store.arrays.sizes[ROWS])

    @property
    def num_edges(self) -> int:
        """Distinct (s, a, s')."""
        return int(self._store.arrays.pool[EDGES])

    @property
    def num_bytes(self) -> int:
        """Memory of all arrays, room to spare included; the planner's not."""
        return self._store.num_bytes

    @property
    def full(self) -> bool:
        """Whether the memory cap refused something since anything was last removed."""
        return self._store.full

    @property
    def store(self) -> Store:
        """The arrays behind the table, for the planner that is attached to it."""
        return self._store

    def add(
        self,
        key: int | npt.ArrayLike,
        action: int,
        reward: float,
        next_key: int | npt.ArrayLike,
        terminated: bool,
    ) -> int:
        """Count one transition; keys are uint64 (W,), or integers where W = 1. 0 if the cap refused it, else 1."""
        return self.add_many(*self.single(key, action, reward, next_key, terminated))

    def remove(
        self,
        key: int | npt.ArrayLike,
        action: int,
        reward: float,
        next_key: int | npt.ArrayLike,
        terminated: bool,
    ) -> None:
        """Uncount one transition that was added with the same arguments (UsageError if it never was)."""
        self.remove_many(*self.single(key, action, reward, next_key, terminated))

    def add_many(
        self,
        keys: npt.ArrayLike,
        actions: npt.ArrayLike,
        rewards: npt.ArrayLike,
        next_keys: npt.ArrayLike,
        terminated: npt.ArrayLike,
    ) -> int:
        """Count N transitions in order; how many were taken (all, unless the table is at its memory cap)."""
        return self._store.take(self.checked(keys, actions, rewards, next_keys, terminated), self._add)

    def remove_many(
        self,
        keys: npt.ArrayLike,
        actions: npt.ArrayLike,
        rewards: npt.ArrayLike,
        next_keys: npt.ArrayLike,
        terminated: npt.ArrayLike,
    ) -> None:
        """Uncount N transitions that were added with the same arguments.

        Raises:
            UsageError: one of them was never added, or more often than it was; nothing has changed then.
        """
        batch = self.checked(keys, actions, rewards, next_keys, terminated)
        self._release(self._remove(batch))

    def relabel(self, removed: Sequence[Any], added: Sequence[Any]) -> int:
        """Remove some transitions and add others, as when an encoder gives old observations new keys.

        Both are five arrays (`TransitionArrays`). All or nothing, but for what the memory cap refuses of `added`. A
        state that loses everything and gets something back keeps its row.

        Returns:
            How many of `added` were taken.

        Raises:
            UsageError: as for `remove_many` and `add_many`; nothing has changed then.
        """
        old, new = self.checked(*removed), self.checked(*added)
        touched = self._remove(old)
        taken = self._store.take(new, self._add, lambda: self._release(touched))
        self._release(touched)
        return taken

    def rows(self, keys: npt.ArrayLike) -> NDArray[np.int32]:
        """Rows of keys uint64 (B, W), int32 (B,); -1 where unknown."""
        wanted = checked_keys(keys, self.key_words)
        rows = np.empty(len(wanted), np.int32)
        find_rows(self._store.arrays, wanted, rows)
        return rows

    def keys(self, rows: npt.ArrayLike) -> Keys:
        """Keys of rows, uint64 (B, W); of a recycled row its last one."""
        return self._store.arrays.keys[checked_rows(rows, self.num_rows)]

    def counts(self, rows: npt.ArrayLike) -> NDArray[np.int64]:
        """N(s, a) of rows, int64 (B, A)."""
        return self._cells(self._store.arrays.counts, rows).astype(np.int64)

    def mean_rewards(self, rows: npt.ArrayLike) -> NDArray[np.float64]:
        """Mean reward of rows, float64 (B, A); nan where untried."""
        counts, sums = self._cells(self._store.arrays.counts, rows), self._cells(self._store.arrays.reward_sums, rows)
        means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        return means

    def live_rows(self) -> NDArray[np.int32]:
        """Rows in use, int32 (num_states,), ascending."""
        return storage.live_rows(self._store.arrays)

    def transitions(self) -> Transitions:
        """An unchanging picture of the table; states in the order of their rows."""
        return picture(self._store.arrays)

    @classmethod
    def from_transitions(cls, transitions: Transitions) -> TabularMDP:
        """A table with the contents of a picture; its states become rows 0, 1, ...

        Raises:
            UsageError: a count beyond 32 bits.
        """
        table = cls(transitions.num_actions, transitions.keys.shape[1])
        table._store.arrays = filled(transitions)
        return table

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything for a checkpoint: the restored table goes on bit for bit as this one would."""
        return self._store.state()

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, NDArray[Any]],
        warn: Callable[[str], None] = print,
        max_bytes: int | None = None,
    ) -> TabularMDP:
        """The table that `state` saw.

        Args:
            state: what `state` returned.
            warn: receives a line at the memory cap, unless it came before.
            max_bytes: another cap, at which the line comes anew; a table above it grows no more. None: the cap of then.

        Raises:
            RunError: the arrays are incomplete or contradict each other.
        """
        store = Store.from_state(state, warn, max_bytes)
        table = cls(int(store.arrays.sizes[ACTIONS]), store.arrays.keys.shape[1])
        table._store = store
        return table

    def checked(self, *transitions: npt.ArrayLike) -> TransitionArrays:
        """Five arrays (N, ...) in the types of the kernels, or a UsageError that says what does not fit."""
        return checked_batch(transitions, self.num_actions, self.key_words)

    def single(
        self, key: int | npt.ArrayLike, action: int, reward: float, next_key: int | npt.ArrayLike, terminated: bool
    ) -> TransitionArrays:
        """One transition as arrays of length 1."""
        keys, next_keys = checked_key(key, self.key_words), checked_key(next_key, self.key_words, "next_key")
        return self.checked(keys, [action], [reward], next_keys, [terminated])

    def _cells(self, array: NDArray[Any], rows: npt.ArrayLike) -> NDArray[Any]:
        return storage.cells(self._store.arrays, array)[checked_rows(rows, self.num_rows)]

    def _add(self, batch: TransitionArrays, begin: Index, refused: Index) -> tuple[Index, Index, Index]:
        return add_batch(self._store.arrays, batch, begin, refused)

    def _remove(self, batch: TransitionArrays) -> NDArray[np.int32]:
        """Remove all or nothing; the rows that may be orphans now."""
        rows, next_rows = self._store.held(batch)
        remove_batch(self._store.arrays, batch, rows, next_rows)
        self._store.removed()
        return np.concatenate([rows, next_rows])

    def _release(self, rows: NDArray[np.int32]) -> None:
        release_batch(self._store.arrays, rows)
