"""Rows by key: an open-addressing hash over packed keys of any width.

A slot holds a row number or -1; the keys themselves stand in the table. Probing is linear, removal shifts later slots
back, so there are no tombstones. The number of slots need not be a power of two: a hash of 32 bits is multiplied into
the range, which lets memory follow the number of rows closely.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.compiled import Index, kernel

SLOTS_PER_ROW = 1.5
_EMPTY = -1


def make_slots(row_capacity: int) -> NDArray[np.int32]:
    """Empty slots for at most `row_capacity` rows."""
    return np.full(int(row_capacity * SLOTS_PER_ROW) + 1, _EMPTY, np.int32)


@kernel
def _home(keys: NDArray[np.uint64], index: Index, num_slots: Index) -> Index:
    """The slot at which the search for a key begins."""
    mixed = np.uint64(0)
    for word in range(keys.shape[1]):
        mixed = (mixed ^ keys[index, word]) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(num_slots)) >> np.uint64(32))


@kernel
def find_slot(slots: NDArray[np.int32], keys: NDArray[np.uint64], wanted: NDArray[np.uint64], index: Index) -> Index:
    """The slot that holds the row of key `wanted[index]`, or the free slot where it belongs."""
    slot = _home(wanted, index, slots.shape[0])
    while True:
        row = np.int64(slots[slot])
        if row < 0:
            return slot
        same = True
        for word in range(wanted.shape[1]):
            same &= keys[row, word] == wanted[index, word]
        if same:
            return slot
        slot += 1
        if slot == slots.shape[0]:
            slot = 0


@kernel
def free_slot(slots: NDArray[np.int32], keys: NDArray[np.uint64], row: Index) -> None:
    """Forget the key of `row`, which must be present: later slots of the same run move back."""
    num_slots = slots.shape[0]
    hole = find_slot(slots, keys, keys, row)
    slot = hole
    while True:
        slot += 1
        if slot == num_slots:
            slot = 0
        moved = np.int64(slots[slot])
        if moved < 0:
            break
        home = _home(keys, moved, num_slots)
        # It may move back into the hole unless its home lies in (hole, slot], counted around the end.
        if (slot - home) % num_slots >= (slot - hole) % num_slots:
            slots[hole] = moved
            hole = slot
    slots[hole] = -1


@kernel
def fill_slots(slots: NDArray[np.int32], keys: NDArray[np.uint64], rows: NDArray[np.int32]) -> None:
    """Enter rows into empty slots; fastest in the order of other slots, which this order resembles."""
    for index in range(rows.shape[0]):
        row = np.int64(rows[index])
        slots[find_slot(slots, keys, keys, row)] = row
