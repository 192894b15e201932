"""The adapter to Stable-Baselines3 tells every agent the same story, however a vector environment resets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.envs import IdentityEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from rl_discrete.envs.chw import AnyEnv
from rl_discrete.envs.episode_vector import EpisodeVectorEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.sb3 import AnyVectorEnv, VectorEnvToVecEnv
from rl_discrete.runs.errors import RunError, UsageError
from tests.envs.counting_env import CountingEnv

MODES = tuple(AutoresetMode)
STAY = np.zeros(4, np.int64)
LENGTHS = ((3, 1000), (1000, 5), (4, 4), (7, 6))  # of four environments: terminates at, truncates at


def makers() -> list[Callable[[], AnyEnv]]:
    def maker(name: int, terminate_at: int, truncate_at: int) -> Callable[[], AnyEnv]:
        return lambda: CountingEnv(name, terminate_at, truncate_at, drifts=True)

    return [maker(name, *lengths) for name, lengths in enumerate(LENGTHS)]


def adapted(mode: AutoresetMode) -> VectorEnvToVecEnv:
    return VectorEnvToVecEnv(SyncVectorEnv(makers(), autoreset_mode=mode))


def array(observations: Any) -> npt.NDArray[Any]:
    assert isinstance(observations, np.ndarray)
    return observations


def story(env: VecEnv, steps: int = 40) -> list[Any]:
    """All that an agent gets to see, as plain values."""
    generator = np.random.default_rng(0)
    env.seed(7)
    told: list[Any] = [array(env.reset()).tolist(), _plain(env.reset_infos)]
    for _ in range(steps):
        observations, rewards, dones, infos = env.step(generator.integers(2, size=env.num_envs))
        assert rewards.dtype == np.float32
        assert dones.dtype == np.bool_
        told.append(
            [array(observations).tolist(), rewards.tolist(), dones.tolist(), _plain(infos), _plain(env.reset_infos)]
        )
    env.close()
    return told


def _plain(infos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: np.asarray(value).tolist() for key, value in info.items()} for info in infos]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_tells_the_story_of_sb3s_own_environment(mode: AutoresetMode) -> None:
    assert story(adapted(mode)) == story(DummyVecEnv(makers()))


def test_another_environment_tells_another_story() -> None:
    assert story(DummyVecEnv(list(reversed(makers())))) != story(DummyVecEnv(makers()))


@pytest.mark.parametrize("mode", MODES)
def test_known_ends(mode: AutoresetMode) -> None:
    env = adapted(mode)
    env.reset()
    ends: list[list[tuple[int, int, bool]]] = [[] for _ in LENGTHS]
    for step in range(1, 13):
        observations, rewards, dones, infos = env.step(STAY)
        started = array(observations)
        for index, info in enumerate(infos):
            assert info["TimeLimit.truncated"] == (dones[index] and index in (1, 3))
            assert ("terminal_observation" in info) == dones[index]
            if dones[index]:
                last = info["terminal_observation"]
                ends[index].append((step, int(last[2]), info["TimeLimit.truncated"]))
                assert last[1] + 1 == started[index, 1]  # the next episode has begun
                assert started[index, 2] == 0
                assert rewards[index] == info["count"] == last[2]
    assert ends[0] == [(3, 3, False), (6, 3, False), (9, 3, False), (12, 3, False)]
    assert ends[1] == [(5, 5, True), (10, 5, True)]
    assert ends[2] == [(4, 4, False), (8, 4, False), (12, 4, False)]  # terminated and truncated: terminated
    assert ends[3] == [(6, 6, True), (12, 6, True)]


def test_observations_stay_what_they_were() -> None:
    env = VectorEnvToVecEnv(SyncVectorEnv(makers(), copy=False))
    first = array(env.reset())
    second = array(env.step(STAY)[0])
    env.step(STAY)
    assert (first[0, 2], second[0, 2]) == (0, 1)


def test_seeds_are_used_once_and_repeat() -> None:
    env = adapted(AutoresetMode.NEXT_STEP)

    def start(seed: int | None) -> Any:
        if seed is not None:
            env.seed(seed)
        return array(env.reset())[:, 3].tolist()

    assert start(3) == start(3)
    assert start(3) != start(None)
    assert start(2**32 + 3) != start(3)  # larger than an environment in C takes, taken all the same


def test_replayable_episodes_as_an_sb3_environment() -> None:
    def make(seed: int = 1) -> EpisodeVectorEnv:
        return EpisodeVectorEnv(EpisodeEnvs(lambda: CountingEnv(0, 5), 2, seed))

    vector = make()
    env = VectorEnvToVecEnv(vector)
    env.reset()
    for _ in range(7):
        env.step(np.array([0, 1]))
    state = vector.episodes.state()
    assert state["episodes"].tolist() == [1, 2]
    resumed = make()
    observations, _ = resumed.episodes.restore(state)
    other = VectorEnvToVecEnv(resumed)
    assert np.array_equal(observations, vector.episodes.begin(np.zeros(2, np.bool_)))
    for _ in range(9):
        ours, theirs = env.step(np.array([1, 0])), other.step(np.array([1, 0]))
        assert np.array_equal(array(ours[0]), array(theirs[0]))
        assert all(np.array_equal(a, b) for a, b in zip(ours[1:3], theirs[1:3], strict=True))
    assert env.get_attr("terminate_at") == [5, 5]
    assert env.env_method("diagnostic_state", times=0) == [0, 0]
    env.close()


def test_methods_and_attributes_of_single_environments() -> None:
    env = VectorEnvToVecEnv(SyncVectorEnv([lambda: Monitor(CountingEnv())] * 3))
    env.reset()
    assert env.get_attr("terminate_at") == [1000] * 3
    env.set_attr("terminate_at", 2, indices=[1])
    assert env.get_attr("terminate_at", indices=[0, 1]) == [1000, 2]
    env.step(np.array([0, 1, 0]))
    assert env.env_method("diagnostic_state") == [1, 0, 1]  # the second has begun again
    assert env.env_method("diagnostic_state", 5, indices=2) == [5]
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(gymnasium.wrappers.TimeLimit, indices=[0]) == [False]
    assert not env.has_attr("nothing_of_that_name")
    assert env.render_mode is None


def test_an_environment_that_ignores_the_mask_is_found_out() -> None:
    class ResetsAll(SyncVectorEnv):
        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return super().reset(seed=seed)

    env = VectorEnvToVecEnv(ResetsAll(makers()))
    env.reset()
    env.step(STAY)
    env.step(STAY)
    with pytest.raises(RunError, match="reset_mask leaves out: make it with autoreset mode SameStep"):
        env.step(STAY)


def test_ends_that_are_not_reported_are_found_out() -> None:
    class Silent(SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            return (*super().step(actions)[:4], {})

    env = VectorEnvToVecEnv(Silent(makers(), autoreset_mode=AutoresetMode.SAME_STEP))
    env.reset()
    env.step(STAY)
    env.step(STAY)
    with pytest.raises(RunError, match="reports no final_obs"):
        env.step(STAY)


def _vector(**attributes: Any) -> AnyVectorEnv:
    """A vector environment in one piece, with attributes as given."""
    env = VectorEnv[Any, Any, Any]()
    space, actions = gymnasium.spaces.Box(0, 1, (2,)), gymnasium.spaces.Discrete(2)
    env.num_envs, env.metadata = 3, {"autoreset_mode": "Disabled"}
    env.single_observation_space, env.single_action_space = space, actions
    env.observation_space = gymnasium.spaces.Box(0, 1, (3, 2))
    for name, value in attributes.items():
        setattr(env, name, value)
    return env


def test_vector_environments_that_cannot_be_adapted() -> None:
    assert VectorEnvToVecEnv(_vector()).autoreset_mode is AutoresetMode.DISABLED
    with pytest.raises(UsageError, match=r"\(NextStep, SameStep, Disabled\), got None"):
        VectorEnvToVecEnv(_vector(metadata={}))
    with pytest.raises(UsageError, match="observations must be single arrays"):
        VectorEnvToVecEnv(_vector(single_observation_space=gymnasium.spaces.Dict()))
    with pytest.raises(UsageError, match="all 3 environments, got batches of 2"):
        VectorEnvToVecEnv(_vector(observation_space=gymnasium.spaces.Box(0, 1, (2, 2))))
    with pytest.raises(UsageError, match="no single environments"):
        VectorEnvToVecEnv(_vector()).env_method("diagnostic_state", indices=0)
    env = adapted(AutoresetMode.NEXT_STEP)
    env.set_options([{"a": 1}, {}, {}, {}])
    with pytest.raises(UsageError, match="the same options"):
        env.reset()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_vector_environment_of_ale(mode: AutoresetMode) -> None:
    venv = AtariVectorEnv(
        "pong", 2, autoreset_mode=mode, max_num_frames_per_episode=30, noop_max=20, img_height=40, img_width=40
    )
    adapter = VectorEnvToVecEnv(venv)
    env = VecMonitor(adapter)
    env.seed(11)
    last = array(env.reset())
    lengths: list[int] = []
    for _ in range(25):
        stepped, rewards, dones, infos = env.step(np.array([0, 3]))
        observations = array(stepped)
        assert observations.shape == (2, 4, 40, 40)
        assert observations.dtype == np.uint8
        assert rewards.dtype == np.float32
        for index in np.flatnonzero(dones).tolist():
            info = infos[index]
            assert info["TimeLimit.truncated"]  # Pong is never over after 30 frames
            terminal = info["terminal_observation"]
            assert np.array_equal(terminal[:-1], last[index][1:])
            assert not observations[index][:-1].any()  # the stack of a new episode is blank
            assert np.count_nonzero(terminal[:-1])
            lengths.append(info["episode"]["l"])
            assert adapter.reset_infos[index]["episode_frame_number"] <= 21
        for index in np.flatnonzero(~dones).tolist():
            assert "terminal_observation" not in infos[index]
            assert "final_obs" not in infos[index]
        last = observations
    assert len(lengths) >= 4
    assert max(lengths) <= 9
    env.close()


class Shuffled(IdentityEnv[int]):
    """Pays for an action without regard to what was seen."""

    def _get_reward(self, action: Any) -> float:
        return float(self.np_random.integers(4) == 0)


def trained_reward(env_class: type[IdentityEnv[int]], mode: AutoresetMode) -> float:
    """Mean reward of a step after PPO has learned for some 2,000 steps."""
    vector = SyncVectorEnv([lambda: env_class(dim=3, ep_length=20) for _ in range(4)], autoreset_mode=mode)
    for index, single in enumerate(vector.envs):
        single.action_space.seed(index)  # the state to be named is drawn from it, whatever seed a reset is given
    env = VectorEnvToVecEnv(vector)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=64,
        batch_size=64,
        n_epochs=5,
        learning_rate=3e-3,
        ent_coef=0.01,
        gamma=0.5,
        seed=0,
    )
    model.learn(2048)
    observations, rewards = array(env.reset()), []
    for _ in range(100):
        actions, _ = model.predict(observations, deterministic=True)
        stepped, reward, _, _ = env.step(actions)
        observations = array(stepped)
        rewards.append(reward.mean())
    env.close()
    return float(np.mean(rewards))


def test_ppo_learns_through_the_adapter() -> None:
    assert trained_reward(IdentityEnv, AutoresetMode.NEXT_STEP) > 0.95
    assert trained_reward(Shuffled, AutoresetMode.NEXT_STEP) < 0.5  # the control: a quarter is chance
