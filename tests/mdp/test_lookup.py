from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_discrete.mdp.lookup import Estimates, HammingLookup, nearest
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import TabularMDP
from rl_discrete.runs.errors import UsageError


def by_definition(
    keys: NDArray[np.uint64],
    q: NDArray[np.float64],
    counts: NDArray[np.int32],
    query: NDArray[np.uint64],
    max_radius: int | None,
    fallback: float,
) -> tuple[list[float], list[int]]:
    """One query the plain way: sort the rows into shells, and look at them one after the other."""
    distances = [sum(int(a ^ b).bit_count() for a, b in zip(key, query, strict=True)) for key in keys]
    values, radii = [], []
    for action in range(q.shape[1]):
        tried = [row for row in range(len(keys)) if counts[row, action] > 0]
        radius = min((distances[row] for row in tried), default=10**6)
        if radius > (10**5 if max_radius is None else max_radius):
            values.append(fallback)
            radii.append(-1)
            continue
        shell = [row for row in tried if distances[row] == radius]
        total = sum(int(counts[row, action]) for row in shell)
        values.append(sum(counts[row, action] * q[row, action] for row in shell) / total)
        radii.append(radius)
    return values, radii


def random_table(
    seed: int, rows: int, words: int, actions: int, width: int, tried: float
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.int32]]:
    """Distinct keys with `width` bits in use per word, spread over the whole word, so that shells are full."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(64, size=width, replace=False)).astype(np.uint64)
    bits = rng.integers(2, size=(rows, words, width), dtype=np.uint64)
    keys = np.unique((bits << places).sum(axis=2, dtype=np.uint64), axis=0)
    keys = rng.permutation(keys)
    counts = rng.integers(1, 9, size=(len(keys), actions), dtype=np.int32)
    counts[rng.random(counts.shape) >= tried] = 0
    q = np.where(counts > 0, rng.normal(size=counts.shape), np.nan)
    return keys, q, counts


@settings(deadline=None, max_examples=80)
@example(seed=0, rows=0, words=1, actions=2, width=4, tried=0.5, max_radius=None)
@example(seed=0, rows=9000, words=1, actions=2, width=64, tried=0.01, max_radius=None)
@example(seed=1, rows=5000, words=3, actions=3, width=2, tried=0.2, max_radius=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 60),
    words=st.integers(1, 4),
    actions=st.integers(1, 5),
    width=st.sampled_from([1, 3, 8, 64]),
    tried=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    max_radius=st.none() | st.integers(0, 300),
)
def test_estimates_follow_the_definition(
    seed: int, rows: int, words: int, actions: int, width: int, tried: float, max_radius: int | None
) -> None:
    keys, q, counts = random_table(seed, rows, words, actions, width, tried)
    rng = np.random.default_rng(seed + 1)
    known = keys[rng.integers(len(keys), size=2)] if len(keys) else keys
    flips = np.uint64(1) << rng.integers(64, size=(2, words), dtype=np.uint64)
    queries = np.concatenate([known, known ^ flips[: len(known)], random_table(seed + 2, 3, words, 1, width, 1.0)[0]])
    found = nearest(keys, q, counts, queries, max_radius, fallback=-7.0)
    assert found.q.shape == found.radius.shape == (len(queries), actions)
    assert found.q.dtype == np.float64
    assert found.radius.dtype == np.int32
    for query, values, radii in zip(queries, found.q, found.radius, strict=True):
        expected, distances = by_definition(keys, q, counts, query, max_radius, -7.0)
        assert radii.tolist() == distances
        np.testing.assert_allclose(values, expected, rtol=1e-12)
    for row, query in enumerate(queries):  # a batch is its queries one by one, to the last bit
        alone = nearest(keys, q, counts, query[None], max_radius, fallback=-7.0)
        np.testing.assert_array_equal(alone.q[0], found.q[row])


def test_a_shell_is_weighed_by_visits_and_every_action_has_its_own() -> None:
    keys = np.array([[0b0000], [0b0001], [0b0010], [0b0111]], np.uint64)
    counts = np.array([[5, 0, 0], [1, 1, 0], [9, 3, 0], [9, 9, 2]], np.int32)
    q = np.array([[1.5, np.nan, np.nan], [8.0, 1.0, np.nan], [8.0, 5.0, np.nan], [8.0, 8.0, 3.0]])
    found = nearest(keys, q, counts, keys[:1], fallback=100.0)
    assert found.q.tolist() == [[1.5, (1 * 1.0 + 3 * 5.0) / 4, 3.0]]
    assert found.radius.tolist() == [[0, 1, 3]]


def test_beyond_the_cap_one_action_falls_back_and_the_others_do_not() -> None:
    keys = np.array([[0], [0b111]], np.uint64)
    counts = np.array([[1, 0], [1, 1]], np.int32)
    q = np.array([[4.0, np.nan], [5.0, 6.0]])
    inside, outside = nearest(keys, q, counts, keys[:1], 3), nearest(keys, q, counts, keys[:1], 2, fallback=-1.0)
    assert (inside.q.tolist(), inside.radius.tolist()) == ([[4.0, 6.0]], [[0, 3]])
    assert (outside.q.tolist(), outside.radius.tolist()) == ([[4.0, -1.0]], [[0, -1]])


def test_rows_not_in_use_are_nobodys_neighbours() -> None:
    """An orphan keeps its key and its last Q; its counts are 0."""
    keys = np.array([[1], [1], [3]], np.uint64)
    q = np.array([[99.0], [2.0], [5.0]])
    counts = np.array([[0], [4], [1]], np.int32)
    assert nearest(keys, q, counts, np.array([[1]], np.uint64)).q.tolist() == [[2.0]]


def test_own_entries_come_back_to_the_last_bit() -> None:
    keys, q, counts = random_table(4, 200, 2, 3, 64, 1.0)
    found = nearest(keys, q, counts, keys)
    np.testing.assert_array_equal(found.q, q)
    assert not found.radius.any()


class FakePlanner:
    """A planner of three arrays that counts how often its whole table is asked for."""

    def __init__(self, keys: NDArray[np.uint64], q: NDArray[np.float64], counts: NDArray[np.int32]) -> None:
        self.arrays = keys, q, counts
        self.views = 0

    def q_values(self, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
        known = {key.tobytes(): q for key, q in zip(self.arrays[0], self.arrays[1], strict=True)}
        return np.array([known.get(key.tobytes(), np.full(self.arrays[1].shape[1], np.nan)) for key in keys])

    def view(self) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.integer[Any]]]:
        self.views += 1
        return self.arrays


def same(left: Estimates, right: Estimates) -> None:
    np.testing.assert_array_equal(left.q, right.q)
    np.testing.assert_array_equal(left.radius, right.radius)


def test_the_planner_is_asked_first_and_its_table_only_for_what_it_does_not_know() -> None:
    keys, q, counts = random_table(6, 50, 1, 3, 64, 0.7)
    planner = FakePlanner(keys, q, counts)
    lookup = HammingLookup(planner, max_radius=40, fallback=0.5)
    complete = (counts > 0).all(axis=1)
    assert complete.any()
    assert not complete.all()
    same(lookup.q_values(keys[complete]), nearest(keys, q, counts, keys[complete]))
    assert planner.views == 0
    strangers = np.random.default_rng(0).integers(2**64, size=(5, 1), dtype=np.uint64)
    every = np.concatenate([keys, strangers])
    same(lookup.q_values(every), nearest(keys, q, counts, every, 40, 0.5))
    assert planner.views == 1


def test_a_penalty_grows_with_the_distance_and_spares_what_was_tried_here() -> None:
    keys = np.array([[0b0000], [0b0111]], np.uint64)
    planner = FakePlanner(keys, np.array([[1.0, np.nan], [np.nan, 5.0]]), np.array([[2, 0], [0, 2]]))
    queries = np.array([[0b0000], [0b0001], [0b1111 << 20]], np.uint64)
    free, charged = (
        HammingLookup(planner, 4, fallback=0.5, penalty=penalty).q_values(queries) for penalty in (0, 0.25)
    )
    assert free.q.tolist() == [[1.0, 5.0], [1.0, 5.0], [1.0, 0.5]]
    assert free.radius.tolist() == [[0, 3], [1, 2], [4, -1]]
    assert charged.q.tolist() == [[1.0, 5.0 - 0.75], [1.0 - 0.25, 5.0 - 0.5], [0.0, 0.5]]
    for penalty in (-0.1, np.nan, np.inf):
        with pytest.raises(UsageError, match="penalty must be >= 0 and finite"):
            HammingLookup(planner, penalty=penalty)


def test_a_planner_that_changes_is_read_anew() -> None:
    keys, q, counts = random_table(7, 5, 1, 1, 64, 1.0)
    planner = FakePlanner(keys, q, counts)
    lookup = HammingLookup(planner)
    stranger = keys[:1] ^ np.uint64(1)
    before = lookup.q_values(stranger).q[0, 0]
    q += 1.0
    assert lookup.q_values(stranger).q[0, 0] == pytest.approx(before + 1.0)


def test_an_empty_table_leaves_the_fallback() -> None:
    lookup = HammingLookup(PrioritizedSweeping(TabularMDP(3), 0.9), fallback=-7.0, penalty=1.0)
    found = lookup.q_values(np.ones((2, 1), np.uint64))
    np.testing.assert_array_equal(found.q, np.full((2, 3), -7.0))
    np.testing.assert_array_equal(found.radius, np.full((2, 3), -1))


def test_a_real_planner_is_read_after_adds_and_removals() -> None:
    """Rows of forgotten states are recycled or orphaned; neither may count as a neighbour."""
    rng = np.random.default_rng(1)
    planner = PrioritizedSweeping(TabularMDP(num_actions=3, key_words=2), discount=0.9)
    size = 400
    keys = random_table(2, size, 2, 1, 64, 1.0)[0]
    at, to = rng.integers(len(keys), size=(2, size))
    batch = keys[at], rng.integers(3, size=size), rng.normal(size=size), keys[to], rng.random(size) < 0.1
    planner.observe(*batch)
    planner.plan(1000)
    planner.forget(*(column[: size // 2] for column in batch))
    planner.plan(50)
    every, q, counts = planner.view()
    found = HammingLookup(planner, max_radius=60, fallback=-3.0).q_values(keys)
    for key, values, radii in zip(keys, found.q, found.radius, strict=True):
        expected, distances = by_definition(every, q, counts, key, 60, -3.0)
        assert radii.tolist() == distances
        np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert (found.radius == 0).any()
    assert (found.radius > 0).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": np.zeros((1, 1), np.uint64)}, "keys must have 2 words like the table's, got 1"),
        ({"queries": np.zeros((1, 2), np.int64)}, "queries must be uint64 (rows, words), got int64 (1, 2)"),
        ({"queries": np.zeros(2, np.uint64)}, "queries must be uint64 (rows, words)"),
        ({"q": np.zeros((4, 3))}, "q and counts must have shape (4, A), got (4, 3) and (4, 2)"),
        ({"max_radius": -1}, "max_radius must be >= 0, got -1"),
        ({"fallback": np.nan}, "fallback must be finite, got nan"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    fitting: dict[str, Any] = {
        "keys": np.zeros((4, 2), np.uint64),
        "q": np.zeros((4, 2)),
        "counts": np.zeros((4, 2), np.int32),
        "queries": np.zeros((1, 2), np.uint64),
    }
    with pytest.raises(UsageError) as error:
        nearest(**{**fitting, **changes})
    assert message in str(error.value)
