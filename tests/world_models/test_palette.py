"""The palette of made-up frames: what stands still, and the colours of what does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.world_models.config import CodecConfig
from rl_discrete.world_models.frame_source import FrameSource
from rl_discrete.world_models.palette import Palette, find_palette
from tests.world_models.scenes import BACK, BALL, HEIGHT, LEFT, RIGHT, WIDTH, scenes

CONFIG = CodecConfig()


def palette_of(frames: NDArray[np.uint8], max_classes: int = 6, config: CodecConfig = CONFIG) -> Palette:
    return find_palette(FrameSource.of_array(frames), config, max_classes)


def test_background_and_colours_are_found() -> None:
    frames, _ = scenes(300, 0)
    palette = palette_of(frames)
    assert palette.background.shape == (1, HEIGHT, WIDTH)
    assert palette.background[0, 20, 20] == BACK
    assert palette.background[0, -1].tolist() == [BALL] * WIDTH  # as bright as the ball, and no thing
    assert {LEFT, RIGHT, BALL} <= set(palette.colours.ravel().tolist())


def test_the_mode_is_the_most_frequent_colour_of_each_pixel_and_the_smallest_of_equals() -> None:
    frames = np.array([[5, 7, 9], [5, 8, 9], [6, 8, 1], [6, 2, 9]], np.uint8).reshape(4, 1, 1, 3)
    assert palette_of(frames).background.ravel().tolist() == [5, 8, 9]


def test_colour_frames_have_a_palette_of_colours() -> None:
    rng = np.random.default_rng(0)
    frames = np.zeros((60, 3, 9, 9), np.uint8)
    frames[:] = np.array([10, 20, 30], np.uint8)[None, :, None, None]
    places = rng.integers(0, 9, (60, 2))
    things = {0: (200, 20, 30), 1: (10, 20, 90)}
    for index, place in enumerate(places):
        frames[index, :, place[0], place[1]] = things[index % 2]
    palette = palette_of(frames)
    assert palette.background[:, 0, 0].tolist() == [10, 20, 30]
    assert {tuple(colour) for colour in palette.colours.tolist()} == set(things.values())
    frame, pixel, colour = palette.active(frames)
    assert frame.tolist() == list(range(60))
    assert pixel.tolist() == (places[:, 0] * 9 + places[:, 1]).tolist()
    assert [tuple(palette.colours[index].tolist()) for index in colour] == [things[index % 2] for index in range(60)]


def test_colours_that_are_close_but_frequent_stay_apart_and_rare_ones_are_joined() -> None:
    frames, _ = scenes(400, 0)
    moving = scenes(400, 0)[0]
    for index in range(20):  # a blend, far from both colours, in some frames
        moving[index, 0, 30, 24] = 190
    assert 190 not in palette_of(moving, 4).colours
    assert {LEFT, RIGHT, BALL} <= set(palette_of(moving, 4).colours.ravel().tolist())
    assert 190 in palette_of(moving, 6).colours
    assert len(palette_of(frames, 2).colours) == 2


def test_colours_below_the_rare_share_are_no_classes() -> None:
    frames, _ = scenes(400, 0)
    frames[7, 0, 20:25] = 40
    assert 40 not in palette_of(frames, 6, CodecConfig(rare_share=0.005)).colours
    assert 40 in palette_of(frames, 6, CodecConfig(rare_share=0.002)).colours


def test_an_unknown_colour_is_the_nearest_one_background_included() -> None:
    palette = Palette(np.full((1, 1, 4), 100, np.uint8), np.array([[200], [10]], np.uint8))
    row = np.array([110, 190, 30, 100], np.uint8).reshape(1, 1, 1, 4)
    frame, pixel, colour = palette.active(row)
    assert (frame.tolist(), pixel.tolist(), colour.tolist()) == ([0, 0], [1, 2], [0, 1])
    ground = Palette(palette.background, np.array([[200], [10], [100]], np.uint8))  # elsewhere 100 is a thing
    assert ground.active(row)[1].tolist() == [1, 2]


def test_frames_that_have_no_palette() -> None:
    with pytest.raises(RunError, match="all of 5 frames are the same"):
        palette_of(np.zeros((5, 1, 3, 3), np.uint8))
    with pytest.raises(UsageError, match=r"1 to 4 channels, got uint8 \(5, 8, 3, 3\); give single frames"):
        palette_of(np.zeros((5, 8, 3, 3), np.uint8))
    with pytest.raises(UsageError, match="there are no frames to look at"):
        palette_of(np.zeros((0, 1, 3, 3), np.uint8))
