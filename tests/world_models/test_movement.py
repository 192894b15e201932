"""Pictures moved about: as wholes, as far as the place moves, and only to where it was seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.runs.seeding import make_generator
from rl_discrete.world_models.active_pixels import ActivePixels
from rl_discrete.world_models.movement import Movement

HEIGHT, WIDTH, FRAMES = 12, 20, 300
EVERYWHERE = np.ones((1, HEIGHT, WIDTH), np.bool_)


def pixels_of(pictures: list[NDArray[np.int64]]) -> ActivePixels:
    """One place; `pictures` hold the active pixels of each frame."""
    starts = np.cumsum([0, *(len(picture) for picture in pictures)])
    return ActivePixels(len(pictures), 1, starts, np.concatenate(pictures).astype(np.int32))


def bars() -> ActivePixels:
    """A bar of two pixels, one above the other, in columns 5 to 14 of rows 3 and 4, in every third frame none."""
    generator = np.random.default_rng(0)
    columns = generator.integers(5, 15, FRAMES)
    some = [np.array([3 * WIDTH + column, 4 * WIDTH + column]) for column in columns]
    return pixels_of([bar if index % 3 else bar[:0] for index, bar in enumerate(some)])


def test_it_knows_how_far_a_place_moves() -> None:
    movement = Movement.of(bars(), EVERYWHERE)
    assert movement.spread[0, 0] == 0.0  # only sideways
    assert movement.spread[0, 1] == pytest.approx(np.arange(10).std(), rel=0.1)
    assert np.flatnonzero(movement.near[0].any(1)).tolist() == [3, 4]
    assert np.flatnonzero(movement.near[0].any(0)).tolist() == list(range(5, 15))
    wider = Movement.of(bars(), EVERYWHERE, reach=1)
    assert np.flatnonzero(wider.near[0].any(0)).tolist() == list(range(4, 16))
    bounded = Movement.of(bars(), EVERYWHERE & (np.arange(WIDTH) < 15), reach=1)
    assert np.flatnonzero(bounded.near[0].any(0)).tolist() == list(range(4, 15))  # beyond them is another place


def test_pictures_move_as_wholes_and_stay_where_the_place_was_seen() -> None:
    pixels = bars()
    movement = Movement.of(pixels, EVERYWHERE)
    example, pixel = pixels.of_place(np.arange(FRAMES), 0)
    same, moved = movement.moved(0, example, pixel, FRAMES, 0.5, make_generator(0))
    np.testing.assert_array_equal(same, example)
    row, column = (moved // WIDTH).reshape(-1, 2), (moved % WIDTH).reshape(-1, 2)
    assert (row == [3, 4]).all()
    assert (column[:, 0] == column[:, 1]).all()
    assert column.min() == 5
    assert column.max() == 14
    assert 0.15 < (moved != pixel).mean() < 0.5  # half of them, but those that stay where they would leave
    np.testing.assert_array_equal(movement.moved(0, example, pixel, FRAMES, 0.0, make_generator(0))[1], pixel)
    np.testing.assert_array_equal(movement.moved(0, example, pixel, FRAMES, 0.5, make_generator(0))[1], moved)


def test_what_stands_still_or_is_not_there_stays() -> None:
    still = pixels_of([np.array([7, 8])] * 10)
    movement = Movement.of(still, EVERYWHERE)
    example, pixel = still.of_place(np.arange(10), 0)
    np.testing.assert_array_equal(movement.moved(0, example, pixel, 10, 1.0, make_generator(0))[1], pixel)
    empty = pixels_of([np.array([], np.int64)] * 4)
    movement = Movement.of(empty, EVERYWHERE)
    assert movement.spread.tolist() == [[0.0, 0.0]]
    assert movement.moved(0, *empty.of_place(np.arange(4), 0), 4, 1.0, make_generator(0))[1].size == 0
