"""Compiled loops of the graph layout."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.compiled import kernel

_MOST = 96  # nodes looked at in a row of three cells; more would cost the square of a crowd


@kernel
def breadth_first(
    offsets: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    start: int,
    hops: NDArray[np.int64],
    queue: NDArray[np.int64],
) -> int:
    """Hops from `start`, filled in where `hops` (N,) is -1; `queue` (N,) gets the nodes reached.

    Returns how many those are.
    """
    hops[start] = 0
    queue[0] = start
    head, tail = 0, 1
    while head < tail:
        node = queue[head]
        head += 1
        for edge in range(offsets[node], offsets[node + 1]):
            other = neighbours[edge]
            if hops[other] < 0:
                hops[other] = hops[node] + 1
                queue[tail] = other
                tail += 1
    return tail


@kernel
def stress_pass(
    offsets: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    pivots: NDArray[np.int64],
    hops: NDArray[np.int64],
    weights: NDArray[np.float64],
    order: NDArray[np.int64],
    step: float,
    places: NDArray[np.float64],
) -> None:
    """One pass over all terms of the stress, node by node in `order` (N,): each moves `places` (N, 2) at once.

    A pivot moves nodes towards the distance `hops` (N, P) from it with `weights` (N, P); an edge, of length and
    weight 1, moves both its ends.
    """
    for index in range(len(order)):
        node = order[index]
        for pivot in range(len(pivots)):
            if hops[node, pivot] > 0:
                other = pivots[pivot]
                x, y = places[node, 0] - places[other, 0], places[node, 1] - places[other, 1]
                length = math.sqrt(x * x + y * y) + 1e-9
                share = min(step * weights[node, pivot], 1.0) * (hops[node, pivot] - length) / length
                places[node, 0] += share * x
                places[node, 1] += share * y
        for edge in range(offsets[node], offsets[node + 1]):
            other = neighbours[edge]
            x, y = places[node, 0] - places[other, 0], places[node, 1] - places[other, 1]
            length = math.sqrt(x * x + y * y) + 1e-9
            share = 0.5 * min(step, 1.0) * (1.0 - length) / length
            places[node, 0] += share * x
            places[node, 1] += share * y
            places[other, 0] -= share * x
            places[other, 1] -= share * y


@kernel
def push_apart(
    places: NDArray[np.float64],
    order: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    distance: float,
    moves: NDArray[np.float64],
) -> None:
    """Moves nodes closer than `distance` half of what they lack from each other.

    Args:
        places: (N, 2), changed.
        order: (N,) nodes, sorted by their cell, row by row; cells are squares of side `distance`.
        begins, ends: (N, 3) for each node of `order`, what part of it lies in the three by three cells around it.
        distance: least distance between two nodes.
        moves: (N, 2) zeros, to work with.
    """
    for index in range(len(order)):
        node, met = order[index], 0
        for row in range(3):
            for place in range(begins[index, row], min(ends[index, row], begins[index, row] + _MOST)):
                other = order[place]
                x, y = places[node, 0] - places[other, 0], places[node, 1] - places[other, 1]
                length = math.sqrt(x * x + y * y)
                if other != node and length < distance:
                    share = 0.5 * (distance - length) / (length + 1e-9)
                    moves[node, 0] += share * x
                    moves[node, 1] += share * y
                    met += 1
        if met > 0:
            moves[node, 0] /= math.sqrt(met)
            moves[node, 1] /= math.sqrt(met)
    for node in range(len(places)):
        places[node, 0] += moves[node, 0]
        places[node, 1] += moves[node, 1]
