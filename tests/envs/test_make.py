"""Names of environments, the two kinds of observations, and errors that say what to do."""

from __future__ import annotations

import sys
import types
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest

from rl_discrete.envs import register_envs, registered_names
from rl_discrete.envs.chw import as_chw
from rl_discrete.envs.make import check_discrete, env_id, make_env, observation_kind
from rl_discrete.runs.errors import UsageError
from tests.envs.counting_env import CountingEnv


class Showing(gymnasium.Env[Any, Any]):
    """Observes the largest value of the given space, in all steps."""

    def __init__(self, space: gymnasium.Space[Any], actions: gymnasium.Space[Any] | None = None) -> None:
        self.observation_space = space
        self.action_space = actions or gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observation(), 0.0, False, False, {}

    def _observation(self) -> Any:
        assert isinstance(self.observation_space, gymnasium.spaces.Box)
        size = int(np.prod(self.observation_space.shape))
        return np.arange(size).reshape(self.observation_space.shape).astype(self.observation_space.dtype)


def image(*shape: int) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("grid", "rl_discrete/GridFourRooms-v0"),
        ("GridWind", "rl_discrete/GridWind-v0"),
        ("DoomPlusMaze", "rl_discrete/DoomPlusMaze-v0"),
        ("Pong", "rl_discrete/Pong-v0"),
        ("MsPacman", "rl_discrete/MsPacman-v0"),
        ("SpaceInvaders", "rl_discrete/SpaceInvaders-v0"),
        ("rl_discrete/GridWind-v0", "rl_discrete/GridWind-v0"),
        ("CartPole-v1", "CartPole-v1"),
        ("some.module:Thing-v3", "some.module:Thing-v3"),
    ],
)
def test_names(name: str, wanted: str) -> None:
    assert env_id(name) == wanted


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gird", "unknown environment 'gird'; did you mean 'grid'?"),
        ("doom-plus-maze", "did you mean 'DoomPlusMaze'?"),
        ("Pnog", "did you mean 'Pong'?"),
        ("xyz", "take grid, DoomPlusMaze, an Atari game such as Pong"),
        ("", "unknown environment ''"),
        ("module:", "unknown environment"),
        (":Id", "unknown environment"),
    ],
)
def test_unknown_names_offer_the_nearest(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_env(name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_registering_twice_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    register_envs()
    assert dict(gymnasium.registry) == before
    names = registered_names()
    assert len(names) == len(set(names)) > 100
    assert {"GridFourRooms", "DoomHallHazard", "Breakout"} < set(names)
    assert "Combat" not in names


@pytest.fixture
def user_module(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's that registers CountMe-v0."""
    module = types.ModuleType("their_envs")
    monkeypatch.setitem(sys.modules, "their_envs", module)
    if "CountMe-v0" not in gymnasium.registry:
        gymnasium.register("CountMe-v0", entry_point="tests.envs.counting_env:CountingEnv", max_episode_steps=7)
    return "their_envs"


def test_an_environment_of_the_user_with_arguments(user_module: str) -> None:
    env = make_env(f"{user_module}:CountMe-v0", name=5, terminate_at=3)
    assert isinstance(env.unwrapped, CountingEnv)
    assert env.unwrapped.name == 5
    assert observation_kind(env) == "vector"
    observation, _ = env.reset(seed=0)
    assert observation.shape == (4,)
    env.close()


def test_what_cannot_be_made_is_one_line(user_module: str) -> None:
    for name, kwargs, words in (
        (f"{user_module}:CountMe-v0", {"speed": 3}, "does not take these arguments: .*speed"),
        ("GridWind", {"speed": 3}, "environment 'GridWind' does not take these arguments: .*speed"),
        ("nowhere_to_be_found:Thing-v0", {}, "cannot make environment .*nowhere_to_be_found.*; install it"),
        (f"{user_module}:Nothing-v0", {}, "cannot make environment 'their_envs:Nothing-v0': .*doesn't exist"),
        (f"{user_module}:not an id!", {}, "cannot make environment"),
        ("CartPole-v1", {"max_episode_steps": -3}, "'CartPole-v1' does not take these arguments: .*actually: -3"),
        ("CartPole-v1", {"render_mode": 3}, "does not take these arguments: 'int' object has no attribute"),
        ("Pong", {"game": 3}, "does not take these arguments"),
        ("Pong", {"repeat_action_probability": 10**400}, "does not take these arguments: .*too large"),
        ("Pong", {"size": [10**8, 10**8]}, "does not take these arguments: Unable to allocate"),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            make_env(name, **kwargs)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 40, 50), (3, 40, 50)),
        ((4, 84, 84), (4, 84, 84)),
        ((60, 80, 3), (3, 60, 80)),
        ((84, 84, 4), (4, 84, 84)),
        ((84, 84, 1), (1, 84, 84)),
        ((36, 48), (1, 36, 48)),
    ],
)
def test_images_come_channels_first(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    inner = Showing(image(*shape))
    env = as_chw(inner)
    assert observation_kind(inner) == observation_kind(env) == "image"
    assert env.observation_space == image(*expected)
    observation, _ = env.reset(seed=0)
    assert observation.shape == expected
    assert observation.flags.c_contiguous
    assert (env is inner) == (shape == expected)
    raw, _ = inner.reset()
    pixel = raw[2, 1] if shape != expected else raw[:, 2, 1]
    assert np.array_equal(observation[:, 2, 1], np.atleast_1d(pixel))
    assert np.array_equal(env.step(0)[0], observation)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_vectors_come_as_float32(dtype: npt.DTypeLike) -> None:
    bound = 200 if dtype == np.uint8 else np.finfo(np.float64).max if dtype == np.float64 else 1000
    inner = Showing(gymnasium.spaces.Box(0, np.array([bound] * 5), (5,), dtype))  # type: ignore[arg-type]
    env = as_chw(inner)
    assert observation_kind(env) == "vector"
    observation, _ = env.reset(seed=0)
    assert observation.dtype == np.float32 == env.observation_space.dtype
    assert observation.tolist() == [0, 1, 2, 3, 4]
    assert env.observation_space.contains(observation)
    assert (env is inner) == (dtype == np.float32)


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(4),
        gymnasium.spaces.Box(0, 1, (3, 40, 40), np.float32),
        image(2, 3, 4, 5),
        gymnasium.spaces.Dict({"pixels": image(3, 40, 40)}),
    ],
)
def test_other_observations_are_refused(space: gymnasium.Space[Any]) -> None:
    with pytest.raises(UsageError, match=r"Showing observes .*; allowed are images"):
        as_chw(Showing(space))


def test_actions_must_be_discrete() -> None:
    spaces = gymnasium.spaces
    assert check_discrete(Showing(image(3, 40, 40))) == 3
    for actions in (spaces.Box(-1, 1, (2,)), spaces.Discrete(3, start=1), spaces.MultiDiscrete([2, 2])):
        with pytest.raises(UsageError, match="actions must be Discrete and count from 0"):
            check_discrete(Showing(image(3, 40, 40), actions))
