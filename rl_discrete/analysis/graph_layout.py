"""A place in the plane for every node of a graph: tens of thousands of nodes in seconds, the same places every time.

Pivot MDS (Brandes and Pich, "Eigensolver methods for progressive multidimensional scaling of large data", GD 2006) on
the numbers of hops gives the shape, sparse stress by stochastic gradient descent (Zheng, Pawar and Goodman, "Graph
drawing by stochastic gradient descent", TVCG 2018; weights of Ortmann, Klimenta and Brandes 2017) the details, and a
few local steps push nodes apart that came to lie on each other. Connected components are laid out one by one and set
side by side. The unit of length is an edge.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from rl_discrete.analysis.layout_kernels import breadth_first, push_apart, stress_pass
from rl_discrete.runs.errors import UsageError

Places: TypeAlias = NDArray[np.float64]
Nodes: TypeAlias = NDArray[np.int64]

_PIVOTS = 64
_PASSES = 24  # of gradient descent over all terms of the stress
_LAST_STEP = 0.1  # how far an edge is corrected in the last of them
_APART = 0.7  # least distance between two nodes that the local steps aim for
_LOCAL_STEPS = 24
_GAP = 2.0  # between two components
_ASPECT = 1.5  # width of the whole picture to its height


def lay_out(num_nodes: int, sources: npt.ArrayLike, targets: npt.ArrayLike) -> Places:
    """Places float64 (num_nodes, 2) of the nodes of a graph; its edges have a length of about 1.

    Args:
        num_nodes: N >= 0.
        sources: (E,) integers in [0, N).
        targets: (E,) the other ends; directions, repeated edges and loops do not matter.

    Raises:
        UsageError: an end that is no node, or ends that do not pair.
    """
    first, second = np.asarray(sources, np.int64), np.asarray(targets, np.int64)
    if first.shape != second.shape or first.ndim != 1:
        raise UsageError(f"sources and targets must both be (E,), got {first.shape} and {second.shape}")
    ends = np.concatenate([first, second])
    if num_nodes < 0 or np.any((ends < 0) | (ends >= num_nodes)):
        raise UsageError(f"sources and targets must be nodes in [0, {num_nodes})")
    offsets, neighbours = _adjacency(num_nodes, first, second)
    order, sizes = _components(offsets, neighbours)
    places = np.zeros((num_nodes, 2))
    local = np.empty(num_nodes, np.int64)  # the number of a node within its component
    generator = np.random.default_rng(0)  # of the order of the descent and of ties, always the same
    boxes, begin = [], 0
    for size in sizes.tolist():
        members = order[begin : begin + size]
        local[members] = np.arange(size)
        places[members] = _component(*_part(offsets, neighbours, members, local), generator)
        boxes.append(np.ptp(places[members], axis=0))
        begin += size
    corners = _shelves(np.array(boxes).reshape(-1, 2))
    places[order] += np.repeat(corners, sizes, axis=0)
    return places


def _adjacency(num_nodes: int, first: Nodes, second: Nodes) -> tuple[Nodes, ...]:
    """Offsets (N + 1,) and neighbours of every node, each once and in order, without loops."""
    apart = first != second
    first, second = first[apart], second[apart]
    codes = np.unique(np.concatenate([first * num_nodes + second, second * num_nodes + first]))
    offsets = np.zeros(num_nodes + 1, np.int64)
    if len(codes) == 0:
        return offsets, codes
    heads, tails = np.divmod(codes, num_nodes)
    np.cumsum(np.bincount(heads, minlength=num_nodes), out=offsets[1:])
    return offsets, tails


def _components(offsets: Nodes, neighbours: Nodes) -> tuple[Nodes, Nodes]:
    """All nodes (N,), component after component, the largest first, and the sizes of the components."""
    num_nodes = len(offsets) - 1
    hops, queue = np.full(num_nodes, -1, np.int64), np.empty(num_nodes, np.int64)
    labels, found = np.full(num_nodes, -1, np.int64), 0
    for node in range(num_nodes):
        if labels[node] < 0:
            reached = breadth_first(offsets, neighbours, node, hops, queue)
            labels[queue[:reached]] = found
            found += 1
    sizes = np.bincount(labels, minlength=found)
    rank = np.empty(found, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(found)
    return np.argsort(rank[labels], kind="stable"), np.sort(sizes)[::-1]


def _part(offsets: Nodes, neighbours: Nodes, members: Nodes, local: Nodes) -> tuple[Nodes, Nodes]:
    """The adjacency of one component, its nodes numbered from 0."""
    degrees = offsets[members + 1] - offsets[members]
    inner = np.zeros(len(members) + 1, np.int64)
    np.cumsum(degrees, out=inner[1:])
    positions = np.arange(inner[-1]) + np.repeat(offsets[members] - inner[:-1], degrees)
    return inner, local[neighbours[positions]]


def _component(offsets: Nodes, neighbours: Nodes, generator: np.random.Generator) -> Places:
    """Places of a connected graph: its long axis lies level, its lower left corner at the origin."""
    size = len(offsets) - 1
    if size <= 2:
        return np.stack([np.arange(size, dtype=np.float64), np.zeros(size)], axis=1)
    pivots, hops = _pivots(offsets, neighbours, min(size, _PIVOTS))
    places = _pivot_mds(hops)
    lengths = np.linalg.norm(places[:, None] - places[pivots], axis=2)
    places *= (lengths * hops).sum() / (lengths**2).sum()
    places += generator.normal(scale=0.05, size=places.shape)  # nodes in the same place could never be told apart
    weights = _pivot_weights(pivots, hops)
    smallest = weights[hops > 0].min()
    for step in np.geomspace(1.0 / smallest, _LAST_STEP, _PASSES):
        stress_pass(offsets, neighbours, pivots, hops, weights, generator.permutation(size), float(step), places)
    for _ in range(_LOCAL_STEPS):
        _separate(places)
    places -= places.mean(axis=0)
    places = places @ _signed(np.linalg.eigh(places.T @ places)[1][:, ::-1])
    places -= places.min(axis=0)
    return places


def _pivots(offsets: Nodes, neighbours: Nodes, count: int) -> tuple[Nodes, Nodes]:
    """Pivots (P,), each as far as can be from those before it, and the hops (N, P) from every node to them."""
    size = len(offsets) - 1
    queue, hops = np.empty(size, np.int64), np.full((count, size), -1, np.int64)
    reached = breadth_first(offsets, neighbours, 0, np.full(size, -1, np.int64), queue)
    pivots, nearest = [int(queue[reached - 1])], np.full(size, size, np.int64)
    for row in hops:
        breadth_first(offsets, neighbours, pivots[-1], row, queue)
        nearest = np.minimum(nearest, row)
        pivots.append(int(nearest.argmax()))
    return np.array(pivots[:-1]), np.ascontiguousarray(hops.T)


def _pivot_mds(hops: Nodes) -> Places:
    """Classical scaling on the columns of the pivots (N, P): Brandes and Pich, section 3."""
    squares = hops.astype(np.float64) ** 2
    centred = -0.5 * (squares - squares.mean(0) - squares.mean(1, keepdims=True) + squares.mean())
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    places: Places = centred @ _signed(axes)
    return places


def _pivot_weights(pivots: Nodes, hops: Nodes) -> NDArray[np.float64]:
    """(N, P): a pivot stands for the nodes of its region that are nearer to it than half the way to the node."""
    weights = np.zeros(hops.shape)
    region = hops.argmin(axis=1)
    for index in range(len(pivots)):
        within = np.bincount(hops[region == index, index], minlength=int(hops[:, index].max()) + 1).cumsum()
        weights[:, index] = within[hops[:, index] // 2] / np.maximum(hops[:, index], 1) ** 2
    return weights


def _signed(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Axes (D, 2), whose signs are free, with those that make the largest entry of each positive."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return axes * np.where(largest < 0, -1.0, 1.0)


def _separate(places: Places) -> None:
    """One step apart for nodes closer than they should be."""
    cells = np.floor((places - places.min(axis=0)) / _APART).astype(np.int64)
    columns = int(cells[:, 0].max()) + 3  # an empty column on either side
    numbers = cells[:, 1] * columns + cells[:, 0]
    order = np.argsort(numbers, kind="stable")
    rows = numbers[order, None] + np.array([-columns, 0, columns])
    begins = np.searchsorted(numbers[order], rows - 1)
    ends = np.searchsorted(numbers[order], rows + 1, side="right")
    push_apart(places, order, begins, ends, _APART, np.zeros_like(places))


def _shelves(boxes: Places) -> Places:
    """Lower left corners (M, 2) for boxes (M, 2) of widths and heights, side by side and row above row."""
    corners = np.zeros_like(boxes)
    if len(boxes) == 0:
        return corners
    padded = boxes + _GAP
    width = max(float(padded[:, 0].max()), math.sqrt(_ASPECT * float(padded.prod(axis=1).sum())))
    x = y = height = 0.0
    for index in np.argsort(-boxes[:, 1], kind="stable").tolist():
        if x > 0 and x + padded[index, 0] > width:
            x, y, height = 0.0, y + height, 0.0
        corners[index] = x, y
        x, height = x + padded[index, 0], max(height, padded[index, 1])
    return corners
