"""The table of published scores: copied without a slip, and found whatever an env is called."""

from __future__ import annotations

import numpy as np
import pytest

from rl_discrete.agents.atari_scores import PUBLISHED, game_of, published
from rl_discrete.envs import registered_names


def test_the_table_gives_the_published_summaries() -> None:
    """Mean and median over the 26 games as published (0.443, 0.144), and of the single runs as recomputed by hand."""
    assert len(PUBLISHED) == 26
    column = [scores.normalise(scores.simple) for scores in PUBLISHED.values()]
    assert (np.mean(column), np.median(column)) == pytest.approx((0.443, 0.144), abs=6e-4)
    runs = [scores.normalise(scores.seeds_mean) for scores in PUBLISHED.values()]
    assert (np.mean(runs), np.median(runs)) == pytest.approx((0.332, 0.134), abs=6e-4)
    assert all(len(scores.seeds) == 5 for scores in PUBLISHED.values())


def test_the_seeds_agree_with_the_column_in_14_games() -> None:
    agree = [game for game, scores in PUBLISHED.items() if abs(scores.seeds_mean - scores.simple) < 0.2]
    assert len(agree) == 14
    assert {"Pong", "Breakout"} <= set(agree)
    assert "Freeway" not in agree


def test_a_random_policy_is_0_and_the_human_1() -> None:
    pong = PUBLISHED["Pong"]
    assert (pong.normalise(-20.7), pong.normalise(14.6)) == (0.0, 1.0)
    assert pong.normalise(-16.0) == pytest.approx(4.7 / 35.3)


@pytest.mark.parametrize(
    ("env", "game"),
    [
        ("Pong", "Pong"),
        ("rl_discrete/Pong-v0", "Pong"),
        ("ALE/Pong-v5", "Pong"),
        ("PongNoFrameskip-v4", "Pong"),
        ("PongDeterministic-v4", "Pong"),
        ("ms_pacman", "MsPacman"),
        ("rl_discrete.envs:rl_discrete/UpNDown-v0", "UpNDown"),
        ("grid", None),
        ("DoomPlusMaze", None),
        ("CartPole-v1", None),
        ("Pongo", None),
    ],
)
def test_games_are_found_by_the_names_of_envs(env: str, game: str | None) -> None:
    assert game_of(env) == game
    assert published(env) == (None if game is None else PUBLISHED[game])


def test_every_game_is_an_env_of_this_library() -> None:
    """So that the names of the table are names that users type."""
    assert set(PUBLISHED) <= set(registered_names())
