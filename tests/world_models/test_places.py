"""Places: what has bits of its own in made-up frames, and how many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.world_models.active_pixels import ActivePixels
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.palette import find_palette
from rl_discrete.world_models.places import Places, find_places
from tests.world_models.scenes import BACK, BALL, COURT, HEIGHT, LEFT, RIGHT, WIDTH, scenes

CONFIG = CodecConfig()


def places_of(frames: NDArray[np.uint8], config: CodecConfig = CONFIG, limit: int = 10) -> Places:
    source = FrameSource.of_array(frames)
    return find_places(find_palette(source, config, 6), source, config, limit)


def owner(places: Places, colour: int, row: int, column: int) -> int:
    index = places.palette.colours.ravel().tolist().index(colour)
    return int(places.owner[index, row, column])


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    return scenes(600, 0)[0]


@pytest.fixture(scope="module")
def found(frames: NDArray[np.uint8]) -> Places:
    return places_of(frames)


def test_a_score_and_a_paddle_of_one_colour_are_two_places(found: Places) -> None:
    assert owner(found, LEFT, 2, 11) != owner(found, LEFT, 20, 2)
    assert len({owner(found, LEFT, row, 2) for row in range(COURT, 38)}) == 1
    assert len({owner(found, BALL, row, column) for row in range(COURT, 37) for column in range(5, 40)}) == 1
    score = found.each[owner(found, LEFT, 2, 11)]
    assert found.palette.colours[score.colour] == LEFT
    top, bottom, left, right = found.box(owner(found, LEFT, 2, 11))
    assert (top, right) == (0, WIDTH)
    assert left > 2
    assert bottom < HEIGHT


def test_places_far_apart_are_one_when_the_gap_allows_it(frames: NDArray[np.uint8]) -> None:
    joined = places_of(frames, replace(CONFIG, region_gap=15))
    assert owner(joined, LEFT, 2, 11) == owner(joined, LEFT, 20, 2)


def test_bits_follow_what_was_seen(frames: NDArray[np.uint8], found: Places) -> None:
    bits = {name: found.bits[found.each[owner(found, *spot)].group] for name, spot in SPOTS.items()}
    assert bits == {
        "score": 8,
        "left": 8,
        "right": 8,
        "ball": 16,
    }  # 2 log2 of 6, 23, 23 and some 450 pictures, in eights
    few = places_of(frames, replace(CONFIG, max_bits=32))
    assert few.bits == (8, 8, 8, 8)


def test_strokes_and_gaps_of_a_digit_share_bits_and_nothing_else_does(found: Places) -> None:
    strokes, gaps = owner(found, LEFT, 2, 11), owner(found, BACK, 2, 9)
    assert found.each[strokes].group == found.each[gaps].group
    assert len(found.each) == 5
    assert len(found.bits) == 4


SPOTS = {"score": (LEFT, 2, 11), "left": (LEFT, 20, 2), "right": (RIGHT, 20, WIDTH - 3), "ball": (BALL, 20, 20)}


def test_small_things_weigh_more(found: Places) -> None:
    ball, paddle = (found.each[owner(found, *SPOTS[name])] for name in ("ball", "left"))
    assert ball.pixels == pytest.approx(4.0)
    assert paddle.pixels == pytest.approx(16.0)
    assert ball.weight == pytest.approx(4.0 * paddle.weight)


def test_rank_follows_the_pictures() -> None:
    rng = np.random.default_rng(0)
    frames = np.zeros((50, 1, 16, 16), np.uint8)
    frames[:, 0] = np.where(rng.random((50, 16, 16)) < 0.2, 200, 0)
    assert places_of(frames).each[0].rank > places_of(scenes(50, 0)[0]).each[0].rank == CONFIG.rank
    assert places_of(frames, replace(CONFIG, max_rank=4)).each[0].rank == 4


def test_a_flash_of_the_screen_is_no_place(frames: NDArray[np.uint8], found: Places) -> None:
    flashing = frames.copy()
    flashing[3, 0, :] = LEFT
    places = places_of(flashing)
    assert owner(places, LEFT, 2, 11) != owner(places, LEFT, 20, 2)
    assert places.bits == found.bits


def test_there_are_no_more_places_than_allowed(frames: NDArray[np.uint8]) -> None:
    places = places_of(frames, limit=4)
    assert len(places.each) == len(places.palette.colours) == 4
    specks = np.zeros((40, 1, 20, 20), np.uint8)
    for index in range(40):
        specks[index, 0, index % 4 * 5, index // 4 % 4 * 5] = 9
    assert len(places_of(specks, limit=10).each) == 10
    assert len(places_of(specks, limit=3).each) == 3


def test_every_active_pixel_is_listed_once_at_its_place(frames: NDArray[np.uint8], found: Places) -> None:
    pixels = ActivePixels.of(found, FrameSource.of_array(frames))
    rows = np.array([5, 0, 599, 5])
    frame, pixel, place = found.active(frames[rows])
    total = 0
    for index in range(len(found.each)):
        example, listed = pixels.of_place(rows, index)
        total += len(listed)
        wanted = sorted(zip(frame[place == index], pixel[place == index], strict=True))
        assert sorted(zip(example, listed, strict=True)) == wanted
        top, bottom, left, right = found.box(index)
        assert ((listed // WIDTH >= top) & (listed // WIDTH < bottom)).all()
        assert ((listed % WIDTH >= left) & (listed % WIDTH < right)).all()
    assert total == len(pixel) == (frames[rows] != found.palette.background).sum()
