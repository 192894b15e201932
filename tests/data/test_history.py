"""What a world model is told of real frames: pushed one by one, or read from a replay, it is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import UsageError

SHAPE = (1, 2, 3)


def frame(*values: int) -> NDArray[np.uint8]:
    """A frame of each env."""
    return np.stack([np.full(SHAPE, value, np.uint8) for value in values])


def same(ours: History, others: History) -> bool:
    pairs = zip(vars(ours).values(), vars(others).values(), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_of_first_frames() -> None:
    history = History.of_first(frame(7, 9), 3)
    assert len(history) == 2
    assert history.frames[:, :, 0, 0, 0].tolist() == [[0, 0, 7], [0, 0, 9]]
    assert history.frames.shape == (2, 3, *SHAPE)
    assert history.valid.tolist() == [[False, False, True]] * 2
    assert not history.actions.any()


def test_pushed() -> None:
    first = History.of_first(frame(7, 9), 3)
    history = first.push(np.array([4, 5]), frame(8, 10))
    assert history.frames[:, :, 0, 0, 0].tolist() == [[0, 7, 8], [0, 9, 10]]
    assert history.actions.tolist() == [[0, 0, 4], [0, 0, 5]]
    assert history.valid.tolist() == [[False, True, True]] * 2
    assert first.frames[:, :, 0, 0, 0].tolist() == [[0, 0, 7], [0, 0, 9]]  # as it was
    later = history.push(np.array([1, 2]), frame(1, 2)).push(np.array([3, 3]), frame(3, 4))
    assert later.frames[:, :, 0, 0, 0].tolist() == [[8, 1, 3], [10, 2, 4]]
    assert later.actions.tolist() == [[4, 1, 3], [5, 2, 3]]
    assert later.valid.all()
    assert same(later[np.array([1])], later[np.array([False, True])])
    assert later[np.array([1])].actions.tolist() == [[5, 2, 3]]


def test_a_replay_tells_the_same(tmp_path: Path) -> None:
    """Two envs in turn, whose episodes end now and then; every row, at three lengths."""
    replay = Replay(tmp_path, SHAPE, 2, 2, 2**16)
    generator = np.random.default_rng(0)
    lengths = (1, 3, 6)
    pushed: dict[int, list[History]] = {length: [] for length in lengths}  # by row
    running: dict[tuple[int, int], History] = {}
    ended = np.ones(2, np.bool_)
    for _ in range(30):
        starts, ended = ended, generator.random(2) < 0.25
        frames = generator.integers(0, 256, (2, *SHAPE)).astype(np.uint8)
        actions = generator.integers(1, 5, 2)
        replay.append(frames, actions, np.zeros(2), ended, np.zeros(2, np.bool_), starts)
        for length in lengths:
            for env in range(2):
                one, before = frames[env : env + 1], running.get((env, length))
                if before is None or starts[env]:
                    history = History.of_first(one, length)
                else:
                    history = before.push(actions[env : env + 1], one)
                running[env, length] = history
                pushed[length].append(history)
    for length in lengths:
        read = replay.history(replay.rows(), length)
        for row, history in enumerate(pushed[length]):
            assert same(read[np.array([row])], history)


def test_windows_are_checked(tmp_path: Path) -> None:
    replay = Replay(tmp_path, SHAPE, 2, 1, 2**16)
    replay.append(frame(1), [0], [0.0], [False], [False], [True])
    assert replay.windows([0], 3).tolist() == [[-1, -1, 0]]
    assert not replay.frames([-1]).any()
    with pytest.raises(UsageError, match="length must be >= 1, got 0"):
        replay.history([0], 0)
    with pytest.raises(UsageError, match="row 1 is not in the replay"):
        replay.history([1], 2)
