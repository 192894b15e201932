"""Places in the plane for the codes of tables that follow each other in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_discrete.analysis.graph_layout import Places, lay_out
from rl_discrete.mdp.transitions import Keys, Transitions

__all__ = ["Places", "lay_out_tables"]


def lay_out_tables(tables: Sequence[Transitions], same_meaning: bool) -> list[Places]:
    """For each table the places (S, 2) of its codes.

    Where a key always means the same, all tables share one layout, that of all their codes and edges together, so
    that a code never moves. Where the encoder has learned between the tables, a key may have come to mean another
    place, and the edges of two tables together would join what is far apart: each table then has a layout of its
    own, turned to bring the codes that it shares with the next one as near to their places there as a rotation and
    a reflection can.

    Args:
        tables: in order of time.
        same_meaning: whether a key means the same in all of them.
    """
    if same_meaning and tables:
        return _shared(tables)
    places: list[Places] = []
    for index in reversed(range(len(tables))):
        own = lay_out(tables[index].num_states, *_edges(tables[index]))
        places.append(_turned(own, tables[index], places[-1], tables[index + 1]) if places else own)
    return places[::-1]


def _shared(tables: Sequence[Transitions]) -> list[Places]:
    sizes = np.cumsum([table.num_states for table in tables])[:-1]
    merged, numbers = np.unique(np.concatenate([table.keys for table in tables]), axis=0, return_inverse=True)
    own = np.split(numbers.reshape(-1), sizes)
    edges = [[codes[ends] for ends in _edges(table)] for codes, table in zip(own, tables, strict=True)]
    sources, targets = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    places = lay_out(len(merged), sources, targets)
    return [places[codes] for codes in own]


def _edges(table: Transitions) -> tuple[np.ndarray, np.ndarray]:
    return table.edge_source // table.num_actions, table.edge_target


def _turned(places: Places, table: Transitions, other_places: Places, other: Transitions) -> Places:
    """`places` of `table`, moved by the rigid motion that fits them best to those of the codes also in `other`.

    The orthogonal Procrustes problem, a code weighted by the fewer of its visits.
    """
    own, others = _common(table.keys, other.keys)
    if len(own) < 3:
        return places
    weights = np.minimum(table.counts[own].sum(axis=1), other.counts[others].sum(axis=1)) + 1.0
    weights /= weights.sum()
    center, other_center = weights @ places[own], weights @ other_places[others]
    goals = weights[:, None] * (other_places[others] - other_center)
    left, _, right = np.linalg.svd((places[own] - center).T @ goals)
    turned: Places = (places - center) @ (left @ right) + other_center
    return turned


def _common(keys: Keys, others: Keys) -> tuple[np.ndarray, np.ndarray]:
    """Where the keys stand that both have: two arrays of places, in the same order."""
    numbers = np.unique(np.concatenate([keys, others]), axis=0, return_inverse=True)[1].reshape(-1)
    _, own, there = np.intersect1d(numbers[: len(keys)], numbers[len(keys) :], return_indices=True)
    return own, there
