from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError
from tests.mdp.random_transitions import random_transitions, transitions_of

# State 0: action 0 went to 0 once and to 1 twice, action 1 ended once. State 1: action 1 went to 0 once, ended once.
VISITS = [(0, 0, 1.0, 1), (0, 0, 2.0, 0), (0, 0, 3.0, 1), (0, 1, -1.0, -1), (1, 1, 0.5, 0), (1, 1, 0.0, -1)]


def two_states() -> Transitions:
    return transitions_of(VISITS, np.array([[7], [9]], np.uint64), 2)


def changed(**arrays: NDArray[Any]) -> Transitions:
    return dataclasses.replace(two_states(), **arrays)


def test_a_picture_says_what_was_seen() -> None:
    picture = two_states()
    assert (picture.num_states, picture.num_actions, picture.num_edges, picture.key_words) == (2, 2, 3, 1)
    assert picture.edge_source.tolist() == [0, 0, 3]
    assert picture.edge_target.tolist() == [0, 1, 0]
    assert picture.edge_count.tolist() == [1, 2, 1]
    assert picture.offsets.tolist() == [0, 2, 2, 2, 3]
    assert picture.terminations.tolist() == [[0, 1], [0, 1]]
    np.testing.assert_array_equal(picture.mean_rewards, [[2.0, -1.0], [np.nan, 0.25]])


def test_keys_of_two_words_may_share_one_of_them() -> None:
    visits = [(0, 0, 1.0, 1)]
    assert transitions_of(visits, np.array([[1, 2], [1, 3], [2, 2]], np.uint64), 1).num_states == 3
    with pytest.raises(UsageError, match="same key"):
        transitions_of(visits, np.array([[1, 2], [1, 3], [1, 2]], np.uint64), 1)


def test_an_empty_picture_is_one_too() -> None:
    empty = transitions_of([], np.zeros((0, 2), np.uint64), 3)
    assert (empty.num_states, empty.num_actions, empty.num_edges, empty.key_words) == (0, 3, 0, 2)
    assert empty.offsets.tolist() == [0]
    assert empty.terminations.shape == empty.mean_rewards.shape == (0, 3)


def test_a_picture_cannot_be_changed() -> None:
    picture = random_transitions(0)
    for array in (picture.keys, picture.counts, picture.edge_target, picture.offsets, picture.mean_rewards):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        picture.counts = picture.counts  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"keys": np.array([[7], [7]], np.uint64)}, "same key"),
        ({"keys": np.array([7, 9], np.uint64)}, "keys must be 2-dimensional uint64, got uint64 (2,)"),
        ({"keys": np.array([[7], [9]])}, "keys must be 2-dimensional uint64, got int64"),
        ({"keys": np.zeros((2, 0), np.uint64)}, "need >= 1 word"),
        ({"rows": np.array([0], np.int32)}, "rows must have shape (2,)"),
        ({"rows": np.array([1, 1], np.int32)}, "rows must be >= 0 and differ"),
        ({"rows": np.array([-1, 1], np.int32)}, "rows must be >= 0 and differ"),
        ({"counts": np.array([[3, 1], [-1, 2]])}, "counts must be >= 0, got -1"),
        ({"counts": np.array([[2, 1], [0, 2]])}, "state 0, action 0 count more"),
        ({"reward_sums": np.array([[6.0, -1.0], [0.0, np.nan]])}, "must be finite"),
        ({"reward_sums": np.array([[6.0, -1.0], [1.0, 0.5]])}, "must be 0 where counts is 0"),
        ({"reward_sums": np.zeros((2, 3))}, "reward_sums must have shape (2, 2)"),
        ({"edge_source": np.array([0, 0, 4])}, "edge_source must be in [0, 4), got 0 to 4"),
        ({"edge_target": np.array([0, 2, 0])}, "edge_target must be in [0, 2), got 0 to 2"),
        ({"edge_target": np.array([1, 0, 0])}, "must ascend"),
        ({"edge_target": np.array([1, 1, 0])}, "none twice"),
        ({"edge_target": np.array([0, 1])}, "edge_target must have shape (3,)"),
        ({"edge_count": np.array([1, 0, 1])}, "edge_count must be >= 1, got 0"),
        ({"edge_count": [1, 2, 1]}, "edge_count must be 1-dimensional int64, got list"),
    ],
)
def test_what_contradicts_itself_is_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        changed(**arrays)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
