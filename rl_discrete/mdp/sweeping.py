"""Prioritized sweeping with small backups on a tabular MDP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from rl_discrete.mdp import backups, storage, values
from rl_discrete.mdp.checks import TransitionArrays, checked_keys
from rl_discrete.mdp.compiled import Index
from rl_discrete.mdp.counting import find_rows
from rl_discrete.mdp.tabular import Keys, TabularMDP
from rl_discrete.runs.errors import RunError, UsageError

_UNLIMITED = 2**62


class PrioritizedSweeping:
    """Values of a table, kept up to date by small backups in order of urgency.

    Q(s, a) is nan while untried; V(s) is the largest Q(s, a), 0 where no action was tried; U(s) is the value that the
    predecessors of s have seen. After every operation

        Q(s, a) = R(s, a) + discount * sum over s' of n(s, a, s') / N(s, a) * U(s')

    (ends contribute nothing), and the queue holds exactly the states with |V - U| > cutoff. A sweep takes the one
    with the largest difference, sets U to V and corrects Q of its predecessors. Once the queue is empty, V is within
    cutoff / (1 - discount) of the exact value. All is deterministic: no clock, no random numbers.

    The planner is the table's only writer: it notices when somebody else wrote, and refuses to go on (UsageError).

    van Seijen and Sutton, "Planning by Prioritized Sweeping with Small Backups" (ICML 2013); Corneil et al. 2018,
    whose planner sweeps for as long as the clock allows; ours has a budget, and its queue drops states that no longer
    need a sweep.
    """

    def __init__(
        self,
        table: TabularMDP,
        discount: float,
        cutoff: float = 5e-5,
        optimistic_value: float | None = None,
    ) -> None:
        """Attach to `table` and queue everything in it.

        Args:
            table: may hold transitions already; U begins at 0, or at `optimistic_value`.
            discount: in [0, 1).
            cutoff: differences up to this are not propagated, >= 0.
            optimistic_value: what an untried action of a known state counts as in V; None: it does not count.

        Raises:
            UsageError: a number out of range.
        """
        if not 0 <= discount < 1:
            raise UsageError(f"discount must be in [0, 1), got {discount}")
        if not 0 <= cutoff < np.inf:
            raise UsageError(f"cutoff must be >= 0 and finite, got {cutoff}")
        if optimistic_value is not None and not np.isfinite(optimistic_value):
            raise UsageError(f"optimistic_value must be finite or None, got {optimistic_value}")
        untried = -np.inf if optimistic_value is None else float(optimistic_value)
        self.table = table
        self._values = values.make_values(discount, cutoff, untried)
        table.store.planner_row_bytes = values.row_bytes(table.num_actions)
        self._version = table.store.version
        self._fit()
        self._derive()

    @property
    def queue_length(self) -> int:
        """States that wait for a sweep."""
        return int(self._values.heap.length[0])

    @property
    def sweeps(self) -> int:
        """Sweeps so far."""
        return int(self._values.done[values.SWEEPS])

    @property
    def backups(self) -> int:
        """Small backups so far: changes of one Q by one successor."""
        return int(self._values.done[values.BACKUPS])

    @property
    def num_bytes(self) -> int:
        """Memory of the planner's arrays; the table's not."""
        single = (array for array in self._values if isinstance(array, np.ndarray))
        return sum(array.nbytes for array in (*single, *self._values.heap))

    def observe(
        self,
        keys: npt.ArrayLike,
        actions: npt.ArrayLike,
        rewards: npt.ArrayLike,
        next_keys: npt.ArrayLike,
        terminated: npt.ArrayLike,
    ) -> int:
        """`TabularMDP.add_many`, with the values of the states that were left; how many were taken."""
        self._check_alone()
        batch = self.table.checked(keys, actions, rewards, next_keys, terminated)
        return self._take(batch, None)

    def forget(
        self,
        keys: npt.ArrayLike,
        actions: npt.ArrayLike,
        rewards: npt.ArrayLike,
        next_keys: npt.ArrayLike,
        terminated: npt.ArrayLike,
    ) -> None:
        """`TabularMDP.remove_many`, with the values of the states that were left. All or nothing."""
        self._check_alone()
        self._release(self._remove(self.table.checked(keys, actions, rewards, next_keys, terminated)))

    def relabel(self, removed: Sequence[Any], added: Sequence[Any]) -> int:
        """`TabularMDP.relabel`, with the values of the states that were left; how many of `added` were taken."""
        self._check_alone()
        old, new = self.table.checked(*removed), self.table.checked(*added)
        touched = self._remove(old)
        taken = self._take(new, touched)
        self._release(touched)
        return taken

    def plan(self, max_sweeps: int, max_backups: int | None = None) -> int:
        """Sweep until the queue is empty, `max_sweeps` are done, or at least `max_backups` small backups are done.

        Returns:
            The number of sweeps.
        """
        self._check_alone()
        limit = _UNLIMITED if max_backups is None else max_backups
        return int(backups.run_sweeps(self.table.store.arrays, self._values, max_sweeps, limit))

    def q_values(self, keys: npt.ArrayLike) -> NDArray[np.float64]:
        """Q of keys (B, W), float64 (B, A); nan where untried or unknown."""
        rows = self._rows(keys)
        q = np.full((len(rows), self.table.num_actions), np.nan)
        q[rows >= 0] = self.view()[1][rows[rows >= 0]]
        return q

    def values(self, keys: npt.ArrayLike) -> NDArray[np.float64]:
        """V of keys (B, W), float64 (B,); 0 where unknown."""
        rows = self._rows(keys)
        return np.where(rows < 0, 0.0, self._values.v[rows])

    def all_q_values(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Rows in use, int32 (S,), and their Q, float64 (S, A), in the order of `table.transitions()`."""
        rows = self.table.live_rows()
        return rows, self.view()[1][rows]

    def all_values(self) -> NDArray[np.float64]:
        """V by row, float64 (num_rows,)."""
        self._check_alone()
        return self._values.v[: self.table.num_rows].copy()

    def view(self) -> tuple[Keys, NDArray[np.float64], NDArray[np.int32]]:
        """Keys (num_rows, W), Q (num_rows, A) and N (num_rows, A) without a copy; N = 0 in recycled rows.

        The arrays follow the planner until the table grows, so ask for them anew each time.
        """
        self._check_alone()
        arrays = self.table.store.arrays
        counts: NDArray[np.int32] = storage.cells(arrays, arrays.counts)
        return arrays.keys[: self.table.num_rows], storage.cells(arrays, self._values.q), counts

    def set_values(self, keys: npt.ArrayLike, new_values: npt.ArrayLike) -> None:
        """Set U of known keys (B, W) to `new_values` (B,), as a warm start; the last one of a key counts.

        Unknown keys are passed over. Q follows at once, by the invariant, and whatever differs is queued.

        Raises:
            UsageError: values that are not finite or not one per key.
        """
        rows = self._rows(keys)
        given = np.asarray(new_values, np.float64)
        if given.shape != rows.shape or not np.isfinite(given).all():
            raise UsageError(f"new_values must be finite, one for each of {len(rows)} keys, got shape {given.shape}")
        self._values.u[rows[rows >= 0]] = given[rows >= 0]
        self._derive()

    def residual(self) -> float:
        """The largest |V - U|: what is still to be propagated. At most the cutoff once the queue is empty."""
        rows = self.table.num_rows
        return float(np.abs(self._values.v[:rows] - self._values.u[:rows]).max(initial=0.0))

    def drift(self) -> float:
        """The largest |Q - (R + discount * sum of n/N * U)|: rounding errors since the values were last derived."""
        self._check_alone()
        expected = np.empty_like(self._values.q)
        backups.expect(self.table.store.arrays, self._values, expected)
        cells = slice(self.table.num_rows * self.table.num_actions)
        if not np.array_equal(np.isnan(expected[cells]), np.isnan(self._values.q[cells])):
            return np.inf
        return float(np.nan_to_num(np.abs(expected[cells] - self._values.q[cells])).max(initial=0.0))

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything for a checkpoint, the order of the queue included; the table's own state is apart."""
        self._check_alone()
        return values.save(self._values, self.table.num_rows, self.table.num_actions)

    @classmethod
    def from_state(cls, table: TabularMDP, state: Mapping[str, NDArray[Any]]) -> PrioritizedSweeping:
        """The planner that `state` saw, on the table as it was then (`TabularMDP.from_state`); exact.

        Raises:
            RunError: the arrays are incomplete or do not fit the table.
        """
        if "settings" not in state or state["settings"].shape != (3,):
            raise RunError("the saved planner lacks its settings; go back to an older checkpoint")
        discount, cutoff, untried = (float(number) for number in state["settings"])
        planner = cls(table, discount, cutoff, untried if np.isfinite(untried) else None)
        values.restore(planner._values, state, table.num_rows, table.num_actions)
        return planner

    def _rows(self, keys: npt.ArrayLike) -> NDArray[np.int32]:
        self._check_alone()
        wanted = checked_keys(keys, self.table.key_words)
        rows = np.empty(len(wanted), np.int32)
        find_rows(self.table.store.arrays, wanted, rows)
        return rows

    def _take(self, batch: TransitionArrays, touched: NDArray[np.int32] | None) -> int:
        recycle = None if touched is None else lambda: self._release(touched)
        taken = self.table.store.take(batch, self._observe, recycle)
        self._version = self.table.store.version
        return taken

    def _observe(self, batch: TransitionArrays, begin: Index, refused: Index) -> tuple[Index, Index, Index]:
        self._fit()
        return backups.observe_batch(self.table.store.arrays, self._values, batch, begin, refused)

    def _remove(self, batch: TransitionArrays) -> NDArray[np.int32]:
        """Remove all or nothing; the rows that may be orphans now."""
        store = self.table.store
        rows, next_rows = store.held(batch)
        backups.forget_batch(store.arrays, self._values, batch, rows, next_rows)
        store.removed()
        self._version = store.version
        return np.concatenate([rows, next_rows])

    def _release(self, rows: NDArray[np.int32]) -> None:
        backups.release_valued(self.table.store.arrays, self._values, rows)

    def _derive(self) -> None:
        """Q from the table and U, V from Q, the queue from both."""
        backups.expect(self.table.store.arrays, self._values, self._values.q)
        backups.requeue(self.table.store.arrays, self._values)

    def _fit(self) -> None:
        """Make the arrays as long as the table's; new rows have nothing tried."""
        rows = len(self.table.store.arrays.keys)
        if len(self._values.u) < rows:
            self._values = values.fitted(self._values, rows, self.table.num_actions)

    def _check_alone(self) -> None:
        if self.table.store.version != self._version:
            raise UsageError(
                "the table was changed without its planner; change it through observe, forget and relabel, "
                "or make a new planner"
            )
