"""The numbers of an env: its own, uniform, and the same however they are drawn ahead."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.envs.noise import NoiseStreams, keys_of
from rl_discrete.runs.errors import UsageError

EVERY = np.ones(3, np.bool_)


def test_numbers_depend_on_the_key_alone() -> None:
    many = NoiseStreams(7, [(5, index) for index in range(600)])
    few = NoiseStreams(7, [(5, 2), (5, 1)])
    for _ in range(70):
        ours, others = many.for_step(), few.for_step()
        assert np.array_equal(ours[[2, 1]], others)
        assert not np.array_equal(ours[0], ours[1])
    mask = np.arange(600) == 2
    assert np.array_equal(many.for_episodes(mask), few.for_episodes(np.array([True, False])))


def test_an_odd_number_of_numbers_in_blocks_of_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> list[bytes]:
        streams = NoiseStreams(3, [(1, 0), (2, 0)])
        return [streams.for_step().tobytes() for _ in range(20)]

    whole = drawn()
    for rows in (1, 7):
        monkeypatch.setattr("rl_discrete.envs.noise._ROWS", rows)
        assert drawn() == whole


def test_streams_begin_anew_in_the_middle() -> None:
    streams = NoiseStreams(2, [(0, index) for index in range(3)])
    first = [streams.for_step() for _ in range(5)]
    begun = streams.for_episodes(EVERY)
    streams.restart({1: (0, 1)})
    again = [streams.for_step() for _ in range(5)]
    assert np.array_equal([rows[1] for rows in again], [rows[1] for rows in first])
    assert not np.isin([rows[[0, 2]] for rows in again], [rows[[0, 2]] for rows in first]).any()
    later = streams.for_episodes(EVERY)
    assert np.array_equal(later[1], begun[1])
    assert not np.isin(later[[0, 2]], begun[[0, 2]]).any()


def test_they_are_uniform_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.concatenate([NoiseStreams(50, [(seed, 0)]).for_step() for seed in range(400)]).ravel()
    assert drawn.dtype == np.float32
    assert abs(drawn.mean() - 0.5) < 4 * (1 / 12 / drawn.size) ** 0.5
    assert np.histogram(drawn, 10, (0, 1))[0].min() > drawn.size / 10 - 4 * (drawn.size * 0.09) ** 0.5
    streams = NoiseStreams(2, [(0, 0)])

    class Zeros:
        def random(self, out: NDArray[np.float32], dtype: type) -> None:
            out[:] = 0

    monkeypatch.setattr(streams, "_steps", [Zeros()])
    assert (streams.for_step() > 0).all()


def test_a_model_without_chance() -> None:
    streams = NoiseStreams(0, [(0, 0), (0, 1)])
    assert streams.for_step().shape == (2, 0)
    assert streams.for_episodes(np.zeros(2, np.bool_)).shape == (0, 2)


def test_keys() -> None:
    assert keys_of(None, 2) == {}
    assert keys_of(7, 2) == {0: (7, 0), 1: (7, 1)}
    assert keys_of([7, None, 9], 3) == {0: (7, 0), 2: (9, 0)}
    for seed, words in ((-1, "got -1"), (2**64, "in \\[0, 2\\*\\*64\\)"), ([1, 2, 3], "got 3 of them")):
        with pytest.raises(UsageError, match=words):
            keys_of(seed, 2)
