"""Compiled small backups: the values of a table, kept consistent with it through every change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.blocks import CAPACITY, DENSE, LENGTH, START
from rl_discrete.mdp.checks import TransitionArrays
from rl_discrete.mdp.compiled import Index, kernel
from rl_discrete.mdp.counting import (
    ACTIONS,
    BITS,
    FREED,
    ROWS,
    TAKEN,
    Table,
    release,
    take_in,
    take_out,
)
from rl_discrete.mdp.heap import drop, pop, put
from rl_discrete.mdp.values import BACKUPS, CUTOFF, DISCOUNT, SWEEPS, UNTRIED, Values


@kernel
def best_value(values: Values, row: Index, actions: Index) -> float:
    """The largest Q of a row; 0 where no action counts."""
    untried = values.settings[UNTRIED]
    best = -np.inf
    for cell in range(row * actions, (row + 1) * actions):
        q = values.q[cell]
        if q > best:
            best = q
        elif q != q and untried > best:
            best = untried
    return best if best > -np.inf else 0.0


@kernel
def queue(values: Values, row: Index) -> None:
    """Bring the place of `row` in the queue up to date."""
    priority = abs(values.v[row] - values.u[row])
    if priority > values.settings[CUTOFF]:
        put(values.heap, row, priority)
    else:
        drop(values.heap, row)


@kernel
def sweep(table: Table, values: Values) -> Index:
    """Take the first row of the queue and tell its predecessors its value: the number of small backups.

    The predecessors are visited twice, first to change Q and V, then to queue those whose V changed: the reads of the
    first pass do not depend on each other and overlap, and the second finds everything in the cache.
    """
    actions, bits = table.sizes[ACTIONS], table.sizes[BITS]
    mask = np.uint64((1 << bits) - 1)
    row = pop(values.heap)
    scaled = values.settings[DISCOUNT] * (values.v[row] - values.u[row])
    values.u[row] = values.v[row]
    start, taken = np.int64(table.spans[row, START]), np.int64(table.spans[row, CAPACITY])
    if taken <= DENSE:
        taken = np.int64(table.spans[row, LENGTH])
    changed: Index = 0
    backups = 0
    for place in range(start, start + taken):
        pair = np.int64(table.entries[2 * place])
        if pair < 0:
            continue
        source = np.uint64(pair >> bits)
        cell = source * np.uint64(actions) + (np.uint64(pair) & mask)
        old = values.q[cell]
        new = old + scaled * table.entries[2 * place + 1] / table.counts[cell]
        values.q[cell] = new
        backups += 1
        if new <= values.v[source]:
            if old < values.v[source]:
                continue
            new = best_value(values, np.int64(source), actions)
            if new == values.v[source]:
                continue
        values.v[source] = new
        if changed == values.touched.shape[0]:
            changed = _queue_touched(values, changed)
        values.touched[changed] = source
        changed += 1
    _queue_touched(values, changed)
    return backups


@kernel
def _queue_touched(values: Values, changed: Index) -> Index:
    for index in range(changed):
        queue(values, np.int64(values.touched[index]))
    return 0


@kernel
def run_sweeps(table: Table, values: Values, max_sweeps: Index, max_backups: Index) -> Index:
    """Sweep until the queue is empty or a budget is spent; the number of sweeps."""
    sweeps = 0
    backups: Index = 0
    while sweeps < max_sweeps and backups < max_backups and values.heap.length[0] > 0:
        backups += sweep(table, values)
        sweeps += 1
    values.done[SWEEPS] += sweeps
    values.done[BACKUPS] += backups
    return sweeps


@kernel
def observe_batch(
    table: Table, values: Values, batch: TransitionArrays, begin: Index, refused: Index
) -> tuple[Index, Index, Index]:
    """`add_batch` with the values kept up to date."""
    actions, discount, taken = table.sizes[ACTIONS], values.settings[DISCOUNT], 0
    for index in range(begin, batch.actions.shape[0]):
        status, row, next_row = take_in(table, batch, index)
        if status != TAKEN:
            if status & refused == 0:
                return index, status, taken
            continue
        taken += 1
        cell = row * actions + batch.actions[index]
        sample = batch.rewards[index]
        if not batch.terminated[index]:
            sample += discount * values.u[next_row]
        if table.counts[cell] == 1:
            values.q[cell] = sample
        else:
            values.q[cell] += (sample - values.q[cell]) / table.counts[cell]
        values.v[row] = best_value(values, row, actions)
        queue(values, row)
    return batch.actions.shape[0], TAKEN, taken


@kernel
def forget_batch(
    table: Table, values: Values, batch: TransitionArrays, rows: NDArray[np.int32], next_rows: NDArray[np.int32]
) -> None:
    """`remove_batch` with the values kept up to date."""
    actions, discount = table.sizes[ACTIONS], values.settings[DISCOUNT]
    for index in range(batch.actions.shape[0]):
        row, next_row = np.int64(rows[index]), np.int64(next_rows[index])
        action, end = np.int64(batch.actions[index]), batch.terminated[index]
        take_out(table, row, action, batch.rewards[index], next_row, end)
        cell = row * actions + action
        sample = batch.rewards[index]
        if not end:
            sample += discount * values.u[next_row]
        if table.counts[cell] == 0:
            values.q[cell] = np.nan
        else:
            values.q[cell] += (values.q[cell] - sample) / table.counts[cell]
        values.v[row] = best_value(values, row, actions)
        queue(values, row)


@kernel
def release_valued(table: Table, values: Values, rows: NDArray[np.int32]) -> None:
    """`release_batch`; recycled rows get the values of new ones."""
    for index in range(rows.shape[0]):
        row = np.int64(rows[index])
        if release(table, row):
            drop(values.heap, row)
            values.v[row] = best_value(values, row, table.sizes[ACTIONS])
            values.u[row] = values.v[row]


@kernel
def expect(table: Table, values: Values, q: NDArray[np.float64]) -> None:
    """Fill in Q as the invariant demands it, from counts, reward sums and U; nan where untried."""
    actions, bits, discount = table.sizes[ACTIONS], table.sizes[BITS], values.settings[DISCOUNT]
    mask = (np.int64(1) << bits) - 1
    for cell in range(table.sizes[ROWS] * actions):
        q[cell] = table.reward_sums[cell]
    for row in range(table.sizes[ROWS]):
        start, taken = np.int64(table.spans[row, START]), np.int64(table.spans[row, CAPACITY])
        if taken <= DENSE:
            taken = np.int64(table.spans[row, LENGTH])
        for place in range(start, start + taken):
            pair = np.int64(table.entries[2 * place])
            if pair >= 0:
                q[(pair >> bits) * actions + (pair & mask)] += discount * values.u[row] * table.entries[2 * place + 1]
    for cell in range(table.sizes[ROWS] * actions):
        q[cell] = q[cell] / table.counts[cell] if table.counts[cell] > 0 else np.nan


@kernel
def requeue(table: Table, values: Values) -> None:
    """Derive V and the queue from Q and U, from nothing."""
    values.heap.length[0] = 0
    for row in range(table.sizes[ROWS]):
        values.heap.places[row] = -1
    for row in range(table.sizes[ROWS]):
        values.v[row] = best_value(values, row, table.sizes[ACTIONS])
        if table.spans[row, CAPACITY] == FREED:
            values.u[row] = values.v[row]
        queue(values, row)
