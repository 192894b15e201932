"""An indexed max-heap of rows by priority, with true update and removal: no stale entries, so it never outgrows S.

Each node has four children instead of two: half the levels, and four children lie in one cache line. Priorities stand
in the heap itself, so that no comparison leaves it. Among equal priorities the order follows from the history of
operations alone, so equal histories pop in equal order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.compiled import Index, kernel


class Heap(NamedTuple):
    """A heap over rows 0 to n - 1."""

    rows: NDArray[np.int32]
    """(n,): the rows in heap order; the first `length[0]` are in use."""
    priorities: NDArray[np.float64]
    """(n,): the priority of the row at the same place of `rows`."""
    places: NDArray[np.int32]
    """(n,): where each row stands in `rows`; -1 where it is not queued."""
    length: NDArray[np.int64]
    """(1,): how many rows are queued."""


def make_heap(num_rows: int) -> Heap:
    """An empty heap with room for `num_rows` rows."""
    return Heap(
        np.zeros(num_rows, np.int32), np.zeros(num_rows), np.full(num_rows, -1, np.int32), np.zeros(1, np.int64)
    )


@kernel
def _rise(heap: Heap, place: Index, row: Index, priority: float) -> None:
    """Put `row` at `place` or above, moving smaller ancestors down."""
    while place > 0:
        parent = (place - 1) >> 2
        if heap.priorities[parent] >= priority:
            break
        moved = heap.rows[parent]
        heap.rows[place] = moved
        heap.priorities[place] = heap.priorities[parent]
        heap.places[moved] = place
        place = parent
    heap.rows[place] = row
    heap.priorities[place] = priority
    heap.places[row] = place


@kernel
def _sink(heap: Heap, place: Index, row: Index, priority: float) -> None:
    """Put `row` at `place` or below, moving larger descendants up."""
    length = heap.length[0]
    while True:
        first = 4 * place + 1
        if first >= length:
            break
        best, largest = first, heap.priorities[first]
        for child in range(first + 1, min(first + 4, length)):
            if heap.priorities[child] > largest:
                best, largest = child, heap.priorities[child]
        if largest <= priority:
            break
        moved = heap.rows[best]
        heap.rows[place] = moved
        heap.priorities[place] = largest
        heap.places[moved] = place
        place = best
    heap.rows[place] = row
    heap.priorities[place] = priority
    heap.places[row] = place


@kernel
def put(heap: Heap, row: Index, priority: float) -> None:
    """Queue `row`, or change its priority."""
    place = np.int64(heap.places[row])
    if place < 0:
        place = heap.length[0]
        heap.length[0] = place + 1
        _rise(heap, place, row, priority)
    elif priority > heap.priorities[place]:
        _rise(heap, place, row, priority)
    elif priority < heap.priorities[place]:
        _sink(heap, place, row, priority)


@kernel
def drop(heap: Heap, row: Index) -> None:
    """Take `row` out of the queue; nothing where it is not queued."""
    place = np.int64(heap.places[row])
    if place < 0:
        return
    heap.places[row] = -1
    last = heap.length[0] - 1
    heap.length[0] = last
    if place < last:
        moved, priority = np.int64(heap.rows[last]), heap.priorities[last]
        if place > 0 and priority > heap.priorities[(place - 1) >> 2]:
            _rise(heap, place, moved, priority)
        else:
            _sink(heap, place, moved, priority)


@kernel
def pop(heap: Heap) -> Index:
    """Take out the row with the largest priority; the heap must not be empty."""
    row = np.int64(heap.rows[0])
    drop(heap, row)
    return row
