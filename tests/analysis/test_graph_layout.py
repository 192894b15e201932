"""The layout of graphs: shapes that are known, components that keep apart, the same places every time."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.analysis.graph_layout import Places, lay_out
from rl_discrete.analysis.table_layout import lay_out_tables
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError
from tests.analysis.explorer_worlds import long_walk, room
from tests.mdp.random_transitions import transitions_of

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]


def lattice(rows: int, columns: int) -> Ends:
    """A grid graph; node r * columns + c stands in row r and column c."""
    nodes = np.arange(rows * columns).reshape(rows, columns)
    sources = np.concatenate([nodes[:, :-1].ravel(), nodes[:-1].ravel()])
    return sources, np.concatenate([nodes[:, 1:].ravel(), nodes[1:].ravel()])


def distances(places: Places) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(places[:, None] - places[None], axis=2)
    return lengths


def test_a_path_is_laid_out_in_order() -> None:
    order = np.random.default_rng(0).permutation(60)
    places = lay_out(60, order[:-1], order[1:])[order]
    steps = np.diff(places[:, 0])
    assert (steps > 0).all() or (steps < 0).all()
    np.testing.assert_allclose(np.linalg.norm(np.diff(places, axis=0), axis=1), 1.0, atol=0.2)


def shape_error(places: Places) -> float:
    """How far distances are from those of a 12 x 20 lattice, as a share of them: the scale is free."""
    wanted = distances(np.stack(np.divmod(np.arange(240), 20), axis=1).astype(np.float64))
    found = distances(places)
    found *= (found * wanted).sum() / (found**2).sum()
    return float(np.abs(found - wanted).sum() / wanted.sum())


def test_a_lattice_is_laid_out_as_one() -> None:
    places = lay_out(240, *lattice(12, 20))
    assert shape_error(places) < 0.12
    assert shape_error(places[np.random.default_rng(0).permutation(240)]) > 0.3


def test_components_do_not_overlap() -> None:
    sizes = [(9, 9), (1, 1), (2, 6), (1, 2), (5, 5), (1, 1), (3, 1)]
    sources, targets, begins = [], [], [0]
    for rows, columns in sizes:
        first, second = lattice(rows, columns)
        sources.append(first + begins[-1])
        targets.append(second + begins[-1])
        begins.append(begins[-1] + rows * columns)
    places = lay_out(begins[-1], np.concatenate(sources), np.concatenate(targets))
    parts = [places[begin:end] for begin, end in pairwise(begins)]
    for index, part in enumerate(parts):
        for other in parts[:index]:
            gaps = np.maximum(part.min(0) - other.max(0), other.min(0) - part.max(0))
            assert gaps.max() > 1.0


def test_nodes_that_no_distance_tells_apart_do_not_coincide() -> None:
    places = lay_out(300, np.zeros(299, np.int64), np.arange(1, 300))
    apart = distances(places) + np.eye(300)
    assert apart.min() > 0.1


def test_only_the_graph_decides_the_places() -> None:
    sources, targets = lattice(6, 7)
    places = lay_out(42, sources, targets)
    loops = np.arange(42)
    again = lay_out(42, np.concatenate([targets, sources, loops]), np.concatenate([sources, targets, loops]))
    np.testing.assert_array_equal(places, again)


def test_small_graphs() -> None:
    assert lay_out(0, [], []).shape == (0, 2)
    assert len(np.unique(lay_out(5, [], []), axis=0)) == 5
    np.testing.assert_allclose(np.linalg.norm(np.diff(lay_out(2, [0], [1]), axis=0)), 1.0)


@pytest.mark.parametrize(("sources", "targets"), [([0], [3]), ([-1], [0]), ([0, 1], [1]), ([[0]], [[1]])])
def test_edges_that_are_none(sources: list[int], targets: list[int]) -> None:
    with pytest.raises(UsageError, match="sources and targets"):
        lay_out(3, sources, targets)


def test_a_key_that_keeps_its_meaning_keeps_its_place() -> None:
    tables = [room(1, 200, frames=False).transitions, room(2, 4000, frames=False).transitions]
    early, late = lay_out_tables(tables, same_meaning=True)
    where = dict(zip(tables[1].keys[:, 0].tolist(), late.tolist(), strict=True))
    assert [where[key] for key in tables[0].keys[:, 0].tolist()] == early.tolist()


def test_layouts_of_their_own_are_turned_towards_each_other() -> None:
    late = room(2, 9000, frames=False).transitions
    shuffled = np.random.default_rng(1).permutation(late.num_states)
    early = reordered(late, shuffled)
    places = lay_out_tables([early, late], same_meaning=False)
    moved = np.linalg.norm(places[0] - places[1][shuffled], axis=1).mean()
    alone = np.linalg.norm(lay_out_tables([early], False)[0] * [-1, 1] - places[1][shuffled], axis=1).mean()
    assert moved < 0.6 < 2.0 < alone


def reordered(table: Transitions, order: NDArray[np.int64]) -> Transitions:
    """The same table, its states in another order, so that the descent goes another way."""
    numbers = np.argsort(order)
    states, actions = np.divmod(table.edge_source, table.num_actions)
    visits = []
    for state, action, target, count in zip(states, actions, table.edge_target, table.edge_count, strict=True):
        visits += [(int(numbers[state]), int(action), 0.0, int(numbers[target]))] * int(count)
    return transitions_of(visits, table.keys[order], table.num_actions)


@pytest.mark.benchmark
def test_twenty_thousand_codes_in_seconds() -> None:
    table = long_walk(0, 20_000).transitions
    lay_out_tables([room(0, 100, frames=False).transitions], True)  # compiles
    begin = time.perf_counter()
    (places,) = lay_out_tables([table], same_meaning=True)
    assert time.perf_counter() - begin < 8
    assert np.isfinite(places).all()
