"""Predecessor edges: for each row one contiguous block of entries (pair, count) in a common pool.

A sweep reads the block of one row from end to end, so it should be contiguous; an add looks for one entry in it. A
block of up to 32 entries is dense and searched in order; a larger one is itself a small open-addressing hash, so that
a row with a million predecessors costs no more per add than one with two. A block that outgrows its place moves to one
that another block of that capacity has left, or to the end of the pool. Rebuilding the pool removes what is left over.

The pair (row, action) has the number `row << bits | action`. Transitions that ended the episode stand in the block of
the row where they *began*, under the number `-2 - action`: they propagate nothing and cost no column of their own.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.compiled import Index, kernel

EMPTY = -1
DENSE = 32
START, CAPACITY, LENGTH = 0, 1, 2
USED, LIVE, EDGES, LEFT = 0, 1, 2, 3
POOL_SIZES = LEFT + 34  # the capacities that 31 bits can hold

Spans: TypeAlias = NDArray[np.int32]
"""(R, 3): first entry, capacity and length of each row's block."""
Entries: TypeAlias = NDArray[np.int32]
"""(2 P,): pair and count of each of P entries in turn."""
Pool: TypeAlias = NDArray[np.int64]
"""(POOL_SIZES,): entries of the pool given out so far, those that belong to a block, edges (ends not counted).

From LEFT on, for each capacity in turn: the first of the places of that capacity that were left, or -1. The first entry
of such a place holds the next.
"""


def make_pool() -> Pool:
    """The sizes of an empty pool."""
    pool = np.full(POOL_SIZES, -1, np.int64)
    pool[:LEFT] = 0
    return pool


@kernel
def next_capacity(capacity: Index) -> Index:
    """Capacity of a block that has outgrown `capacity`: 2, 4, 8, 12, 16, 24, 32, 64, 128, ..."""
    if capacity < 8:
        return 2 * capacity if capacity > 0 else 2
    if capacity >= DENSE:
        return 2 * capacity
    return capacity + (4 if capacity < 16 else 8)


def capacities(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest capacity of a block for each length; 0 for none."""
    sizes = [0]
    while sizes[-1] < DENSE or (sizes[-1] >> 2) * 3 < lengths.max(initial=0):
        sizes.append(int(next_capacity(sizes[-1])))
    limits = [size if size <= DENSE else (size >> 2) * 3 for size in sizes]
    return np.asarray(sizes)[np.searchsorted(limits, lengths)]


@kernel
def _home(pair: Index, capacity: Index) -> Index:
    """The slot of a hashed block at which the search for a pair begins; its capacity is a power of two."""
    mixed = (np.uint64(pair) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
    return np.int64((mixed * np.uint64(capacity)) >> np.uint64(32))


@kernel
def _hashed_place(entries: Entries, start: Index, capacity: Index, pair: Index) -> Index:
    """Where `pair` is in a hashed block, or the empty place where it belongs."""
    slot = _home(pair, capacity)
    while True:
        found = np.int64(entries[2 * (start + slot)])
        if found in (pair, EMPTY):
            return start + slot
        slot = (slot + 1) & (capacity - 1)


@kernel
def find_entry(spans: Spans, entries: Entries, row: Index, pair: Index) -> Index:
    """The place of `pair` in the pool, or -1."""
    start, capacity = np.int64(spans[row, START]), np.int64(spans[row, CAPACITY])
    if capacity > DENSE:
        place = _hashed_place(entries, start, capacity, pair)
        return place if entries[2 * place] == pair else -1
    for place in range(start, start + np.int64(spans[row, LENGTH])):
        if entries[2 * place] == pair:
            return place
    return -1


@kernel
def room_needed(spans: Spans, row: Index) -> Index:
    """The capacity to which the block of `row` must grow for one more entry; 0 where it has a place."""
    capacity, length = np.int64(spans[row, CAPACITY]), np.int64(spans[row, LENGTH])
    limit = capacity if capacity <= DENSE else (capacity >> 2) * 3
    return next_capacity(capacity) if length >= limit else 0


@kernel
def insert_entry(spans: Spans, entries: Entries, pool: Pool, row: Index, pair: Index) -> None:
    """Put `pair`, which the block of `row` lacks, into it with count 1; the pool must have the room needed."""
    needed = room_needed(spans, row)
    if needed > 0:
        _move(spans, entries, pool, row, needed)
    start, capacity = np.int64(spans[row, START]), np.int64(spans[row, CAPACITY])
    length = np.int64(spans[row, LENGTH])
    place = _hashed_place(entries, start, capacity, pair) if capacity > DENSE else start + length
    entries[2 * place] = pair
    entries[2 * place + 1] = 1
    spans[row, LENGTH] = length + 1
    if pair >= 0:
        pool[EDGES] += 1


@kernel
def _kind(capacity: Index) -> Index:
    """Where `pool` keeps the places of this capacity."""
    kind: Index = LEFT
    size = next_capacity(0)
    while size < capacity:
        size = next_capacity(size)
        kind += 1
    return kind


@kernel
def has_room(entries: Entries, pool: Pool, capacity: Index) -> bool:
    """Whether the pool can give a place to a block of this capacity."""
    return bool(pool[USED] + capacity <= entries.shape[0] >> 1 or pool[_kind(capacity)] >= 0)


@kernel
def _leave(entries: Entries, pool: Pool, start: Index, capacity: Index) -> None:
    """Keep the place of a block for another one."""
    if capacity > 0:
        kind = _kind(capacity)
        entries[2 * start] = pool[kind]
        pool[kind] = start
        pool[LIVE] -= capacity


@kernel
def _place(entries: Entries, pool: Pool, capacity: Index) -> Index:
    """The start of a place for a block of this capacity; the pool must have room."""
    kind = _kind(capacity)
    start = np.int64(pool[kind])
    if start >= 0:
        pool[kind] = entries[2 * start]
    else:
        start = np.int64(pool[USED])
        pool[USED] += capacity
    pool[LIVE] += capacity
    return start


@kernel
def clear_block(spans: Spans, entries: Entries, row: Index) -> None:
    """Mark every place of a hashed block as empty."""
    start, capacity = np.int64(spans[row, START]), np.int64(spans[row, CAPACITY])
    if capacity > DENSE:
        for place in range(start, start + capacity):
            entries[2 * place] = EMPTY
            entries[2 * place + 1] = 0


@kernel
def _move(spans: Spans, entries: Entries, pool: Pool, row: Index, capacity: Index) -> None:
    """Give the block of `row` a larger place."""
    old, old_capacity = np.int64(spans[row, START]), np.int64(spans[row, CAPACITY])
    start = _place(entries, pool, capacity)
    spans[row, START] = start
    spans[row, CAPACITY] = capacity
    clear_block(spans, entries, row)
    taken = old_capacity if old_capacity > DENSE else np.int64(spans[row, LENGTH])
    for index in range(taken):
        pair = np.int64(entries[2 * (old + index)])
        if pair != EMPTY:
            place = _hashed_place(entries, start, capacity, pair) if capacity > DENSE else start + index
            entries[2 * place] = pair
            entries[2 * place + 1] = entries[2 * (old + index) + 1]
    _leave(entries, pool, old, old_capacity)


@kernel
def delete_entry(spans: Spans, entries: Entries, pool: Pool, row: Index, place: Index) -> None:
    """Take the entry at `place` of the pool out of the block of `row`."""
    start, capacity = np.int64(spans[row, START]), np.int64(spans[row, CAPACITY])
    length = np.int64(spans[row, LENGTH]) - 1
    if entries[2 * place] >= 0:
        pool[EDGES] -= 1
    spans[row, LENGTH] = length
    if capacity <= DENSE:
        last = start + length
        entries[2 * place] = entries[2 * last]
        entries[2 * place + 1] = entries[2 * last + 1]
        return
    hole = place - start
    slot = hole
    while True:
        slot = (slot + 1) & (capacity - 1)
        pair = np.int64(entries[2 * (start + slot)])
        if pair == EMPTY:
            break
        if ((slot - _home(pair, capacity)) & (capacity - 1)) >= ((slot - hole) & (capacity - 1)):
            entries[2 * (start + hole)] = pair
            entries[2 * (start + hole) + 1] = entries[2 * (start + slot) + 1]
            hole = slot
    entries[2 * (start + hole)] = EMPTY
    entries[2 * (start + hole) + 1] = 0


@kernel
def free_block(spans: Spans, entries: Entries, pool: Pool, row: Index) -> None:
    """Give back the place of a block without entries."""
    _leave(entries, pool, np.int64(spans[row, START]), np.int64(spans[row, CAPACITY]))
    spans[row, START] = 0
    spans[row, CAPACITY] = 0
    spans[row, LENGTH] = 0


@kernel
def rebuild_pool(spans: Spans, entries: Entries, pool: Pool, num_rows: Index, fresh: Entries) -> None:
    """Copy every block in the order of the rows into a new pool, leaving out what belongs to none."""
    used = np.int64(0)
    for row in range(num_rows):
        start, capacity = np.int64(spans[row, START]), np.int64(spans[row, CAPACITY])
        if capacity <= 0:  # no block; a recycled row keeps other things in its span
            continue
        taken = capacity if capacity > DENSE else np.int64(spans[row, LENGTH])
        for index in range(2 * taken):
            fresh[2 * used + index] = entries[2 * start + index]
        spans[row, START] = used
        used += capacity
    pool[USED] = used
    pool[LEFT:] = -1


@kernel
def sound(spans: Spans, entries: Entries, pool: Pool, num_rows: Index, bits: Index, num_actions: Index) -> bool:
    """Whether every block and every place that was left lies in the pool and names pairs that exist."""
    used = pool[USED]
    for row in range(num_rows):
        start, capacity, length = np.int64(spans[row, 0]), np.int64(spans[row, 1]), np.int64(spans[row, 2])
        if capacity < 0:
            continue
        limit = capacity if capacity <= DENSE else (capacity >> 2) * 3
        if start < 0 or length < 0 or length > limit or start + capacity > used:
            return False
        for index in range(capacity if capacity > DENSE else length):
            pair = np.int64(entries[2 * (start + index)])
            action = pair & ((1 << bits) - 1) if pair >= 0 else -2 - pair
            if action >= num_actions or pair >> bits >= num_rows:
                return False
    for kind in range(LEFT, POOL_SIZES):
        place, steps = np.int64(pool[kind]), 0
        while place >= 0:
            steps += 1
            if place >= used or steps > used:
                return False
            place = np.int64(entries[2 * place])
    return True
