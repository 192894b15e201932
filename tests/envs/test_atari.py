"""Atari against the two implementations everybody else uses, and against itself."""

from __future__ import annotations

from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.wrappers import AtariPreprocessing
from numpy.typing import NDArray

from rl_discrete.envs.atari import AtariEnv, find_game, games
from rl_discrete.runs.errors import UsageError

gymnasium.register_envs(ale_py)

Trajectory = list[tuple[NDArray[np.uint8], float, bool, bool]]


def actions_for(env: AtariEnv, length: int, seed: int = 0) -> list[np.int64]:
    return list(np.random.default_rng(seed).integers(len(env.action_names), size=length))


def play(env: gymnasium.Env[Any, Any], seed: int | None, actions: list[np.int64]) -> Trajectory:
    """The first observation and what each action leads to, up to the end of the episode."""
    trajectory: Trajectory = [(env.reset(seed=seed)[0], 0.0, False, False)]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        trajectory.append((observation, float(reward), terminated, truncated))
        if terminated or truncated:
            break
    return trajectory


def same(one: Trajectory, other: Trajectory) -> bool:
    return len(one) == len(other) and all(
        a[1:] == b[1:] and np.array_equal(a[0].squeeze(), b[0].squeeze()) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    ("game", "colour", "noops", "sticky"),
    [("Pong", False, 30, 0.25), ("SpaceInvaders", False, 0, 0.0), ("MsPacman", True, 30, 0.25)],
)
def test_frames_and_rewards_are_those_of_gymnasium(game: str, colour: bool, noops: int, sticky: float) -> None:
    env = AtariEnv(game, max_noops=noops, repeat_action_probability=sticky, colour=colour)
    raw = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=sticky, max_episode_steps=None)
    reference = AtariPreprocessing(raw, noop_max=noops, frame_skip=4, grayscale_obs=not colour)
    actions = actions_for(env, 100)
    assert same(play(env, 3, actions), play(reference, 3, actions))
    other = AtariEnv(game, max_noops=noops, repeat_action_probability=0.5, colour=colour)
    assert not same(play(other, 3, actions), play(reference, 3, actions))


def test_frames_and_rewards_are_those_of_the_vector_env_of_ale() -> None:
    env = AtariEnv("SpaceInvaders")
    vector = AtariVectorEnv(
        "space_invaders", 1, noop_max=0, stack_num=1, reward_clipping=False, use_fire_reset=False, num_threads=1
    )
    actions = actions_for(env, 200)
    ours = play(env, 0, actions)
    theirs = vector.reset(seed=0)[0]
    assert np.array_equal(ours[0][0][..., 0], theirs[0, 0])
    score = 0.0
    for action, (observation, reward, terminated, truncated) in zip(actions, ours[1:], strict=False):
        theirs, rewards, *ends, _ = vector.step(np.array([action]))
        assert (reward, terminated, truncated) == (rewards[0], *(end[0] for end in ends))
        if not (terminated or truncated):
            assert np.array_equal(observation[..., 0], theirs[0, 0])
        score += reward
    assert score > 1.0  # rewards above 1 were compared
    vector.close()


@pytest.mark.parametrize("game", ["Tennis", "Breakout"])  # in Tennis a plain reset leaves memory behind
def test_seed_and_actions_reproduce_an_episode_whatever_was_played_before(game: str) -> None:
    env = AtariEnv(game, repeat_action_probability=0.25, max_noops=5)
    actions = actions_for(env, 60)
    first = play(env, 11, actions)
    play(env, 12, actions_for(env, 40, seed=1))
    assert same(play(env, 11, actions), first)
    assert same(play(AtariEnv(game, repeat_action_probability=0.25, max_noops=5), 11, actions), first)
    assert not same(play(env, 12, actions), first)
    play(env, 11, actions)
    unseeded = play(env, None, actions)
    assert not same(unseeded, first)  # it goes on with the random numbers of the game before


def test_an_episode_is_the_whole_game() -> None:
    env = AtariEnv("Breakout", actions=["FIRE", "LEFT"])
    env.reset(seed=0)
    lives, terminated, steps = set(), False, 0
    while not terminated:
        _, _, terminated, truncated, info = env.step(np.int64(steps % 9 == 0))
        lives.add(info["lives"])
        steps += 1
        assert not truncated
    assert lives == {5, 4, 3, 2, 1, 0}
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(np.int64(0))


def test_a_long_game_is_truncated_not_terminated() -> None:
    env = AtariEnv("Pong", max_frames=40)
    trajectory = play(env, 0, actions_for(env, 50))
    assert len(trajectory) <= 11
    assert trajectory[-1][2:] == (False, True)


def test_scores_are_not_clipped() -> None:
    env = AtariEnv("MsPacman", actions=["LEFT"])
    assert {step[1] for step in play(env, 0, [np.int64(0)] * 90)} == {0.0, 10.0}


def test_the_memory_is_a_copy_of_the_true_state() -> None:
    env = AtariEnv("Pong")
    env.reset(seed=0)
    before = env.diagnostic_state()
    kept = before.copy()
    for _ in range(20):
        env.step(np.int64(2))
    assert before.shape == (128,)
    assert before.dtype == np.uint8
    assert np.array_equal(before, kept)
    assert not np.array_equal(env.diagnostic_state(), kept)


def test_actions_can_be_chosen() -> None:
    assert AtariEnv("Pong").action_names == ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
    assert len(AtariEnv("Pong", actions="full").action_names) == 18
    chosen = AtariEnv("Pong", actions=("LEFT", "NOOP"))
    assert chosen.action_names == ("LEFT", "NOOP")
    assert chosen.action_space == gymnasium.spaces.Discrete(2)
    whole = AtariEnv("Pong")
    assert same(play(chosen, 0, [np.int64(0)] * 30), play(whole, 0, [np.int64(3)] * 30))


def test_size_and_colour_can_be_chosen_and_the_screen_rendered() -> None:
    env = AtariEnv("Pong", size=(60, 80), colour=True, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (60, 80, 3)
    picture = env.render()
    assert picture is not None
    assert picture.shape == (210, 160, 3)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3
    assert AtariEnv("Pong").render() is None


@pytest.mark.parametrize("name", ["MsPacman", "ms_pacman", "ms-pacman", "mspacman"])
def test_a_game_may_be_spelled_in_any_way(name: str) -> None:
    assert find_game(name) == "ms_pacman"


def test_the_registered_ids_make_these_games() -> None:
    assert {"Pong", "Breakout", "SpaceInvaders", "MsPacman"} < games().keys()
    assert len(games()) > 90
    for name in ("Pong", "MsPacman", "Seaquest"):
        made = gymnasium.make(f"rl_discrete/{name}-v0", size=(42, 42))
        assert isinstance(made.unwrapped, AtariEnv)
        assert (made.unwrapped.game, made.observation_space.shape) == (games()[name], (42, 42, 1))


def test_a_wrong_name_says_which_was_meant() -> None:
    with pytest.raises(UsageError, match=r"unknown Atari game 'Pongg'; did you mean Pong\?"):
        AtariEnv("Pongg")


@pytest.mark.parametrize("colour", [False, True])
def test_shrinking_by_the_maximum_keeps_the_brightest_pixel_of_each_block(colour: bool) -> None:
    whole, half, odd = (
        AtariEnv("Pong", resize="max", size=size, colour=colour) for size in ((210, 160), None, (70, 32))
    )
    actions = actions_for(whole, 30)
    channels = 3 if colour else 1
    for screen, small, smaller in zip(*(play(env, 0, actions) for env in (whole, half, odd)), strict=True):
        assert np.array_equal(small[0], screen[0].reshape(105, 2, 80, 2, channels).max((1, 3)))
        assert np.array_equal(smaller[0], screen[0].reshape(70, 3, 32, 5, channels).max((1, 3)))
        assert screen[1:] == small[1:] == smaller[1:]


def test_shrinking_by_the_maximum_adds_no_grey_level() -> None:
    envs = AtariEnv("Pong", resize="max"), AtariEnv("Pong", resize="area")
    played = [play(env, 0, [np.int64(0)] * 60)[-1][0] for env in envs]
    sharp, blended = (len(np.unique(observation)) for observation in played)
    assert sharp <= 4 < blended


def test_rows_and_columns_are_cut_before_the_screen_is_shrunk() -> None:
    whole = AtariEnv("Pong", resize="max", size=(210, 160))
    parts: dict[str, Any] = {"rows": (34, 194), "columns": (64, 160)}
    cut, shrunk = (AtariEnv("Pong", resize="max", size=size, **parts) for size in ((160, 96), (32, 24)))
    actions = actions_for(whole, 30)
    for screen, seen, small in zip(*(play(env, 0, actions) for env in (whole, cut, shrunk)), strict=True):
        assert np.array_equal(seen[0], screen[0][34:194, 64:])
        assert np.array_equal(small[0], seen[0].reshape(32, 5, 24, 4, 1).max((1, 3)))
    assert AtariEnv("Pong", rows=(34, 194)).observation_space.shape == (84, 84, 1)
    wrong: list[Any] = [(34,), (194, 34), (-1, 20), (0, 211), (0.5, 100), ("0", "9")]
    for rows in wrong:
        with pytest.raises(UsageError, match="rows must be two whole numbers that rise, between 0 and 210"):
            AtariEnv("Pong", rows=rows)
    with pytest.raises(UsageError, match="columns must be two whole numbers that rise, between 0 and 160"):
        AtariEnv("Pong", columns=(80, 161))


def test_shrinking_that_the_screen_does_not_allow() -> None:
    message = r"must divide the screen's 210x160 pixels, got 84x84; 105x80 does"
    with pytest.raises(UsageError, match=message):
        AtariEnv("Pong", resize="max", size=(84, 84))
    with pytest.raises(UsageError, match="resize must be area or max, got 'mean'"):
        AtariEnv("Pong", resize="mean")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"frame_skip": 2.5}, "frame_skip must be a whole number, got 2.5"),
        ({"frame_skip": float("nan")}, "frame_skip must be a whole number, got nan"),
        ({"max_noops": 1.5}, "max_noops must be a whole number, got 1.5"),
        ({"max_noops": 2**31}, r"max_noops must be in \[0, 2\*\*31\)"),
        ({"max_frames": "many"}, "max_frames must be a whole number, got 'many'"),
    ],
)
def test_numbers_are_checked_before_the_first_step(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AtariEnv("Pong", **kwargs)
    of_numpy: dict[str, Any] = {"frame_skip": np.int64(2), "max_noops": np.int64(3), "rows": np.array([34, 194])}
    AtariEnv("Pong", **of_numpy)
