"""The arrays of a table while they are written: room is made as needed, up to a memory cap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp import storage
from rl_discrete.mdp.checks import TransitionArrays
from rl_discrete.mdp.compiled import Index
from rl_discrete.mdp.counting import NEEDED, NO_ROW, TAKEN, Table, check_removal
from rl_discrete.runs.errors import RunError, UsageError

Rows: TypeAlias = NDArray[np.int32]
Taker: TypeAlias = Callable[[TransitionArrays, Index, Index], tuple[Index, Index, Index]]
"""Takes in a batch from an index on, passing over what was refused: where it stopped, what was lacking, how many."""


class Store:
    """Holds the arrays, replaces them by larger ones, and remembers whether the cap refused something.

    Attributes:
        arrays: the arrays; replaced when they grow.
        full: whether the cap refused something since anything was last removed.
        planner_row_bytes: what an attached planner adds to each row; it counts under the cap.
        version: goes up with every change, so that a planner sees when somebody else wrote.
    """

    def __init__(self, arrays: Table, max_bytes: int | None, warn: Callable[[str], None]) -> None:
        self.arrays = arrays
        self.full = False
        self.planner_row_bytes = 0
        self.version = 0
        self._max_bytes = max_bytes
        self._warn = warn
        self._warned = False
        if max_bytes is not None and max_bytes < self.num_bytes:
            raise UsageError(f"max_bytes must be >= {self.num_bytes}, the size of an empty table, got {max_bytes}")

    @property
    def num_bytes(self) -> int:
        """Memory of all arrays, room to spare included; the planner's not."""
        return sum(array.nbytes for array in self.arrays)

    def take(self, batch: TransitionArrays, taker: Taker, recycle: Callable[[], None] | None = None) -> int:
        """Run `taker` over the batch, making room whenever it lacks some; how many transitions were taken.

        Args:
            batch: transitions to add.
            taker: adds them; it reads `arrays` anew each time.
            recycle: called before the cap refuses anything: it may free rows.
        """
        begin: Index = 0
        refused: Index = 0
        total = 0
        self.version += 1
        while begin < len(batch.actions):
            begin, lacking, taken = taker(batch, begin, refused)
            total += int(taken)
            if lacking == TAKEN or self._make_room(lacking):
                continue
            if recycle is not None:
                recycle()
                recycle = None
                continue
            refused |= lacking
            self._refuse()
        return total

    def held(self, batch: TransitionArrays) -> tuple[Rows, Rows]:
        """Rows and next rows of a batch that is to be removed.

        Raises:
            UsageError: the table does not hold one of them, as often as it occurs in the batch.
        """
        num = len(batch.actions)
        rows, next_rows = np.empty(num, np.int32), np.empty(num, np.int32)
        missing = check_removal(self.arrays, batch, rows, next_rows, np.empty(num, np.int64))
        if missing >= 0:
            key, next_key = _hexadecimal(batch.keys[missing]), _hexadecimal(batch.next_keys[missing])
            reached = "its end" if batch.terminated[missing] else f"key {next_key}"
            raise UsageError(
                f"transition {missing} cannot be removed, it was not added (often enough): key {key}, "
                f"action {batch.actions[missing]}, to {reached}; remove with the keys that were used to add"
            )
        return rows, next_rows

    def removed(self) -> None:
        """Note that something was removed: there may be room again."""
        self.version += 1
        self.full = False

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays and cap, for a checkpoint."""
        cap = -1 if self._max_bytes is None else self._max_bytes
        return {**storage.save(self.arrays), "cap": np.array([cap, self.full, self._warned], np.int64)}

    @classmethod
    def from_state(
        cls, state: Mapping[str, NDArray[Any]], warn: Callable[[str], None], max_bytes: int | None = None
    ) -> Store:
        """The store that `state` saw, or under another cap (RunError where the arrays do not fit)."""
        store = cls(storage.restore(state), None, warn)
        if "cap" not in state or state["cap"].shape != (3,):
            raise RunError("the saved table lacks its memory cap; go back to an older checkpoint")
        cap, full, warned = (int(number) for number in state["cap"])
        store._max_bytes = None if cap < 0 else cap
        store.full, store._warned = bool(full), bool(warned)
        if max_bytes not in (None, store._max_bytes):
            store._max_bytes, store._warned = max_bytes, False
        return store

    def _make_room(self, lacking: Index) -> bool:
        budget, planner = float(2**62), self.planner_row_bytes
        if self._max_bytes is not None:
            budget = self._max_bytes - self.num_bytes - planner * len(self.arrays.keys)
        if lacking == NO_ROW:
            grown = storage.grow_rows(self.arrays, budget, planner)
        else:
            grown = storage.grow_entries(self.arrays, int(self.arrays.sizes[NEEDED]), budget)
        if grown is not None:
            self.arrays = grown
        return grown is not None

    def _refuse(self) -> None:
        self.full = True
        if not self._warned:
            self._warned = True
            self._warn(
                f"the table is at its memory cap of {self._max_bytes} bytes: new states and edges are left out, "
                "what it knows goes on; raise max_bytes for more"
            )


def _hexadecimal(key: NDArray[np.uint64]) -> str:
    return " ".join(f"{word:#x}" for word in key)
