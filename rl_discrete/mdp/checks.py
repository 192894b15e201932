"""What a caller hands to a table, checked before anything changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from rl_discrete.runs.errors import UsageError


class TransitionArrays(NamedTuple):
    """N transitions. Where one terminated, its next key is ignored."""

    keys: NDArray[np.uint64]
    """(N, W)"""
    actions: NDArray[np.int64]
    """(N,) in [0, A)."""
    rewards: NDArray[np.float64]
    """(N,), finite."""
    next_keys: NDArray[np.uint64]
    """(N, W)"""
    terminated: NDArray[np.bool_]
    """(N,)"""


def checked_keys(keys: npt.ArrayLike, key_words: int, name: str = "keys") -> NDArray[np.uint64]:
    """`keys` as a contiguous uint64 (N, W).

    Raises:
        UsageError: another type or another width than the table's.
    """
    array = np.asarray(keys)
    if array.dtype != np.uint64:
        raise UsageError(f"{name} must be uint64, got {array.dtype}; make them with latents.codes.pack")
    if array.ndim != 2 or array.shape[1] != key_words:
        raise UsageError(
            f"{name} must have shape (N, {key_words}), the width of this table, got {array.shape}; "
            "a table serves codes of one length"
        )
    return np.require(array, requirements=["C", "W"])


def checked_key(key: int | npt.ArrayLike, key_words: int, name: str = "key") -> NDArray[np.uint64]:
    """One key, uint64 (W,) or for W = 1 an integer, as (1, W).

    Raises:
        UsageError: another type or another width than the table's.
    """
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if not 0 <= int(key) < 2**64:
            raise UsageError(f"{name} must be between 0 and 2**64 - 1, got {key}")
        key = np.array([key], np.uint64)
    return checked_keys(np.asarray(key)[None], key_words, name)


def checked_rows(rows: npt.ArrayLike, num_rows: int) -> NDArray[np.int64]:
    """Row numbers (B,) that may be used as an index.

    Raises:
        UsageError: not integers, or rows that the table has not got.
    """
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise UsageError(f"rows must be integers (B,), got {array.dtype} {array.shape}")
    if array.size and not 0 <= array.min() <= array.max() < num_rows:
        wrong = array[(array < 0) | (array >= num_rows)][0]
        raise UsageError(f"rows must be between 0 and {num_rows - 1}, got {wrong}; -1 stands for an unknown key")
    return array.astype(np.int64)


def checked_batch(transitions: Sequence[Any], num_actions: int, key_words: int) -> TransitionArrays:
    """(keys, actions, rewards, next_keys, terminated) in the types that the kernels expect.

    Raises:
        UsageError: types, shapes or lengths do not fit; an action is out of range; a reward is not finite.
    """
    if len(transitions) != 5:
        raise UsageError(
            f"transitions are (keys, actions, rewards, next_keys, terminated), got {len(transitions)} items"
        )
    keys = checked_keys(transitions[0], key_words)
    next_keys = checked_keys(transitions[3], key_words, "next_keys")
    actions, rewards, terminated = (np.asarray(transitions[item]) for item in (1, 2, 4))
    arrays = {"actions": actions, "rewards": rewards, "next_keys": next_keys, "terminated": terminated}
    for name, array in arrays.items():
        if array.shape[:1] != (len(keys),) or (array.ndim != 1 and name != "next_keys"):
            raise UsageError(f"{name} must have {len(keys)} items like keys, got shape {array.shape}")
    if len(keys) == 0:
        actions, rewards, terminated = actions.astype(np.int64), rewards.astype(np.float64), terminated.astype(np.bool_)
    if not np.issubdtype(actions.dtype, np.integer):
        raise UsageError(f"actions must be integers, got {actions.dtype}")
    if terminated.dtype != np.bool_:
        raise UsageError(f"terminated must be bool, got {terminated.dtype}")
    if not (np.issubdtype(rewards.dtype, np.floating) or np.issubdtype(rewards.dtype, np.integer)):
        raise UsageError(f"rewards must be numbers, got {rewards.dtype}")
    if actions.size and not 0 <= actions.min() <= actions.max() < num_actions:
        index = int(np.flatnonzero((actions < 0) | (actions >= num_actions))[0])
        raise UsageError(f"actions must be between 0 and {num_actions - 1}, got {actions[index]} at transition {index}")
    if not np.isfinite(rewards).all():
        index = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise UsageError(f"rewards must be finite, got {rewards[index]} at transition {index}; look at the environment")
    return TransitionArrays(
        keys,
        np.require(actions, np.int64, ["C", "W"]),
        np.require(rewards, np.float64, ["C", "W"]),
        next_keys,
        np.require(terminated, np.bool_, ["C", "W"]),
    )
