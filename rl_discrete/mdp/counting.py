"""Compiled operations on the arrays of a table: one transition in, one out, orphan rows recycled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.blocks import (
    CAPACITY,
    LENGTH,
    START,
    Entries,
    Pool,
    Spans,
    delete_entry,
    find_entry,
    free_block,
    has_room,
    insert_entry,
    next_capacity,
    room_needed,
)
from rl_discrete.mdp.checks import TransitionArrays
from rl_discrete.mdp.compiled import Index, kernel
from rl_discrete.mdp.hashing import find_slot, free_slot

ROWS, FREE, NUM_FREE, ACTIONS, BITS, NEEDED = 0, 1, 2, 3, 4, 5
FREED = -1
TAKEN, NO_ROW, NO_ENTRY = 0, 1, 2


class Table(NamedTuple):
    """The arrays of a table with room for R rows of W words and A actions. Cell (row, action) is row * A + action."""

    keys: NDArray[np.uint64]
    """(R, W)"""
    slots: NDArray[np.int32]
    """The hash: rows by key."""
    spans: Spans
    """Blocks of predecessor edges. A recycled row has capacity FREED and the next recycled row as its start."""
    entries: Entries
    """The pool of the blocks."""
    pool: Pool
    """Its sizes."""
    counts: NDArray[np.int32]
    """(R * A,): N(s, a)."""
    reward_sums: NDArray[np.float64]
    """(R * A,)"""
    sizes: NDArray[np.int64]
    """(6,): rows ever used, first recycled row or -1, recycled rows, A, bits of an action, entries wanted last."""


@kernel
def take_in(table: Table, batch: TransitionArrays, index: Index) -> tuple[Index, Index, Index]:
    """Count one transition: whether it was taken (or what there was no room for), its row and its next row.

    The next row of a transition that terminated is its own row. Nothing changes where there is no room.
    """
    end = batch.terminated[index]
    slot = find_slot(table.slots, table.keys, batch.keys, index)
    row: Index = np.int64(table.slots[slot])
    next_row: Index = row
    missing: Index = np.int64(row < 0)
    if not end:
        next_row = np.int64(table.slots[find_slot(table.slots, table.keys, batch.next_keys, index)])
        if next_row < 0:
            same = row < 0
            for word in range(table.keys.shape[1]):
                same &= batch.keys[index, word] == batch.next_keys[index, word]
            missing += not same
    if missing > table.keys.shape[0] - table.sizes[ROWS] + table.sizes[NUM_FREE]:
        return NO_ROW, row, next_row

    action = np.int64(batch.actions[index])
    pair: Index = np.int64(-2 - action)
    place: Index = np.int64(-1)
    if not end and row >= 0:
        pair = (row << table.sizes[BITS]) | action
    needed = next_capacity(0)
    if next_row >= 0:
        if end or row >= 0:
            place = find_entry(table.spans, table.entries, next_row, pair)
        needed = room_needed(table.spans, next_row) if place < 0 else 0
    if needed > 0 and not has_room(table.entries, table.pool, needed):
        table.sizes[NEEDED] = needed
        return NO_ENTRY, row, next_row

    if row < 0:
        row = _new_row(table, batch.keys, index, slot)
    if end:
        next_row = row
    else:
        if next_row < 0:
            slot = find_slot(table.slots, table.keys, batch.next_keys, index)
            next_row = np.int64(table.slots[slot])  # the row just made, where both keys are the same
            if next_row < 0:
                next_row = _new_row(table, batch.next_keys, index, slot)
        pair = (row << table.sizes[BITS]) | action
    if place >= 0:
        table.entries[2 * place + 1] += 1
    else:
        insert_entry(table.spans, table.entries, table.pool, next_row, pair)
    cell = row * table.sizes[ACTIONS] + action
    table.counts[cell] += 1
    table.reward_sums[cell] += batch.rewards[index]
    return TAKEN, row, next_row


@kernel
def _new_row(table: Table, keys: NDArray[np.uint64], index: Index, slot: Index) -> Index:
    row = np.int64(table.sizes[FREE])
    if row >= 0:
        table.sizes[FREE] = table.spans[row, START]
        table.sizes[NUM_FREE] -= 1
        table.spans[row, START] = 0
        table.spans[row, CAPACITY] = 0
    else:
        row = np.int64(table.sizes[ROWS])
        table.sizes[ROWS] = row + 1
    for word in range(keys.shape[1]):
        table.keys[row, word] = keys[index, word]
    table.slots[slot] = row
    return row


@kernel
def add_batch(table: Table, batch: TransitionArrays, begin: Index, refused: Index) -> tuple[Index, Index, Index]:
    """Count transitions from `begin` on, up to the first for which there is no room.

    What stands in `refused` (a sum of NO_ROW and NO_ENTRY) is passed over instead. The result: where it stopped,
    what was lacking there, how many were taken.
    """
    taken = 0
    for index in range(begin, batch.actions.shape[0]):
        status, _, _ = take_in(table, batch, index)
        if status == TAKEN:
            taken += 1
        elif status & refused == 0:
            return index, status, taken
    return batch.actions.shape[0], TAKEN, taken


@kernel
def check_removal(
    table: Table,
    batch: TransitionArrays,
    rows: NDArray[np.int32],
    next_rows: NDArray[np.int32],
    places: NDArray[np.int64],
) -> Index:
    """The first transition that the table does not hold (as often as it occurs up to there), or -1.

    `rows`, `next_rows` and `places` (N,) are filled in. The table is as before when this returns.
    """
    num = batch.actions.shape[0]
    missing = -1
    for index in range(num):
        row = np.int64(table.slots[find_slot(table.slots, table.keys, batch.keys, index)])
        next_row, pair = row, np.int64(-2 - batch.actions[index])
        if not batch.terminated[index]:
            next_row = np.int64(table.slots[find_slot(table.slots, table.keys, batch.next_keys, index)])
            pair = (row << table.sizes[BITS]) | np.int64(batch.actions[index])
        place = find_entry(table.spans, table.entries, next_row, pair) if row >= 0 and next_row >= 0 else -1
        if place < 0 or table.entries[2 * place + 1] <= 0:
            missing = index
            break
        table.entries[2 * place + 1] -= 1
        rows[index], next_rows[index], places[index] = row, next_row, place
    for index in range(num if missing < 0 else missing):
        table.entries[2 * places[index] + 1] += 1
    return missing


@kernel
def take_out(table: Table, row: Index, action: Index, reward: float, next_row: Index, end: bool) -> None:
    """Uncount one transition that the table holds. Rows stay, even as orphans."""
    pair = np.int64(-2 - action) if end else (row << table.sizes[BITS]) | action
    place = find_entry(table.spans, table.entries, next_row, pair)
    table.entries[2 * place + 1] -= 1
    if table.entries[2 * place + 1] == 0:
        delete_entry(table.spans, table.entries, table.pool, next_row, place)
    cell = row * table.sizes[ACTIONS] + action
    table.counts[cell] -= 1
    table.reward_sums[cell] = table.reward_sums[cell] - reward if table.counts[cell] > 0 else 0.0


@kernel
def remove_batch(table: Table, batch: TransitionArrays, rows: NDArray[np.int32], next_rows: NDArray[np.int32]) -> None:
    """Uncount transitions that `check_removal` has found."""
    for index in range(batch.actions.shape[0]):
        take_out(
            table,
            np.int64(rows[index]),
            np.int64(batch.actions[index]),
            batch.rewards[index],
            np.int64(next_rows[index]),
            batch.terminated[index],
        )


@kernel
def release(table: Table, row: Index) -> bool:
    """Recycle `row` if it is an orphan: in use, without counts and without predecessors. Whether it was."""
    spans = table.spans
    if spans[row, CAPACITY] == FREED or spans[row, LENGTH] > 0:
        return False
    actions = table.sizes[ACTIONS]
    for cell in range(row * actions, (row + 1) * actions):
        if table.counts[cell] > 0:
            return False
    free_slot(table.slots, table.keys, row)
    free_block(table.spans, table.entries, table.pool, row)
    spans[row, CAPACITY] = FREED
    spans[row, START] = table.sizes[FREE]
    table.sizes[FREE] = row
    table.sizes[NUM_FREE] += 1
    return True


@kernel
def release_batch(table: Table, rows: NDArray[np.int32]) -> None:
    """Recycle the orphans among `rows`."""
    for index in range(rows.shape[0]):
        release(table, np.int64(rows[index]))


@kernel
def find_rows(table: Table, keys: NDArray[np.uint64], rows: NDArray[np.int32]) -> None:
    """Fill in the row of each key, -1 where unknown."""
    for index in range(keys.shape[0]):
        rows[index] = table.slots[find_slot(table.slots, table.keys, keys, index)]
