"""From observations to a table: the key of every row of the replay, and the planner over the transitions between them.

A row of the replay holds an observation, and the action and the reward that led to it from the row before. So a row
names the transition that ends in it, and changing the key of a row changes two transitions: the one that ends there
and the one that begins there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.config import PlannerConfig
from rl_discrete.data.replay import Replay
from rl_discrete.data.ring import Ring
from rl_discrete.mdp.checks import TransitionArrays
from rl_discrete.mdp.lookup import Estimates, HammingLookup, ReadablePlanner
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import Keys, TabularMDP
from rl_discrete.runs.errors import UsageError

Rows = NDArray[np.int64]
_NO_LIMIT = np.iinfo(np.int64).max


class Tabulation:
    """Keys of the replay's rows, and a planner whose table holds the transitions between them.

    A cut (truncated) episode ends in an ordinary state, a terminated one in none; the first observation of the next
    episode follows neither.

    Attributes:
        planner: the planner and its table; replaced by `rebuild`.
        lookup: action values with the Hamming fallback, from that planner.
    """

    def __init__(
        self,
        replay: Replay,
        num_actions: int,
        key_words: int,
        config: PlannerConfig,
        warn: Callable[[str], None] = print,
    ) -> None:
        self._replay, self._config, self._warn = replay, config, warn
        self._num_actions, self._key_words = num_actions, key_words
        self._keys = Ring((key_words,), np.uint64)  # of the replay's rows
        self._partial = False  # whether the table, at its memory cap, has refused a transition
        self._told_cap = 0  # the memory cap that the line about it named: it comes once a run, not with every table
        self._use(self._empty())

    def values(self, keys: Keys) -> Estimates:
        """Action values (B, A), none of them nan, and the Hamming distance each was found at."""
        return self.lookup.q_values(keys)

    def keys(self, rows: Rows) -> Keys:
        """The keys (B, W) of rows of the replay."""
        return self._keys[rows]

    def assign(self, rows: Rows, keys: Keys) -> None:
        """Gives rows that the replay has just received their keys."""
        self._keys.reserve(self._replay.first_row, self._replay.next_row)
        self._keys[rows] = keys

    def observe(self, rows: Rows) -> None:
        """Adds the transitions that end in `rows`, as far as the table takes them; a start ends none."""
        rows = rows[self._replay.columns(rows).previous >= 0]
        if len(rows):
            self._add(self._arrays(rows))

    def forget(self, leaving: Rows) -> None:
        """Removes the transitions that begin or end in rows that the replay is about to drop."""
        self._remove(self._arrays(self._affected(leaving)))

    def relabel(self, rows: Rows, keys: Keys) -> int:
        """Gives rows new keys and moves every transition that this affects; how many rows changed.

        Args:
            rows: rows of the replay, none of them twice.
            keys: their new keys (B, W).
        """
        changed = (self.keys(rows) != keys).any(axis=1) & ~self._replay.columns(rows).terminated
        rows, keys = rows[changed], keys[changed]
        affected = self._affected(rows)
        removed = self._arrays(affected)
        self.assign(rows, keys)
        if self._partial:
            self._remove(removed)
            self._add(self._arrays(affected))
        elif self.planner.relabel(removed, self._arrays(affected)) < len(affected):
            self._partial = True
        return len(rows)

    def rebuild(self, keys: Keys) -> float:
        """Gives every row of the replay a new key, builds the table anew and sweeps it.

        Values start at the visit-weighted mean of the values that the same observations had before, so that little
        is left to plan. Transitions that have left the replay cannot be encoded again: they are dropped.

        Args:
            keys: uint64 (N, W), for the N rows that the replay keeps, in order.

        Returns:
            The share of states that changed their key.
        """
        rows = self._replay.rows()
        states = ~self._replay.columns(rows).terminated
        before = self.keys(rows)[states]
        values = self.planner.values(before)
        self.assign(rows, keys)
        self._use(self._empty())
        self._partial = False
        self.observe(rows)
        merged, places = np.unique(keys[states], axis=0, return_inverse=True)
        means = np.bincount(places, values) / np.bincount(places)
        known = self.planner.table.rows(merged) >= 0
        self.planner.set_values(merged[known], means[known])
        self.planner.plan(_NO_LIMIT, self._config.rebuild_backups)
        return float((before != keys[states]).any(axis=1).mean()) if states.any() else 0.0

    def state(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Parts of a checkpoint: the table with its planner, and the keys of the replay's rows."""
        rows = self._replay.rows()
        return {
            "table": {**_prefixed("table/", self.planner.table.state()), **_prefixed("planner/", self.planner.state())},
            "keys": {
                "rows": rows,
                "keys": self._keys[rows],
                "partial": np.array(self._partial),
                "told_cap": np.array(self._told_cap),
            },
        }

    def load_state(self, state: dict[str, dict[str, NDArray[Any]]]) -> None:
        """Continues from what `state` gave, the replay being as it was then; the memory cap is the configuration's."""
        part = state["keys"]
        self.assign(part["rows"], part["keys"])
        self._partial = bool(part["partial"])
        self._told_cap = int(part.get("told_cap", 0))  # checkpoints did without it once
        self._use(load_planner(state["table"], self._tell_cap, self._config.max_bytes))

    def _empty(self) -> PrioritizedSweeping:
        return build_planner(self._num_actions, self._key_words, self._config, self._tell_cap)

    def _tell_cap(self, line: str) -> None:
        if self._told_cap != self._config.max_bytes:
            self._told_cap = self._config.max_bytes
            self._warn(line)

    def _use(self, planner: PrioritizedSweeping) -> None:
        self.planner = planner
        self.lookup = build_lookup(planner, self._config)

    def _affected(self, rows: Rows) -> Rows:
        """The rows, in order, at which the table's transitions that begin or end in `rows` end."""
        following = self._replay.columns(rows).following
        ends = np.union1d(rows, following[following >= 0])
        return ends[self._replay.columns(ends).previous >= 0]

    def _add(self, arrays: TransitionArrays) -> None:
        if self.planner.observe(*arrays) < len(arrays.actions):
            self._partial = True

    def _remove(self, arrays: TransitionArrays) -> None:
        """Removes transitions; where the table has refused some before, those that it holds."""
        if not self._partial:
            self.planner.forget(*arrays)
            return
        for index in range(len(arrays.actions)):
            with suppress(UsageError):
                self.planner.forget(*(array[index : index + 1] for array in arrays))

    def _arrays(self, rows: Rows) -> TransitionArrays:
        """The transitions that end in `rows`, none of them a start."""
        columns = self._replay.columns(rows)
        return TransitionArrays(
            self.keys(columns.previous), columns.actions, columns.rewards, self.keys(rows), columns.terminated
        )


def build_planner(
    num_actions: int, key_words: int, config: PlannerConfig, warn: Callable[[str], None] = print
) -> PrioritizedSweeping:
    """A planner on an empty table, as the configuration wants them; `warn` receives a line at the memory cap.

    Raises:
        UsageError: a setting out of range, or a cap below the size of an empty table.
    """
    table = TabularMDP(num_actions, key_words, config.max_bytes, warn)
    return PrioritizedSweeping(table, config.discount, config.cutoff, config.optimistic_value)


def build_lookup(planner: ReadablePlanner, config: PlannerConfig) -> HammingLookup:
    """Action values as the configuration wants untried ones to be found."""
    return HammingLookup(planner, config.lookup_radius, config.lookup_fallback, config.lookup_penalty)


def load_planner(
    part: dict[str, NDArray[Any]], warn: Callable[[str], None] = print, max_bytes: int | None = None
) -> PrioritizedSweeping:
    """The planner, its settings and its table, from the part `table` of a checkpoint; see `TabularMDP.from_state`."""
    table = TabularMDP.from_state(_unprefixed("table/", part), warn, max_bytes)
    return PrioritizedSweeping.from_state(table, _unprefixed("planner/", part))


def _prefixed(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {prefix + name: array for name, array in arrays.items()}


def _unprefixed(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
