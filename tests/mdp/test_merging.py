from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_discrete.mdp.merging import merge, nearest_known
from rl_discrete.mdp.tabular import Keys


def random_keys(seed: int, count: int, words: int, width: int) -> Keys:
    """Keys with the lowest `width` bits of every word in use, some of them several times."""
    return np.random.default_rng(seed).integers(1 << width, size=(count, words), dtype=np.uint64)


def distances(keys: Keys, others: Keys) -> NDArray[np.int64]:
    return np.asarray(np.bitwise_count(keys[:, None] ^ others[None]).sum(axis=2), np.int64)


@settings(deadline=None, max_examples=60)
@example(seed=0, count=0, words=1, width=6, radius=2)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 300),
    words=st.integers(1, 3),
    width=st.integers(1, 8),
    radius=st.integers(0, 6),
)
def test_merged_keys_are_near_and_those_left_are_apart(
    seed: int, count: int, words: int, width: int, radius: int
) -> None:
    keys = random_keys(seed, count, words, width)
    merged = merge(keys, radius)
    moved = np.bitwise_count(keys ^ merged).sum(axis=1)
    assert (moved <= radius).all()
    left = np.unique(merged, axis=0)
    apart = distances(left, left)
    np.fill_diagonal(apart, radius + 1)
    assert (apart > radius).all()
    for key in np.unique(keys, axis=0):
        assert len(np.unique(merged[(keys == key).all(axis=1)], axis=0)) == 1


def test_the_frequent_code_stands() -> None:
    keys = np.array([0b0001, 0b0000, 0b0000, 0b0011, 0b0011, 0b0011, 0b0111], np.uint64)[:, None]
    assert merge(keys, 1)[:, 0].tolist() == [0b0011, 0, 0, 0b0011, 0b0011, 0b0011, 0b0011]
    assert (merge(keys, 0) == keys).all()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), known=st.integers(0, 50), words=st.integers(1, 2), radius=st.integers(0, 8))
def test_the_nearest_known_key_is_taken(seed: int, known: int, words: int, radius: int) -> None:
    states, keys = random_keys(seed, known, words, 8), random_keys(seed + 1, 20, words, 8)
    found = nearest_known(keys, states, radius)
    for key, result, away in zip(keys, found, distances(keys, states), strict=True):
        within = away.min(initial=99) <= radius
        assert (result == (states[away.argmin()] if within else key)).all()


@pytest.mark.parametrize("radius", [0, 2])
def test_keys_given_are_not_written_to(radius: int) -> None:
    keys = random_keys(0, 40, 1, 4)
    before = keys.copy()
    merge(keys, radius)
    nearest_known(keys, keys[:3], radius)
    assert (keys == before).all()
