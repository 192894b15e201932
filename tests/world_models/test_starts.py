"""Imagined episodes start at real moments: evenly or rather at new ones, never at an end or across a start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.starts import ReplayStarts

LENGTHS = (3, 9, 1, 5)
"""Frames of the four episodes: terminated, cut, left in the middle, and going on. Frame j of episode e shows (e, j)."""


def replay(folder: Path) -> Replay:
    made = Replay(folder, (2,), 2, 1, 2**16, np.float32)
    for episode, length in enumerate(LENGTHS):
        for frame in range(length):
            last = frame == length - 1
            ends = (last and episode == 0, last and episode == 1)
            picture = np.array([[episode, frame]], np.float32)
            made.append(picture, [frame], [0.0], [ends[0]], [ends[1]], [frame == 0])
    return made


def uniform(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, 2))


ALLOWED = [(0, 0), (0, 1), *((1, frame) for frame in range(8)), (2, 0), *((3, frame) for frame in range(5))]
"""Neither the end of an episode nor a cut."""


def test_every_moment_that_leads_on_and_no_other(tmp_path: Path) -> None:
    starts = ReplayStarts(replay(tmp_path), 3)
    count = 6000
    history = starts.draw(uniform(count))
    seen, times = np.unique(history.frames[:, -1].astype(int), axis=0, return_counts=True)
    assert [tuple(frame) for frame in seen.tolist()] == ALLOWED
    share = 1 / len(ALLOWED)
    assert np.abs(times - count * share).max() < 4.5 * (count * share * (1 - share)) ** 0.5
    assert np.array_equal(starts.draw(uniform(9)).frames, starts.draw(uniform(9)).frames)


def test_a_history_never_crosses_the_start_of_its_episode(tmp_path: Path) -> None:
    history = ReplayStarts(replay(tmp_path), 3).draw(uniform(300))
    for frames, actions, valid in zip(history.frames, history.actions, history.valid, strict=True):
        episode, frame = frames[-1].astype(int).tolist()
        expected = [index >= 0 for index in range(frame - 2, frame + 1)]
        assert valid.tolist() == expected
        assert frames[valid].tolist() == [[episode, index] for index in range(max(frame - 2, 0), frame + 1)]
        assert not frames[~valid].any()
        assert actions.tolist() == [max(index, 0) for index in range(frame - 2, frame + 1)]


def test_new_rows_come_up_more_often(tmp_path: Path) -> None:
    made = replay(tmp_path)
    count, half_life = 20_000, 4.0
    history = ReplayStarts(made, 1, half_life).draw(uniform(count))
    seen, times = np.unique(history.frames[:, -1].astype(int), axis=0, return_counts=True)
    offsets = np.cumsum((0, *LENGTHS[:-1]))
    ages = np.array([made.next_row - 1 - (offsets[episode] + frame) for episode, frame in seen.tolist()])
    weights = 2.0 ** (-ages / half_life)
    expected = weights / weights.sum()
    assert [tuple(frame) for frame in seen.tolist()] == ALLOWED
    assert np.abs(times / count - expected).max() < 0.01
    even = np.unique(ReplayStarts(made, 1).draw(uniform(count)).frames[:, -1], axis=0, return_counts=True)[1]
    assert np.abs(even / count - expected).max() > 0.05  # the control


def test_the_ends_of_the_numbers(tmp_path: Path) -> None:
    for half_life in (None, 2.0, 1e-4):
        starts = ReplayStarts(replay(tmp_path / str(half_life)), 1, half_life)
        first, last = starts.draw(np.array([[0.0, 0.0], [1.0 - 2.0**-53, 0.0]])).frames[:, -1].tolist()
        assert last == [3, 4]
        assert first == ([3, 4] if half_life == 1e-4 else [0, 0])  # so short that only the newest is left


def test_a_choice_of_rows_and_a_replay_that_grows(tmp_path: Path) -> None:
    made = replay(tmp_path)
    chosen = ReplayStarts(made, 1, rows=[0, 2, 4, 4, 1000])  # 2 is the end of the first episode
    every = ReplayStarts(made, 1)
    assert set(map(tuple, chosen.draw(uniform(50)).frames[:, -1].tolist())) == {(0, 0), (1, 1)}
    assert [9, 9] not in every.draw(uniform(50)).frames[:, -1].tolist()
    for _ in range(20):
        made.append(np.array([[9, 9]], np.float32), [0], [0.0], [False], [False], [True])
    assert [9, 9] in every.draw(uniform(50)).frames[:, -1].tolist()
    assert set(map(tuple, chosen.draw(uniform(50)).frames[:, -1].tolist())) == {(0, 0), (1, 1)}


def test_what_cannot_start(tmp_path: Path) -> None:
    made = replay(tmp_path)
    with pytest.raises(UsageError, match="history_length must be >= 1, got 0"):
        ReplayStarts(made, 0)
    for half_life in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="half_life must be > 0"):
            ReplayStarts(made, 1, half_life)
    empty = Replay(tmp_path / "empty", (2,), 2, 1, 2**16, np.float32)
    for starts in (ReplayStarts(empty, 1), ReplayStarts(made, 1, rows=[2])):
        with pytest.raises(UsageError, match="holds no row that a step leads on from"):
            starts.draw(uniform(1))
