"""Imagined episodes behind gymnasium's interfaces: ends, resets, chance, memory, and agents that learn there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

import rl_discrete
from rl_discrete.envs.memory import available_bytes, num_bytes
from rl_discrete.envs.model import WorldModelEnv, WorldModelVectorEnv
from rl_discrete.envs.sb3 import VectorEnvToVecEnv
from rl_discrete.runs.errors import UsageError
from tests.world_models.toy import SIDES, CoinModel, CoinStarts, State, coin_replay

MODES = tuple(AutoresetMode)
COIN = {"end": 0.1, "doubt": 0.05}
WORLD_MODEL = "rl_discrete.envs:rl_discrete/WorldModel-v0"


def vector(num_envs: int = 4, mode: AutoresetMode = AutoresetMode.NEXT_STEP, **settings: Any) -> WorldModelVectorEnv:
    model = settings.pop("model", None) or CoinModel(**COIN)
    given: dict[str, Any] = {"horizon": 6, "autoreset_mode": mode} | settings
    return WorldModelVectorEnv(model, CoinStarts(), num_envs, **given)


def choices(num_envs: int, steps: int = 60, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(SIDES, size=(steps, num_envs))


def walk(env: WorldModelVectorEnv, actions: NDArray[np.int64]) -> list[list[Any]]:
    """What each step returns, row by row; with DISABLED the next episodes are started by a mask."""
    told = []
    for chosen in actions:
        observations, rewards, terminated, truncated, _ = env.step(chosen)
        told.append([observations.tolist(), rewards.tolist(), terminated.tolist(), truncated.tolist()])
        ended = terminated | truncated
        if env.autoreset_mode is AutoresetMode.DISABLED and ended.any():
            told[-1].append(env.reset(options={"reset_mask": ended})[0].tolist())
    return told


def side(observations: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(observations[:, :SIDES].argmax(axis=1), np.int64)


def test_the_horizon_is_a_truncation() -> None:
    env = vector(2, model=CoinModel(), horizon=3)
    env.reset(seed=0)
    for step in range(1, 9):
        observations, rewards, terminated, truncated, infos = env.step(np.array([1, 2]))
        assert not terminated.any()
        assert truncated.tolist() == [step in (3, 7)] * 2  # the fourth step starts the next episode
        assert infos == {}
        assert (rewards == 0).all() or step not in (4, 8)
        assert observations[:, SIDES:].argmax(axis=1).tolist() == [[1, 2], [0, 0]][step in (4, 8)]
        assert observations[:, SIDES:].any() == (step not in (4, 8))  # nothing came before a first frame


def test_the_reward_is_that_of_what_was_seen() -> None:
    env = vector(5, model=CoinModel(), horizon=50)
    seen, _ = env.reset(seed=0)
    for chosen in choices(5, 40):
        named = side(seen) == chosen
        seen, rewards, *_ = env.step(chosen)
        assert rewards.dtype == np.float32
        assert rewards.tolist() == named.tolist()


@pytest.mark.parametrize("mode", MODES)
def test_ends_and_doubts(mode: AutoresetMode) -> None:
    """The model's end terminates, its doubt truncates and is told of, and they come as often as they should."""
    env = vector(64, mode, horizon=10**6)
    env.reset(seed=1)
    steps = ends = doubts = 0
    for chosen in choices(64, 150):
        begins = env._ended.copy()
        _, _, terminated, truncated, infos = env.step(chosen)
        told = infos.get("final_info", infos)
        assert np.array_equal(told.get("doubtful", np.zeros(64, np.bool_)), truncated)
        assert not (begins & (terminated | truncated)).any()
        steps, ends, doubts = steps + (~begins).sum(), ends + terminated.sum(), doubts + truncated.sum()
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            env.reset(options={"reset_mask": terminated | truncated})
    assert abs(ends / steps - 0.1) < 4 * (0.1 * 0.9 / steps) ** 0.5
    assert abs(doubts / steps - 0.05) < 4 * (0.05 * 0.95 / steps) ** 0.5


def test_the_last_observation_of_same_step() -> None:
    plain, same = vector(mode=AutoresetMode.DISABLED), vector(mode=AutoresetMode.SAME_STEP)
    plain.reset(seed=2)
    same.reset(seed=2)
    for chosen in choices(4):
        last, _, terminated, truncated, _ = plain.step(chosen)
        current, *_, infos = same.step(chosen)
        ended = terminated | truncated
        assert ("final_obs" in infos) == ended.any()
        if ended.any():
            assert infos["_final_obs"].tolist() == ended.tolist()
            for index, final in enumerate(infos["final_obs"]):
                assert np.array_equal(final, last[index]) if ended[index] else final is None
            last, _ = plain.reset(options={"reset_mask": ended})
        assert np.array_equal(current, last)


def test_every_mode_tells_sb3_the_same_story() -> None:
    def story(mode: AutoresetMode, seed: int = 3) -> list[Any]:
        env = VectorEnvToVecEnv(vector(mode=mode))
        env.seed(seed)
        told: list[Any] = [np.asarray(env.reset()).tolist()]
        for chosen in choices(4):
            observations, rewards, dones, infos = env.step(chosen)
            plain = [{key: np.asarray(value).tolist() for key, value in info.items()} for info in infos]
            assert all(info["TimeLimit.truncated"] for info in infos if info.get("doubtful"))
            told.append([np.asarray(observations).tolist(), rewards.tolist(), dones.tolist(), plain])
        return told

    first = story(AutoresetMode.NEXT_STEP)
    assert story(AutoresetMode.SAME_STEP) == first
    assert story(AutoresetMode.DISABLED) == first
    assert story(AutoresetMode.DISABLED, seed=4) != first


def test_a_batch_is_its_envs_one_by_one() -> None:
    seeds, actions = [5, 0, 9], choices(3)
    batch = vector(3, AutoresetMode.DISABLED)
    first, _ = batch.reset(seed=seeds)
    together = walk(batch, actions)
    for index, seed in enumerate(seeds):
        env = WorldModelEnv(CoinModel(**COIN), CoinStarts(), 6)
        observation, _ = env.reset(seed=seed)
        assert np.array_equal(observation, first[index])
        for told, chosen in zip(together, actions[:, index], strict=True):
            observation, reward, terminated, truncated, info = env.step(chosen)
            assert [part[index] for part in told[:4]] == [observation.tolist(), reward, terminated, truncated]
            if terminated or truncated:
                assert info in ({}, {"doubtful": True})
                assert env.reset()[0].tolist() == told[4][index]


@pytest.mark.parametrize("mode", MODES)
def test_an_env_does_not_know_how_many_there_are(mode: AutoresetMode) -> None:
    few, many, actions = vector(2, mode), vector(7, mode), choices(7)
    assert np.array_equal(few.reset(seed=8)[0], many.reset(seed=8)[0][:2])
    for ours, others in zip(walk(few, actions[:, :2]), walk(many, actions), strict=True):
        assert ours[:4] == [part[:2] for part in others[:4]]


def test_seeds() -> None:
    env, actions = vector(), choices(4)

    def run(seed: Any) -> Any:
        return [env.reset(seed=seed)[0].tolist(), walk(env, actions)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    run(1)
    ahead = run(None)
    run(1)
    assert run(None) == ahead != run(1)  # without a seed the streams go on
    assert vector().reset()[0].tolist() is not None
    assert vector(64).reset()[0].tolist() != vector(64).reset()[0].tolist()  # never seeded: by chance
    assert run([3, 4, 5, 6]) == run([3, 4, 5, 6])
    env.reset(seed=[3, 4, 5, 6])
    env.reset(seed=[None, 4, None, None])
    again = env.reset(seed=[3, 4, 5, 6])[0]
    assert env.reset(seed=[None, 4, None, None])[0][1].tolist() == again[1].tolist()


def test_a_mask_leaves_the_others_as_they_are() -> None:
    one, two, actions = vector(mode=AutoresetMode.DISABLED), vector(mode=AutoresetMode.DISABLED), choices(4, 2)
    mask = np.array([False, True, False, True])
    for env in (one, two):
        env.reset(seed=0)
        walk(env, actions[:1])
    before = one.model.observe(one._state)
    current, infos = one.reset(seed=7, options={"reset_mask": mask})
    assert infos == {}
    assert np.array_equal(current[~mask], before[~mask])
    assert not current[mask, SIDES:].any()
    fresh, _ = vector(mode=AutoresetMode.DISABLED).reset(seed=7)
    assert np.array_equal(current[mask], fresh[mask])  # the seed counts for those that start
    assert all(
        np.array_equal(ours[~mask], others[~mask])
        for ours, others in zip(one.step(actions[1])[:4], two.step(actions[1])[:4], strict=True)
    )


def test_what_is_out_of_turn() -> None:
    with pytest.raises(ResetNeeded):
        vector().step(np.zeros(4, np.int64))
    with pytest.raises(UsageError, match="the first reset must start every env"):
        vector().reset(options={"reset_mask": np.array([True, False, True, True])})
    for mode in (AutoresetMode.DISABLED, AutoresetMode.SAME_STEP):
        env = vector(2, mode, model=CoinModel(), horizon=1)
        env.reset()
        env.step(np.zeros(2, np.int64))
        if mode is AutoresetMode.DISABLED:
            with pytest.raises(ResetNeeded):
                env.step(np.zeros(2, np.int64))
        else:
            env.step(np.zeros(2, np.int64))


def test_bad_input_is_one_line() -> None:
    env = vector(2)
    env.reset()
    for actions, words in (
        (np.array([0, 3]), r"actions must be in \[0, 3\), got \[0, 3\]"),
        (np.array([-1, 0]), r"actions must be in \[0, 3\)"),
        (np.array([0]), r"actions must be whole numbers \(2,\), got int64 \(1,\)"),
        (np.array([0.0, 1.0]), "got float64"),
    ):
        with pytest.raises(UsageError, match=words):
            env.step(actions)
    for settings, words in (
        ({"num_envs": 0}, "num_envs and horizon must be >= 1, got 0 and 6"),
        ({"horizon": 0}, "got 4 and 0"),
        ({"mode": "Sometimes"}, "must be one of NextStep, SameStep, Disabled, got 'Sometimes'"),
        ({"render_mode": "human"}, "render_mode must be rgb_array or None, got 'human'"),
    ):
        with pytest.raises(UsageError, match=words):
            vector(**settings)
    for mask in (np.array([True]), np.array([1, 0]), np.zeros(2, np.bool_)):
        with pytest.raises(UsageError, match=r"reset_mask must be bool \(2,\)"):
            env.reset(options={"reset_mask": mask})


def test_more_envs_than_memory_holds() -> None:
    with pytest.raises(UsageError, match=r"1000 model envs take about .* num_envs can be 3[0-9] at most") as caught:
        vector(1000, max_bytes=6000)
    assert "\n" not in str(caught.value)
    most = int(str(caught.value).split()[-3])
    assert vector(most, max_bytes=6000).num_envs == most
    with pytest.raises(UsageError, match="num_envs can be"):
        vector(most + 1, max_bytes=6000)
    with pytest.raises(UsageError, match="not even one fits"):
        vector(1, max_bytes=10)

    class Heavy(CoinModel):
        step_bytes = 2**50

    with pytest.raises(UsageError, match="not even one fits: take a smaller model"):
        vector(1, model=Heavy())
    assert num_bytes({"a": [np.zeros(3), (np.zeros(2, np.int8),)], "b": "word"}) == 26
    assert num_bytes(CoinStarts().draw(np.zeros((1, 2)))) == 2 * (SIDES * 4 + 8 + 1)
    free = available_bytes()
    assert free is None or 0 < free < 2**50


def test_pictures() -> None:
    env = vector(2, render_mode="rgb_array")
    assert env.render() is None
    seen, _ = env.reset(seed=0)
    pictures = env.render()
    assert pictures is not None
    assert [picture[0, 4::8, 0].argmax() for picture in pictures] == side(seen).tolist()
    assert VectorEnvToVecEnv(env).get_images()[1] is not None
    blind = vector(2)
    blind.reset()
    assert blind.render() is None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that loads as a coin."""
    from rl_discrete.world_models.starts import ReplayStarts

    starts = ReplayStarts(coin_replay(tmp_path / "replay"), CoinModel.history_length)

    def load(run: str) -> tuple[CoinModel, ReplayStarts]:
        assert Path(run) == tmp_path
        return CoinModel(**COIN), starts

    monkeypatch.setattr(rl_discrete, "load_world_model", load, raising=False)
    return tmp_path


def test_made_by_gymnasium(run: Path) -> None:
    env = gymnasium.make(WORLD_MODEL, run=str(run), horizon=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
        check_env_for_sb3(env.unwrapped)
    env.close()
    many = gymnasium.make_vec(WORLD_MODEL, num_envs=3, run=str(run), horizon=4, autoreset_mode="SameStep")
    assert isinstance(many, WorldModelVectorEnv)
    assert (many.num_envs, many.horizon, many.autoreset_mode) == (3, 4, AutoresetMode.SAME_STEP)
    first, _ = many.reset(seed=0)
    assert first[:, SIDES:].any(axis=1).any()  # in the middle of a real episode an action came before
    many.close()


class Unseen(CoinModel):
    """The coin lies under a cup."""

    def observe(self, state: State) -> NDArray[np.int8]:
        return np.zeros_like(super().observe(state))


OFF_POLICY = {
    "learning_starts": 64,
    "train_freq": 1,
    "gradient_steps": 4,
    "exploration_fraction": 0.4,
    "buffer_size": 4000,
    "learning_rate": 3e-3,
    "batch_size": 64,
}
ON_POLICY = {"n_steps": 8, "batch_size": 64}
ONE_LSTM = {"lstm_hidden_size": 16, "shared_lstm": True, "enable_critic_lstm": False}
AGENTS: dict[str, tuple[Any, int, dict[str, Any]]] = {  # class, steps, its own settings
    "A2C": (stable_baselines3.A2C, 6400, {"learning_rate": 5e-3}),
    "PPO": (stable_baselines3.PPO, 2048, ON_POLICY | {"n_epochs": 5, "learning_rate": 3e-3}),
    "DQN": (stable_baselines3.DQN, 2560, OFF_POLICY),
    "QRDQN": (sb3_contrib.QRDQN, 2560, OFF_POLICY | {"policy_kwargs": {"n_quantiles": 5}}),
    "RecurrentPPO": (
        sb3_contrib.RecurrentPPO,
        5120,
        ON_POLICY | {"batch_size": 128, "n_epochs": 4, "learning_rate": 1e-2, "policy_kwargs": ONE_LSTM},
    ),
}


def trained_reward(name: str, model: CoinModel) -> float:
    """Mean reward of a step after an agent has learned in the model."""
    agent_class, steps, settings = AGENTS[name]
    env = VectorEnvToVecEnv(vector(32, AutoresetMode.SAME_STEP, model=model))
    policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
    agent = agent_class(policy, env, seed=0, gamma=0.0, device="cpu", **settings)
    agent.learn(steps)
    env.seed(9)
    observations: Any = env.reset()
    state, starts, rewards = None, np.ones(32, np.bool_), []
    for _ in range(12):
        actions, state = agent.predict(observations, state, starts, deterministic=True)
        observations, reward, starts, _ = env.step(actions)
        rewards.append(reward.mean())
    return float(np.mean(rewards))


@pytest.mark.parametrize("name", AGENTS)
def test_agents_learn_in_the_model(name: str) -> None:
    assert trained_reward(name, CoinModel(**COIN)) > 0.95


def test_no_agent_learns_what_cannot_be_seen() -> None:
    assert trained_reward("PPO", Unseen(**COIN)) < 0.5  # the control: a third is chance
