"""The contract of our environments, for every one that can be made here: a new one joins by a line in `ENVS`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.make import check_discrete, env_id, make_env, observation_kind

ENVS: dict[str, dict[str, Any]] = {  # name -> arguments
    "GridFourRooms": {},
    "GridKeyDoor": {},
    "GridWind": {},
    "DoomHallHazard": {},
    "Pong": {"repeat_action_probability": 0.25},
}
STEPS = 40

every_env = pytest.mark.parametrize(("name", "kwargs"), ENVS.items(), ids=ENVS.keys())


@pytest.fixture
def env(name: str, kwargs: dict[str, Any]) -> Iterator[AnyEnv]:
    made = make_env(name, **kwargs)
    yield made
    made.close()


def walk(envs: EpisodeEnvs, steps: int, seed: int = 0) -> list[bytes]:
    """What random steps return, as bytes, with the true states."""
    generator = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        if envs.ended.any():
            envs.begin(envs.ended)
        result = envs.step(generator.integers(check_discrete(envs.envs[0]), size=envs.num_envs))
        states = [np.asarray(state).tobytes() for state in envs.call("diagnostic_state")]
        seen.append(b"".join([result.observations.tobytes(), result.rewards.tobytes(), bytes(result.ended), *states]))
    return seen


@every_env
def test_the_checkers_of_gymnasium_and_sb3_are_silent(name: str, kwargs: dict[str, Any]) -> None:
    made = gymnasium.make(env_id(name), **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made.unwrapped)
        check_env_for_sb3(made.unwrapped)
    made.close()


@every_env
def test_observations_are_images_channels_first(env: AnyEnv) -> None:
    assert observation_kind(env) == "image"
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Box)
    assert space.dtype == np.uint8
    assert space.shape[0] in (1, 3)
    assert space == gymnasium.spaces.Box(0, 255, space.shape, np.uint8)
    observation, _ = env.reset(seed=0)
    later = env.step(0)[0]
    for picture in (observation, later):
        assert space.contains(picture)
        assert picture.std() > 1  # there is something to see
    assert not np.shares_memory(observation, later)


@every_env
def test_the_flags_of_a_step(env: AnyEnv) -> None:
    env.reset(seed=1)
    env.action_space.seed(0)
    for _ in range(STEPS):
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert type(terminated) is bool
        assert type(truncated) is bool
        assert np.isfinite(float(reward))
        if terminated or truncated:
            env.reset()


@every_env
def test_a_seed_and_the_actions_reproduce_an_episode(name: str, kwargs: dict[str, Any]) -> None:
    """So a run can resume: another process sees the same, whatever was played before."""
    first, second = (EpisodeEnvs(lambda: make_env(name, **kwargs), 1, seed=3) for _ in range(2))
    first.reset_all()
    walk(first, STEPS, seed=1)
    first.reset_all()
    walk(first, STEPS // 2)
    state = first.state()
    lines: list[str] = []
    second.restore(state, warn=lines.append)
    assert lines == []
    ahead, other = walk(first, STEPS, seed=5), walk(second, STEPS, seed=5)
    assert ahead == other
    assert ahead != walk(second, STEPS, seed=6)  # the control: actions matter
    first.close()
    second.close()


@every_env
def test_the_true_state_is_known(env: AnyEnv) -> None:
    read = env.get_wrapper_attr("diagnostic_state")
    env.reset(seed=0)
    before = np.asarray(read())
    assert np.array_equal(before, np.asarray(read()))  # reading changes nothing
    states = {before.tobytes()}
    env.action_space.seed(0)
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        state = np.asarray(read())
        assert (state.shape, state.dtype) == (before.shape, before.dtype)
        states.add(state.tobytes())
        if terminated or truncated:
            env.reset()
    assert len(states) > 3


@every_env
def test_frames_for_videos(name: str, kwargs: dict[str, Any]) -> None:
    made = make_env(name, **kwargs, render_mode="rgb_array")
    made.reset(seed=0)
    frame: Any = made.render()
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert min(frame.shape[:2]) >= 60
    made.close()


@every_env
def test_closing_twice_is_allowed(env: AnyEnv) -> None:
    env.reset(seed=0)
    env.close()
    env.close()
