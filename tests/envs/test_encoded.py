"""In the real env an agent sees what it would see inside the model, by a vector env or by a policy of its own."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from rl_discrete.agents.evaluation import evaluate
from rl_discrete.envs.encoded import EncodedPolicy, EncodedVectorEnv
from rl_discrete.envs.episode_vector import EpisodeVectorEnv
from rl_discrete.envs.episodes import EpisodeEnvs
from rl_discrete.envs.sb3 import AnyVectorEnv, VectorEnvToVecEnv
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.config import DynamicsConfig
from tests.world_models.lines import SMALL, BitsCodec
from tests.world_models.toy import SIDES, CoinEnv, CoinModel

MODES = tuple(AutoresetMode)
MAKERS = [partial(CoinEnv, length, 0.1) for length in (4, 7, 4)]
B = len(MAKERS)


def adapted(mode: AutoresetMode, encoded: bool = True) -> VectorEnvToVecEnv:
    venv: AnyVectorEnv = SyncVectorEnv(MAKERS, autoreset_mode=mode)
    return VectorEnvToVecEnv(EncodedVectorEnv(venv, CoinModel()) if encoded else venv)


def bits(frame: NDArray[Any], before: int) -> list[int]:
    """What an agent inside the model sees after this frame and the action before it, -1 for none."""
    return [*frame.astype(int).tolist(), *(int(action == before) for action in range(SIDES))]


@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_real_env_in_bits(mode: AutoresetMode) -> None:
    ours, real = adapted(mode), adapted(AutoresetMode.NEXT_STEP, encoded=False)
    assert ours.observation_space == CoinModel().observation_space
    generator = np.random.default_rng(0)
    for env in (ours, real):
        env.seed(3)
    seen, frames = np.asarray(ours.reset()), np.asarray(real.reset())
    assert seen.tolist() == [bits(frame, -1) for frame in frames]
    ends = 0
    for _ in range(40):
        actions = generator.integers(SIDES, size=B)
        stepped, rewards, dones, infos = ours.step(actions)
        shown, real_rewards, real_dones, real_infos = real.step(actions)
        expected = np.where(dones, -1, actions)
        assert np.asarray(stepped).tolist() == [
            bits(frame, before) for frame, before in zip(np.asarray(shown), expected.tolist(), strict=True)
        ]
        assert rewards.tolist() == real_rewards.tolist()
        assert dones.tolist() == real_dones.tolist()
        for index in np.flatnonzero(dones).tolist():
            last = real_infos[index]["terminal_observation"]
            assert infos[index]["terminal_observation"].tolist() == bits(last, actions[index])
            assert infos[index]["TimeLimit.truncated"] == real_infos[index]["TimeLimit.truncated"]
            ends += 1
    assert ends > 15


def test_what_gymnasium_sees_in_the_step_after_an_end() -> None:
    env = EncodedVectorEnv(SyncVectorEnv([partial(CoinEnv, 2)] * 2), CoinModel())
    env.reset(seed=0)
    before = [env.step(np.array([1, 2]))[0][:, SIDES:].tolist() for _ in range(4)]
    named, nothing = [[0, 1, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]
    assert before == [named, named, nothing, named]
    assert env.single_observation_space == CoinModel().observation_space
    assert env.observation_space.contains(env.reset()[0])
    env.close()


def test_envs_that_do_not_fit_the_model() -> None:
    class FourActions(CoinEnv):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = gymnasium.spaces.Discrete(SIDES + 1)

    with pytest.raises(UsageError, match=r"the model takes 3 actions, the env takes Discrete\(4\)"):
        EncodedVectorEnv(SyncVectorEnv([FourActions]), CoinModel())
    silent = SyncVectorEnv(MAKERS)
    silent.metadata = {}
    with pytest.raises(UsageError, match=r"autoreset mode must be one of .* got None"):
        EncodedVectorEnv(silent, CoinModel())


class Spy:
    """Acts at random, remembers what it was shown, and counts its calls in its state."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.seen: list[Any] = []

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        self.seen.append(np.asarray(observation).tolist())
        calls = 0 if state is None else int(state[1][0, 0])
        assert calls + 1 == len(self.seen)
        actions = self.generator.integers(SIDES, size=len(observation))
        return actions, (np.zeros(1), np.full((1, len(observation)), calls + 1))


@pytest.mark.parametrize("num_envs", [1, 3])
def test_the_policy_sees_what_the_vector_env_shows(num_envs: int) -> None:
    def real() -> EpisodeVectorEnv:
        return EpisodeVectorEnv(EpisodeEnvs(MAKERS[1], num_envs, seed=1))

    spy, shown = Spy(), []
    policy = EncodedPolicy(spy, CoinModel())
    raw, encoded = VectorEnvToVecEnv(real()), VectorEnvToVecEnv(EncodedVectorEnv(real(), CoinModel()))
    frames, codes = np.asarray(raw.reset()), np.asarray(encoded.reset())
    state, starts = None, np.ones(num_envs, np.bool_)
    for _ in range(30):
        shown.append(codes.tolist())
        actions, state = policy.predict(frames, state, starts)
        stepped, _, starts, _ = raw.step(actions)
        frames, codes = np.asarray(stepped), np.asarray(encoded.step(actions)[0])
    assert spy.seen == shown
    assert any(row[0][SIDES:] != [0] * SIDES for row in shown)


def test_a_single_env_without_a_batch() -> None:
    spy = Spy()
    policy = EncodedPolicy(spy, CoinModel())
    frame = np.eye(SIDES, dtype=np.float32)[1]
    action, state = policy.predict(frame)
    assert action.shape == ()
    assert action.dtype == np.int64
    policy.predict(frame, state, np.array([False]))
    assert spy.seen == [[bits(frame, -1)], [bits(frame, int(action))]]
    policy.predict(frame, policy_state(state, 2), np.array([True]))
    assert spy.seen[2] == [bits(frame, -1)]


def policy_state(state: Any, calls: int) -> Any:
    """The state of a policy that has been called so often."""
    return (*state[:-1], np.full_like(state[-1], calls))


class Names:
    """Says what some of the bits say."""

    def __init__(self, first: int) -> None:
        self.first = first

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        return observation[:, self.first : self.first + SIDES].argmax(axis=1), None


def test_what_pays_inside_the_model_pays_in_the_real_env() -> None:
    def score(first: int) -> float:
        policy = EncodedPolicy(Names(first), CoinModel())
        return evaluate(policy, partial(CoinEnv, 20), 6, seed=0, num_envs=3).mean

    assert score(0) == 20.0
    assert score(SIDES) < 12  # the control: the action before says nothing


def test_histories_are_not_shared() -> None:
    """What a caller keeps of an earlier state stays as it was."""
    policy = EncodedPolicy(Spy(), CoinModel())
    frames = np.eye(SIDES, dtype=np.float32)
    _, first = policy.predict(frames)
    assert first is not None
    kept = [part.copy() for part in first]
    policy.predict(frames[::-1].copy(), first, np.array([True, False, False]))
    assert all(np.array_equal(part, before) for part, before in zip(first, kept, strict=True))


class CountingCodec(BitsCodec):
    """Counts the frames that it codes."""

    coded = 0

    def encode(self, frames: NDArray[Any]) -> NDArray[np.uint8]:
        self.coded += len(frames)
        return super().encode(frames)


class NoCodeModel:
    """Has all that a model of codes has, and is told of frames as they are."""

    def __init__(self, model: CodeWorldModel) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_model_of_codes_codes_every_real_frame_once(mode: AutoresetMode) -> None:
    codec = CountingCodec(SIDES)
    model = CodeWorldModel(codec, [CodeDynamics(SIDES, SIDES, "signs", DynamicsConfig(**SMALL), seed=0)])
    plain: Any = NoCodeModel(model)
    ours, other = (EncodedVectorEnv(SyncVectorEnv(MAKERS, autoreset_mode=mode), each) for each in (model, plain))
    generator, coded, ends = np.random.default_rng(0), 0, 0
    shown, expected = ours.reset(seed=3)[0], other.reset(seed=3)[0]
    for _ in range(30):
        np.testing.assert_array_equal(shown, expected)
        actions, before = generator.integers(SIDES, size=B), codec.coded
        shown, _, terminated, truncated, _ = ours.step(actions)
        coded, ends = coded + codec.coded - before, ends + int((terminated | truncated).any())
        expected = other.step(actions)[0]
    last_frames = ends if mode is AutoresetMode.SAME_STEP else 0
    assert ends > 3
    assert coded == B * (30 + last_frames)


def test_the_policy_of_a_model_of_codes_codes_every_real_frame_once() -> None:
    codec = CountingCodec(SIDES)
    model = CodeWorldModel(codec, [CodeDynamics(SIDES, SIDES, "signs", DynamicsConfig(**SMALL), seed=0)])
    spies, plain = (Spy(), Spy()), cast("Any", NoCodeModel(model))
    generator = np.random.default_rng(0)
    states: list[Any] = [None, None]
    coded = 0
    for _ in range(12):
        frames, starts = np.eye(SIDES, dtype=np.float32)[generator.integers(SIDES, size=B)], generator.random(B) < 0.2
        before = codec.coded
        _, states[0] = EncodedPolicy(spies[0], model).predict(frames, states[0], starts)
        coded += codec.coded - before
        _, states[1] = EncodedPolicy(spies[1], plain).predict(frames, states[1], starts)
    assert spies[0].seen == spies[1].seen
    assert coded == 12 * B
