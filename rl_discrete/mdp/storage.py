"""The memory of a table: how its arrays are made, how they grow, what they weigh, how they are saved.

Arrays double while the table is small. A large table grows by an eighth at a time: copying costs little next to the
adds that fill it, and memory stays close to what is in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.blocks import CAPACITY, LIVE, START, USED, make_pool, rebuild_pool, sound
from rl_discrete.mdp.counting import ACTIONS, BITS, FREE, FREED, NUM_FREE, ROWS, Table
from rl_discrete.mdp.hashing import SLOTS_PER_ROW, fill_slots, make_slots
from rl_discrete.runs.errors import RunError

FIRST_ROWS, FIRST_ENTRIES = 64, 256
_LARGE = 1 << 14
_ENTRY_BYTES = 8
_MAX_PAIRS = 2**31 - 1  # pairs and places in the pool are int32
_FORMAT = 1


def make_table(num_actions: int, key_words: int, rows: int = FIRST_ROWS, entries: int = FIRST_ENTRIES) -> Table:
    """An empty table with room for `rows` rows and `entries` entries."""
    return Table(
        keys=np.zeros((rows, key_words), np.uint64),
        slots=make_slots(rows),
        spans=np.zeros((rows, 3), np.int32),
        entries=np.zeros(2 * entries, np.int32),
        pool=make_pool(),
        counts=np.zeros(rows * num_actions, np.int32),
        reward_sums=np.zeros(rows * num_actions),
        sizes=np.array([0, -1, 0, num_actions, (num_actions - 1).bit_length(), 0], np.int64),
    )


def in_use(table: Table) -> NDArray[np.bool_]:
    """(rows ever used,): whether each row is in use, not recycled."""
    return np.asarray(table.spans[: table.sizes[ROWS], CAPACITY] != FREED)


def live_rows(table: Table) -> NDArray[np.int32]:
    """Rows in use, ascending."""
    return np.flatnonzero(in_use(table)).astype(np.int32)


def row_bytes(table: Table) -> float:
    """Bytes that the table spends on one row, edges apart."""
    words, actions = int(table.keys.shape[1]), int(table.sizes[ACTIONS])
    return 8.0 * words + 4 * SLOTS_PER_ROW + 12 + 12 * actions


def enlarge(array: NDArray[Any], length: int, fill: float = 0.0) -> NDArray[Any]:
    """A copy with `length` items, the new ones all `fill`."""
    larger = np.zeros((length, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    if fill != 0:
        larger[len(array) :] = fill
    return larger


def cells(table: Table, array: NDArray[Any]) -> NDArray[Any]:
    """The used part of an array over cells as (rows ever used, A), without a copy."""
    rows, actions = int(table.sizes[ROWS]), int(table.sizes[ACTIONS])
    return array[: rows * actions].reshape(rows, actions)


def grow_rows(table: Table, budget: float, planner_row_bytes: int) -> Table | None:
    """The table with room for more rows; None where not even a few fit into `budget` more bytes."""
    rows, actions = len(table.keys), int(table.sizes[ACTIONS])
    wanted = 2 * rows if rows < _LARGE else rows + rows // 8
    larger = int(
        min(wanted, rows + budget // (row_bytes(table) + planner_row_bytes), _MAX_PAIRS >> int(table.sizes[BITS]))
    )
    if larger < rows + max(rows // 64, 2):
        return None
    keys, slots = enlarge(table.keys, larger), make_slots(larger)
    fill_slots(slots, keys, table.slots[table.slots >= 0])
    return table._replace(
        keys=keys,
        slots=slots,
        spans=enlarge(table.spans, larger),
        counts=enlarge(table.counts, larger * actions),
        reward_sums=enlarge(table.reward_sums, larger * actions),
    )


def grow_entries(table: Table, needed: int, budget: float) -> Table | None:
    """The table with its pool rebuilt so that `needed` entries fit; None where `budget` more bytes are not enough.

    A pool at its limit is still rebuilt when that wins back a few entries in a hundred.
    """
    capacity, live = len(table.entries) // 2, int(table.pool[LIVE])
    wanted = max(live + live // (1 if live < _LARGE else 2), live + needed, FIRST_ENTRIES)
    larger = int(min(wanted, capacity + max(budget, 0) // _ENTRY_BYTES, _MAX_PAIRS))
    if larger < wanted and larger < live + max(needed, live // 32):
        return None
    entries = np.zeros(2 * larger, np.int32)
    rebuild_pool(table.spans, table.entries, table.pool, int(table.sizes[ROWS]), entries)
    return table._replace(entries=entries)


def save(table: Table) -> dict[str, NDArray[Any]]:
    """Everything that a table needs to go on exactly: copies, without the room to spare."""
    rows, cells = int(table.sizes[ROWS]), int(table.sizes[ROWS] * table.sizes[ACTIONS])
    return {
        "format": np.array([_FORMAT, len(table.keys), len(table.entries) // 2], np.int64),
        "sizes": table.sizes.copy(),
        "pool": table.pool.copy(),
        "keys": table.keys[:rows].copy(),
        "spans": table.spans[:rows].copy(),
        "entries": table.entries[: 2 * table.pool[USED]].copy(),
        "counts": table.counts[:cells].copy(),
        "reward_sums": table.reward_sums[:cells].copy(),
    }


def restore(saved: Mapping[str, NDArray[Any]]) -> Table:
    """The table that `save` saw.

    Raises:
        RunError: arrays are missing, or do not fit each other.
    """
    try:
        version, row_capacity, entry_capacity = (int(number) for number in saved["format"])
        if version != _FORMAT:
            raise RunError(f"the saved table has format {version}, this version reads {_FORMAT}; use the other version")
        sizes, pool, keys = saved["sizes"], saved["pool"], saved["keys"]
        table = make_table(int(sizes[ACTIONS]), keys.shape[1], row_capacity, entry_capacity)
        table.sizes[:] = sizes
        table.pool[:] = pool
        for name in ("keys", "spans", "entries", "counts", "reward_sums"):
            array = getattr(table, name)
            array[: len(saved[name])] = saved[name]
    except (KeyError, ValueError, IndexError) as error:
        raise RunError(f"the saved table is incomplete or damaged ({error}); go back to an older checkpoint") from error
    _check(table, saved)
    fill_slots(table.slots, table.keys, live_rows(table))
    return table


def _check(table: Table, saved: Mapping[str, NDArray[Any]]) -> None:
    """Nothing may lead a kernel outside its arrays."""
    rows, actions, bits = int(table.sizes[ROWS]), int(table.sizes[ACTIONS]), int(table.sizes[BITS])
    used = int(table.pool[USED])
    lengths = {
        "keys": rows,
        "spans": rows,
        "entries": 2 * used,
        "counts": rows * actions,
        "reward_sums": rows * actions,
    }
    wrong = [name for name, length in lengths.items() if len(saved[name]) != length]
    free = table.spans[:rows][~in_use(table), START]
    good = (
        not wrong
        and bits == (actions - 1).bit_length()
        and sound(table.spans, table.entries, table.pool, rows, bits, actions)
        and int(table.sizes[NUM_FREE]) == len(free)
        and np.all((free >= -1) & (free < rows))
        and -1 <= int(table.sizes[FREE]) < rows
    )
    if not good:
        raise RunError("the saved table contradicts itself; go back to an older checkpoint")
