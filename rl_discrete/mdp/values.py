"""The arrays of a planner: how they are made, how they follow the table, how they are saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.heap import Heap, make_heap
from rl_discrete.mdp.storage import enlarge
from rl_discrete.runs.errors import RunError

_SCRATCH = 1024
DISCOUNT, CUTOFF, UNTRIED = 0, 1, 2
SWEEPS, BACKUPS = 0, 1


class Values(NamedTuple):
    """The values of a table with room for R rows and A actions.

    After every operation Q(s, a) = (reward sum + discount * sum of n(s, a, s') U(s')) / N(s, a), V(s) is the largest
    Q(s, a), and the queue holds exactly the rows where V and U differ by more than the cutoff.
    """

    q: NDArray[np.float64]
    """(R * A,): Q(s, a); nan where untried."""
    v: NDArray[np.float64]
    """(R,): V(s); 0 where no action counts."""
    u: NDArray[np.float64]
    """(R,): U(s), the value that the predecessors of s have seen."""
    heap: Heap
    """The queue: rows by |V(s) - U(s)|."""
    settings: NDArray[np.float64]
    """(3,): discount, cutoff, what an untried action counts as (-inf: nothing)."""
    done: NDArray[np.int64]
    """(2,): sweeps and small backups so far."""
    touched: NDArray[np.int32]
    """(any length >= 1,): scratch."""


def row_bytes(actions: int) -> int:
    """Bytes that a planner spends on one row."""
    return 8 * actions + 8 + 8 + 16  # Q, V, U and the queue


def make_values(discount: float, cutoff: float, untried: float) -> Values:
    """Values of no row at all."""
    return Values(
        q=np.zeros(0),
        v=np.zeros(0),
        u=np.zeros(0),
        heap=make_heap(0),
        settings=np.array([discount, cutoff, untried]),
        done=np.zeros(2, np.int64),
        touched=np.zeros(_SCRATCH, np.int32),
    )


def fitted(values: Values, rows: int, actions: int) -> Values:
    """The values with room for `rows` rows; in new ones nothing is tried."""
    heap, old = make_heap(rows), len(values.u)
    heap.rows[:old], heap.priorities[:old], heap.places[:old] = (
        values.heap.rows,
        values.heap.priorities,
        values.heap.places,
    )
    heap.length[:] = values.heap.length
    untried = float(values.settings[UNTRIED])
    initial = untried if np.isfinite(untried) else 0.0
    return values._replace(
        q=enlarge(values.q, rows * actions, np.nan),
        v=enlarge(values.v, rows, initial),
        u=enlarge(values.u, rows, initial),
        heap=heap,
    )


def save(values: Values, rows: int, actions: int) -> dict[str, NDArray[Any]]:
    """Copies of everything about the first `rows` rows, the order of the queue included."""
    length = int(values.heap.length[0])
    return {
        "q": values.q[: rows * actions].copy(),
        "v": values.v[:rows].copy(),
        "u": values.u[:rows].copy(),
        "queue_rows": values.heap.rows[:length].copy(),
        "queue_priorities": values.heap.priorities[:length].copy(),
        "settings": values.settings.copy(),
        "done": values.done.copy(),
    }


def restore(values: Values, saved: Mapping[str, NDArray[Any]], rows: int, actions: int) -> None:
    """Fill in what `save` saw.

    Raises:
        RunError: arrays are missing, or belong to another table.
    """
    try:
        queued = saved["queue_rows"]
        fits = (
            saved["q"].shape == (rows * actions,)
            and saved["v"].shape == saved["u"].shape == (rows,)
            and saved["queue_priorities"].shape == queued.shape
            and (queued.size == 0 or 0 <= queued.min() <= queued.max() < rows)
            and len(np.unique(queued)) == len(queued)
        )
        if not fits:
            raise RunError("the saved planner does not fit the saved table; go back to an older checkpoint")
        values.q[: rows * actions], values.v[:rows], values.u[:rows] = saved["q"], saved["v"], saved["u"]
        values.done[:] = saved["done"]
        priorities = saved["queue_priorities"]
    except KeyError as error:
        raise RunError(f"the saved planner lacks {error}; go back to an older checkpoint") from error
    values.heap.places[:] = -1
    values.heap.places[queued] = np.arange(len(queued))
    values.heap.rows[: len(queued)], values.heap.priorities[: len(queued)] = queued, priorities
    values.heap.length[0] = len(queued)
