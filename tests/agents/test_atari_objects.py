"""Objects found in pictures: a game drawn by hand, whose memory and places are known, and Pong itself."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.atari_objects import ObjectFinder, learn_objects
from rl_discrete.agents.real_play import as_pictures, record_play
from rl_discrete.agents.sb3_policy import RandomPolicy
from rl_discrete.envs.make import make_env

SIDE = 60
BALL, PLAYER, ENEMY = (49, 54), (46, 51), (45, 50)


def draw(count: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures, memory and true places (N, 3, 2) of ball, player and enemy; the score above changes now and then."""
    generator = np.random.default_rng(seed)
    pictures = np.full((count, SIDE, SIDE, 3), 87, np.uint8)
    memory = generator.integers(256, size=(count, 128)).astype(np.uint8)
    ball = np.stack([generator.integers(12, SIDE - 12, count), generator.integers(14, SIDE - 4, count)], axis=1)
    paddles = generator.integers(14, SIDE - 10, (count, 2))
    places = np.zeros((count, 3, 2), np.int64)
    for frame in range(count):
        pictures[frame, 2:6, 5 + frame // 40 % 4 : 9 + frame // 40 % 4] = 148  # the score, in the enemy's colour
        for index, (x, y, tall, wide, level) in enumerate(
            [(*ball[frame], 2, 2, 236), (55, paddles[frame, 0], 8, 2, 147), (4, paddles[frame, 1], 8, 2, 148)]
        ):
            pictures[frame, y : y + tall, x : x + wide] = level
            places[frame, index] = 2 * x + 1, 2 * y + tall - 1  # twice the centre
    for index, (x_byte, y_byte) in enumerate((BALL, PLAYER, ENEMY)):
        memory[:, x_byte] = places[:, index, 0] + 40  # in units of half a pixel, with an offset
        memory[:, y_byte] = 200 - places[:, index, 1]  # upside down
    return pictures, memory, places


def test_places_are_learned_and_found_again() -> None:
    finder = ObjectFinder.fit("Pong", *draw(700)[:2])
    assert finder is not None
    assert set(finder.floors) == {"ball", "player", "enemy"}
    assert max(finder.floors.values()) < 0.3
    pictures, memory, places = draw(200, seed=1)
    found, truth = finder.locate(pictures), finder.truth(memory)
    for index, name in enumerate(("ball", "player", "enemy")):
        axes = [0, 1] if name == "ball" else [1]  # a paddle's x never changes
        assert np.abs(truth[name][:, axes] - places[:, index][:, axes] / 2).max() < 0.6
        seen = ~np.isnan(found[name][:, 0])
        assert seen.mean() > 0.95
        assert np.median(np.abs(found[name][seen] - truth[name][seen])) < 0.3


def test_what_is_not_there_is_not_found() -> None:
    finder = ObjectFinder.fit("Pong", *draw(700)[:2])
    assert finder is not None
    pictures, memory, _ = draw(50, seed=1)
    pictures[pictures == 236] = 87
    found = finder.locate(pictures)
    assert np.isnan(found["ball"]).all()
    assert not np.isnan(found["player"]).any()
    moved = finder.truth(memory)["player"] - finder.locate(np.roll(pictures, 3, axis=1))["player"]
    assert np.median(moved[:, 1]) == pytest.approx(-3.0, abs=0.5), "an error is an error in pixels"


def test_a_memory_that_says_nothing_finds_nothing() -> None:
    """The control: the same pictures, their memory shuffled."""
    pictures, memory, _ = draw(700)
    assert ObjectFinder.fit("Pong", pictures, np.random.default_rng(0).permutation(memory)) is None
    assert ObjectFinder.fit("Breakout", pictures, memory) is None, "nothing is known of its memory"
    assert ObjectFinder.fit("grid", pictures, memory) is None
    assert ObjectFinder.fit("Pong", pictures[:5], memory[:5]) is None, "too few frames"


def test_pong_itself() -> None:
    make = partial(make_env, "Pong", size=(105, 80))
    play = record_play(RandomPolicy(6), make, 500, seed=0, num_envs=1)
    assert play.states is not None
    pictures = as_pictures(play.frames)
    assert pictures is not None
    finder = learn_objects("rl_discrete/Pong-v0", play)
    assert finder is not None
    assert set(finder.floors) == {"ball", "player", "enemy"}
    assert finder.floors["ball"] < 1.5
    assert max(finder.floors["player"], finder.floors["enemy"]) < 1.5
    seen = ~np.isnan(finder.locate(pictures)["ball"][:, 0])
    assert 0.4 < seen.mean() < 0.98, "between two points there is no ball"
