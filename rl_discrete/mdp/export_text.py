"""What the text formats share: keys as hexadecimal words, numbers that come back to the last bit, and a collector.

`repr` of a float is the shortest text that reads back as the same float, so no format loses anything.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rl_discrete.mdp.transitions import Keys, Transitions

_WORD_DIGITS = 16


def key_texts(keys: Keys) -> list[str]:
    """Each key as 16 hexadecimal digits per word, word 0 first."""
    return ["".join(f"{word:016x}" for word in words) for words in keys.tolist()]


def numbers(values: Iterable[float]) -> str:
    """Numbers separated by blanks."""
    return " ".join(map(repr, values))


class Collector:
    """Puts a table together again from states and edges in any order.

    `assemble` raises a ValueError where what was collected contradicts itself or leaves gaps.
    """

    def __init__(self, num_actions: int, key_words: int) -> None:
        self._num_actions, self._key_words = num_actions, key_words
        self._states: dict[int, tuple[str, int, list[int], list[float]]] = {}
        self._edges: list[tuple[int, int, int]] = []

    def state(self, state: int, key: str, row: int, counts: list[int], reward_sums: list[float]) -> None:
        """One state: its key as hexadecimal digits, and `num_actions` counts and reward sums."""
        if state in self._states:
            raise ValueError(f"state {state} occurs twice")
        if len(key) != _WORD_DIGITS * self._key_words:
            raise ValueError(f"the key of state {state} must have {_WORD_DIGITS * self._key_words} digits, got {key!r}")
        if not len(counts) == len(reward_sums) == self._num_actions:
            raise ValueError(f"state {state} must have {self._num_actions} counts and reward sums")
        self._states[state] = key, row, counts, reward_sums

    def edge(self, state: int, action: int, target: int, count: int) -> None:
        """One edge and how often it was followed."""
        if not 0 <= action < self._num_actions:
            raise ValueError(f"action {action} of state {state} is not in [0, {self._num_actions})")
        self._edges.append((state * self._num_actions + action, target, count))

    def assemble(self) -> Transitions:
        """The table: states by number, edges in order."""
        size = len(self._states)
        if sorted(self._states) != list(range(size)):
            raise ValueError(f"the {size} states must be numbered from 0 to {size - 1}")
        states = [self._states[state] for state in range(size)]
        words = [int(key[at : at + _WORD_DIGITS], 16) for key, *_ in states for at in range(0, len(key), _WORD_DIGITS)]
        edges = np.array(sorted(self._edges), np.int64).reshape(-1, 3).T
        return Transitions(
            keys=np.array(words, np.uint64).reshape(size, self._key_words),
            rows=np.array([row for _, row, _, _ in states], np.int32),
            counts=np.array([counts for _, _, counts, _ in states], np.int64).reshape(size, self._num_actions),
            reward_sums=np.array([sums for *_, sums in states], np.float64).reshape(size, self._num_actions),
            edge_source=edges[0].copy(),
            edge_target=edges[1].copy(),
            edge_count=edges[2].copy(),
        )
