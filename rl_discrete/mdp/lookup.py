"""Values where the table has none: from the nearest keys in Hamming distance (VaST, Corneil et al. 2018, section 2).

Per action: the entry of the key itself where the action was tried there; otherwise the visit-weighted mean
sum N Q / sum N over all rows at the smallest distance at which any row has tried it. The original enumerates bit flips
shell by shell; here one pass counts differing bits, so all shells and all actions are found at once. Departure: an
action that nobody tried within the radius takes the fallback alone, where the original then forgets all actions.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.compiled import kernel
from rl_discrete.mdp.transitions import Keys
from rl_discrete.runs.errors import UsageError

_BLOCK = 4096  # rows whose keys stay in the cache while every query passes over them
_WORD_BITS = 64


@dataclass(frozen=True)
class Estimates:
    """Values of B queries and A actions, and from how far away each was taken."""

    q: NDArray[np.float64]
    """(B, A): the estimated Q, never nan."""
    radius: NDArray[np.int32]
    """(B, A): 0 for the key's own entry, the distance of the neighbours otherwise, -1 for the fallback."""


class ReadablePlanner(Protocol):
    """What the lookup needs of a planner."""

    def q_values(self, keys: Keys) -> NDArray[np.float64]:
        """float64 (B, A), nan where untried."""
        ...

    def view(self) -> tuple[Keys, NDArray[np.float64], NDArray[np.integer]]:
        """Its keys (N, W), Q (N, A) and counts (N, A), not copied; rows not in use have counts 0."""
        ...


class HammingLookup:
    """Q for any key, known to the planner or not.

    Args:
        planner: read at every call, never copied.
        max_radius: the largest distance of a neighbour, in bits; None: any. Larger radii cost no time.
        fallback: Q of an action that no row within the radius has tried.
        penalty: what Q loses for each bit of distance from the row that it is taken from.

    Raises:
        UsageError: `max_radius` < 0, a fallback that is not finite, or a penalty that is not in [0, inf).
    """

    def __init__(
        self,
        planner: ReadablePlanner,
        max_radius: int | None = None,
        fallback: float = 0.0,
        penalty: float = 0.0,
    ) -> None:
        _check_options(max_radius, fallback)
        if not 0.0 <= penalty < math.inf:
            raise UsageError(f"penalty must be >= 0 and finite, got {penalty}")
        self._planner = planner
        self._penalty = penalty
        self._max_radius = max_radius
        self._fallback = fallback

    def q_values(self, keys: Keys) -> Estimates:
        """Estimates for uint64 keys (B, W). Only keys with an untried action cost a pass over the table.

        Raises:
            UsageError: keys of another type or width than the planner's.
        """
        q_values = np.array(self._planner.q_values(keys))
        radius = np.zeros(q_values.shape, np.int32)
        open_queries = np.flatnonzero(np.isnan(q_values).any(axis=1))
        if len(open_queries):
            found = nearest(*self._planner.view(), keys[open_queries], self._max_radius, self._fallback)
            q_values[open_queries] = found.q - self._penalty * found.radius.clip(min=0)
            radius[open_queries] = found.radius
        return Estimates(q_values, radius)


def nearest(
    keys: Keys,
    q: NDArray[np.float64],
    counts: NDArray[np.integer],
    queries: Keys,
    max_radius: int | None = None,
    fallback: float = 0.0,
) -> Estimates:
    """Estimates for `queries` from a table of N rows; see the module. O(B N W), about 0.4 ns a word.

    Args:
        keys: uint64 (N, W), each key once among the rows in use.
        q: float64 (N, A), read only where the count is positive.
        counts: integers (N, A), 0 where untried and in rows not in use.
        queries: uint64 (B, W).
        max_radius, fallback: see `HammingLookup`.

    Raises:
        UsageError: other types or shapes, `max_radius` < 0, or a fallback that is not finite.
    """
    _check_options(max_radius, fallback)
    for name, array in (("keys", keys), ("queries", queries)):
        if array.dtype != np.uint64 or array.ndim != 2:
            raise UsageError(f"{name} must be uint64 (rows, words), got {array.dtype} {array.shape}")
    if queries.shape[1] != keys.shape[1]:
        raise UsageError(f"keys must have {keys.shape[1]} words like the table's, got {queries.shape[1]}")
    if q.shape != counts.shape or q.ndim != 2 or len(q) != len(keys):
        raise UsageError(f"q and counts must have shape ({len(keys)}, A), got {q.shape} and {counts.shape}")
    widest = _WORD_BITS * keys.shape[1]
    reach = widest if max_radius is None else min(operator.index(max_radius), widest)
    shape = (len(queries), q.shape[1])
    sums, weights, radius = np.zeros(shape), np.zeros(shape), np.full(shape, reach, np.int32)
    limits = np.empty(len(queries), np.int64)
    _scan(keys, q, counts, np.ascontiguousarray(queries), sums, weights, radius, limits)
    found = weights > 0
    np.divide(sums, weights, out=sums, where=found)
    return Estimates(np.where(found, sums, fallback), np.where(found, radius, -1).astype(np.int32))


def _check_options(max_radius: int | None, fallback: float) -> None:
    if max_radius is not None and max_radius < 0:
        raise UsageError(f"max_radius must be >= 0, got {max_radius}; 0 allows no neighbours")
    if not math.isfinite(fallback):
        raise UsageError(f"fallback must be finite, got {fallback}")


@kernel
def _scan(
    keys: Keys,
    q: NDArray[np.float64],
    counts: NDArray[np.integer],
    queries: Keys,
    sums: NDArray[np.float64],
    weights: NDArray[np.float64],
    radius: NDArray[np.int32],
    limits: NDArray[np.int64],
) -> None:
    """Fill `sums` of N Q and `weights` of N at the smallest distance, `radius`; it comes in as the largest.

    No row further away than the query's entry in `limits` can matter; -1: all is known.
    """
    for query in range(len(queries)):
        limits[query] = _limit(query, weights, radius)
    for begin in range(0, len(keys), _BLOCK):
        end = min(begin + _BLOCK, len(keys))
        unfinished = False
        for query in range(len(queries)):
            row = begin
            while limits[query] >= 0:
                unfinished = True
                row, distance = seek(keys, queries, query, row, end, limits[query])
                if row == end:
                    break
                if _take(distance, row, query, q, counts, sums, weights, radius):
                    limits[query] = _limit(query, weights, radius)
                row += 1
        if not unfinished:
            return


@kernel
def _limit(query: int, weights: NDArray[np.float64], radius: NDArray[np.int32]) -> int:
    limit = -1
    for action in range(radius.shape[1]):
        if radius[query, action] > 0 or weights[query, action] == 0.0:
            limit = max(limit, int(radius[query, action]))
    return limit


@kernel
def _take(
    distance: int,
    row: int,
    query: int,
    q: NDArray[np.float64],
    counts: NDArray[np.integer],
    sums: NDArray[np.float64],
    weights: NDArray[np.float64],
    radius: NDArray[np.int32],
) -> bool:
    """Let one row count for the actions that it tried and for which none nearer is known; whether it is nearer."""
    nearer = False
    for action in range(radius.shape[1]):
        if distance <= radius[query, action] and counts[row, action] > 0:
            if distance < radius[query, action]:
                radius[query, action], sums[query, action], weights[query, action] = distance, 0.0, 0.0
                nearer = True
            weight = float(counts[row, action]) if distance else 1.0  # the key's own entry, to the last bit
            sums[query, action] += weight * q[row, action]
            weights[query, action] += weight
    return nearer


@kernel
def seek(keys: Keys, queries: Keys, query: int, row: int, end: int, limit: int) -> tuple[int, int]:
    """The first row from `row` on whose key is at most `limit` bits from the query's, and its distance; or `end`."""
    words = np.uint64(keys.shape[1])
    first = queries[query, 0]
    for place in range(np.uint64(row), np.uint64(end)):
        distance = _count(keys[place, 0] ^ first)
        for word in range(np.uint64(1), words):
            distance += _count(keys[place, word] ^ queries[query, word])
        if distance <= np.uint64(limit):
            return int(np.int64(place)), int(np.int64(distance))
    return end, 0


@kernel
def _count(bits: np.uint64) -> np.uint64:
    """How many bits are set. The compiler knows this way of counting and uses the processor's own."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)
