"""From the arrays of a table to an unchanging picture of it, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp import storage
from rl_discrete.mdp.blocks import (
    CAPACITY,
    DENSE,
    EDGES,
    LENGTH,
    LIVE,
    START,
    USED,
    capacities,
    clear_block,
    find_entry,
    insert_entry,
)
from rl_discrete.mdp.compiled import kernel
from rl_discrete.mdp.counting import ACTIONS, BITS, ROWS, Table
from rl_discrete.mdp.hashing import fill_slots
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError

_MAX_COUNT = 2**31 - 1


def picture(table: Table) -> Transitions:
    """States in the order of their rows, recycled rows left out."""
    rows = storage.live_rows(table)
    states = np.cumsum(storage.in_use(table)) - 1
    sources, targets, counts = (np.empty(int(table.pool[EDGES]), np.int64) for _ in range(3))
    _list_edges(table, states, sources, targets, counts)
    order = np.argsort(sources, kind="stable")  # targets ascend already
    return Transitions(
        keys=table.keys[rows],
        rows=rows,
        counts=storage.cells(table, table.counts)[rows].astype(np.int64),
        reward_sums=storage.cells(table, table.reward_sums)[rows],
        edge_source=sources[order],
        edge_target=targets[order],
        edge_count=counts[order],
    )


def filled(transitions: Transitions) -> Table:
    """Arrays with the contents of a picture; its states become rows 0, 1, ...

    Raises:
        UsageError: a count beyond 32 bits, or more states than fit.
    """
    states, actions = transitions.num_states, transitions.num_actions
    if transitions.counts.max(initial=0) > _MAX_COUNT:
        raise UsageError(f"counts must be < 2**31, got {transitions.counts.max()}")
    ends_state, ends_action = np.nonzero(transitions.terminations)
    source, action = np.divmod(transitions.edge_source, actions)
    table = storage.make_table(actions, transitions.keys.shape[1], max(states, storage.FIRST_ROWS), 0)
    bits = int(table.sizes[BITS])
    targets = np.concatenate([transitions.edge_target, ends_state])
    pairs = np.concatenate([source << bits | action, -2 - ends_action])
    counts = np.concatenate([transitions.edge_count, transitions.terminations[ends_state, ends_action]])

    room = capacities(np.bincount(targets, minlength=states))
    used = int(room.sum())
    if max(states << bits, used) > _MAX_COUNT:
        raise UsageError(f"a table holds fewer than 2**31 pairs and edges, got {states} states, {len(targets)} edges")
    table = table._replace(entries=np.zeros(2 * max(used, storage.FIRST_ENTRIES), np.int32))
    table.sizes[ROWS], table.pool[USED], table.pool[LIVE] = states, used, used
    table.keys[:states] = transitions.keys
    table.counts[: states * actions] = transitions.counts.ravel()
    table.reward_sums[: states * actions] = transitions.reward_sums.ravel()
    table.spans[:states, START] = np.cumsum(room) - room
    table.spans[:states, CAPACITY] = room
    fill_slots(table.slots, table.keys, storage.live_rows(table))
    _enter_edges(table, targets, pairs, counts)
    return table


@kernel
def _list_edges(
    table: Table,
    states: NDArray[np.int64],
    sources: NDArray[np.int64],
    targets: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Fill in the edges (E,): the number of the pair, s * A + a, the target and the count, in order of targets.

    `states` has the number of each row's state, -1 for recycled rows.
    """
    actions, bits = table.sizes[ACTIONS], table.sizes[BITS]
    mask = (np.int64(1) << bits) - 1
    edge = 0
    for row in range(table.sizes[ROWS]):
        start, taken = np.int64(table.spans[row, START]), np.int64(table.spans[row, CAPACITY])
        if taken <= DENSE:
            taken = np.int64(table.spans[row, LENGTH])
        for place in range(start, start + taken):
            pair = np.int64(table.entries[2 * place])
            if pair >= 0:
                sources[edge] = states[pair >> bits] * actions + (pair & mask)
                targets[edge] = states[row]
                counts[edge] = table.entries[2 * place + 1]
                edge += 1


@kernel
def _enter_edges(table: Table, rows: NDArray[np.int64], pairs: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Put new entries into the blocks of `rows` (E,), which have just room for them and are empty."""
    for row in range(table.sizes[ROWS]):
        clear_block(table.spans, table.entries, row)
    for edge in range(rows.shape[0]):
        row = rows[edge]
        insert_entry(table.spans, table.entries, table.pool, row, pairs[edge])
        table.entries[2 * find_entry(table.spans, table.entries, row, pairs[edge]) + 1] = counts[edge]
