"""Fewer states than codes: a key gives way to that of a state which differs from it in few bits.

Long codes keep places apart that short ones confuse, but then one place has many codes, each seen too seldom to plan
with. Merging codes within a small Hamming distance keeps the first and mends the second. Not in VaST, whose table has a
row for every code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.compiled import kernel
from rl_discrete.mdp.lookup import seek
from rl_discrete.mdp.transitions import Keys


def nearest_known(keys: Keys, known: Keys, radius: int) -> Keys:
    """For each of `keys` (B, W) the nearest of `known` (N, W) within `radius` bits, the first of several, or itself."""
    nearest = np.empty(len(keys), np.int64)
    _find(np.ascontiguousarray(known), np.ascontiguousarray(keys), radius, nearest)
    found = nearest >= 0
    merged = keys.copy()
    merged[found] = known[nearest[found]]
    return merged


def merge(keys: Keys, radius: int) -> Keys:
    """Keys (N, W) in which codes within `radius` bits have become one.

    Codes are taken from the most frequent to the rarest: each joins the nearest that stands, or stands itself. So no
    key moves further than `radius`, and no two that are left are nearer. O(codes times states).
    """
    codes, places, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    standing, leaders = np.empty_like(codes), np.empty(len(codes), np.int64)
    _lead(codes[order], radius, standing, leaders)
    merged = np.empty_like(codes)
    merged[order] = standing[leaders]
    return np.asarray(merged[places.ravel()])


@kernel
def _find(known: Keys, keys: Keys, radius: int, nearest: NDArray[np.int64]) -> None:
    for index in range(len(keys)):
        nearest[index] = _nearest(known, len(known), keys, index, radius)


@kernel
def _lead(codes: Keys, radius: int, standing: Keys, leaders: NDArray[np.int64]) -> None:
    """Fill `standing` with the codes that stand, in order, and `leaders` with the place there of each code's own."""
    number = 0
    for index in range(len(codes)):
        leader = _nearest(standing, number, codes, index, radius)
        if leader < 0:
            leader = number
            for word in range(codes.shape[1]):
                standing[leader, word] = codes[index, word]
            number += 1
        leaders[index] = leader


@kernel
def _nearest(known: Keys, number: int, keys: Keys, index: int, radius: int) -> int:
    """The first of the first `number` known keys that are nearest to a key, within `radius` bits; -1: none is."""
    nearest, row, limit = -1, 0, radius
    while limit >= 0:
        row, distance = seek(known, keys, index, row, number, limit)
        if row == number:
            break
        nearest, limit = row, distance - 1
        row += 1
    return nearest
