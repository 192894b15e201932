"""The contract of a world model, for every one of them: a new one joins by a line in `WORLDS`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from rl_discrete.data.history import History
from rl_discrete.envs.model import AnyModel, WorldModelEnv
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.code import CodeWorldModel
from rl_discrete.world_models.code_dynamics import CodeDynamics
from rl_discrete.world_models.config import DynamicsConfig
from rl_discrete.world_models.tabular import TabularWorldModel
from tests.world_models import lines, pixels, tables
from tests.world_models.toy import SIDES, CoinModel

Frames = NDArray[Any]
B = 5


@dataclass(frozen=True)
class World:
    """A model, and real frames that it can be told of."""

    model: AnyModel
    frames: Callable[[np.random.Generator, int], Frames]
    """N frames (N, *frame_shape), some of them different."""

    def histories(self, num_rows: int = B, seed: int = 0, longer: int = 0) -> History:
        """Histories of all ages, the youngest first."""
        generator = np.random.default_rng(seed)
        length = self.model.history_length + longer
        frames = self.frames(generator, num_rows * length)
        frames = frames.reshape(num_rows, length, *frames.shape[1:]).copy()
        age = np.minimum(np.arange(1, num_rows + 1), length)
        valid = np.arange(length) >= length - age[:, None]
        actions = generator.integers(self.model.num_actions, size=(num_rows, length))
        actions[np.arange(length) <= length - age[:, None]] = 0  # nothing led to an episode's first frame
        frames[~valid] = 0
        return History(frames, actions, valid)

    def actions(self, num_rows: int = B, seed: int = 0) -> NDArray[np.int64]:
        return np.random.default_rng(seed).integers(self.model.num_actions, size=num_rows)

    def noise(self, num_rows: int = B, seed: int = 0) -> NDArray[np.float32]:
        drawn = np.random.default_rng(seed).random((num_rows, self.model.noise_dim), np.float32)
        return np.maximum(drawn, np.float32(2.0**-25))


def coin_frames(generator: np.random.Generator, count: int) -> Frames:
    return np.eye(SIDES, dtype=np.float32)[generator.integers(SIDES, size=count)]


def line_frames(generator: np.random.Generator, count: int) -> Frames:
    return np.eye(lines.CELLS, dtype=np.float32)[generator.integers(lines.CELLS, size=count)]


def room_frames(generator: np.random.Generator, count: int) -> Frames:
    return tables.frames_of(generator.integers(tables.ROOMS, size=count))


def codes(members: int, temperature: float = 0.0) -> CodeWorldModel:
    """With weights as they are drawn: everything is possible."""
    config = DynamicsConfig(**{**lines.SMALL, "temperature": temperature})
    dynamics = [CodeDynamics(lines.CELLS, len(lines.MOVES), "signs", config, seed) for seed in range(members)]
    return CodeWorldModel(lines.BitsCodec(), dynamics)


WORLDS: dict[str, Callable[[], World]] = {
    "coin": lambda: World(CoinModel(end=0.2, doubt=0.1), coin_frames),
    "code": lambda: World(codes(1), line_frames),
    "code, three members that draw": lambda: World(codes(3, 1.0), line_frames),
    "pixel": lambda: World(pixels.model(), pixels.random_frames),
    "pixel, deterministic": lambda: World(pixels.model(pixels.STACKED), pixels.random_frames),
    "table": lambda: World(TabularWorldModel(tables.ring(), tables.RoomEncoder(2), stack=2), room_frames),
}


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]()


def assert_close(ours: NDArray[Any], others: NDArray[Any]) -> None:
    assert (ours.shape, ours.dtype) == (others.shape, others.dtype)
    if ours.dtype.kind == "f":
        np.testing.assert_allclose(ours, others, atol=1e-5)
    else:
        np.testing.assert_array_equal(ours, others)


def assert_same_steps(step: Any, other: Any) -> None:
    for name in ("observation", "reward", "terminated", "doubtful"):
        assert_close(getattr(step, name), getattr(other, name))


def row(history: History, index: int) -> History:
    return history[np.array([index])]


def test_shapes_and_types(world: World) -> None:
    model = world.model
    state = model.reset(world.histories())
    first = model.observe(state)
    step = model.step(state, world.actions(), world.noise())
    assert np.array_equal(step.observation, model.observe(step.state))
    for observation in (first, step.observation):
        assert observation.shape == (B, *(model.observation_space.shape or ()))
        assert all(model.observation_space.contains(single) for single in observation)
    assert step.reward.shape == (B,)
    assert step.reward.dtype == np.float32
    assert np.isfinite(step.reward).all()
    for flags in (step.terminated, step.doubtful):
        assert flags.shape == (B,)
        assert flags.dtype == np.bool_


def test_a_batch_equals_single_steps(world: World) -> None:
    model, history = world.model, world.histories()
    batch, singles = model.reset(history), [model.reset(row(history, index)) for index in range(B)]
    for count in range(4):
        actions, noise = world.actions(seed=count), world.noise(seed=count)
        together = model.step(batch, actions, noise)
        for index, single in enumerate(singles):
            chosen = slice(index, index + 1)
            alone = model.step(single, actions[chosen], noise[chosen])
            for name in ("observation", "reward", "terminated", "doubtful"):
                assert_close(getattr(together, name)[chosen], getattr(alone, name))
            singles[index] = alone.state
        batch = together.state


def test_a_step_is_a_function_and_leaves_its_arguments_alone(world: World) -> None:
    model = world.model
    state, actions, noise = model.reset(world.histories()), world.actions(), world.noise()
    before, given, drawn = model.observe(state).copy(), actions.copy(), noise.copy()
    first = model.step(state, actions, noise)
    further = model.step(first.state, actions, noise)
    assert_same_steps(model.step(state, actions, noise), first)
    assert_same_steps(model.step(first.state, actions, noise), further)
    assert np.array_equal(model.observe(state), before)
    assert np.array_equal(actions, given)
    assert np.array_equal(noise, drawn)


def test_observations_belong_to_the_caller(world: World) -> None:
    model = world.model
    state = model.reset(world.histories())
    step = model.step(state, world.actions(), world.noise())
    for seen, shown in ((model.observe(state), state), (step.observation, step.state)):
        before = seen.copy()
        seen[:] = 1 - seen
        assert np.array_equal(model.observe(shown), before)


def test_noise_of_one_episode_is_nothing_to_the_others(world: World) -> None:
    model = world.model
    if model.noise_dim == 0:
        pytest.skip("nothing is left to chance")
    state, actions = model.reset(world.histories()), world.actions()
    first = model.step(state, actions, world.noise())
    changed = world.noise()
    changed[0] = world.noise(seed=1)[0]
    second = model.step(state, actions, changed)
    for name in ("observation", "reward", "terminated", "doubtful"):
        assert_close(getattr(first, name)[1:], getattr(second, name)[1:])


def test_the_ends_of_the_noise(world: World) -> None:
    state = world.model.reset(world.histories())
    for value in (2.0**-25, 1.0 - 2.0**-24):
        noise = np.full((B, world.model.noise_dim), value, np.float32)
        step = world.model.step(state, world.actions(), noise)
        assert all(world.model.observation_space.contains(single) for single in step.observation)
        assert np.isfinite(step.reward).all()


def test_select_replaces_the_rows_of_a_mask(world: World) -> None:
    model = world.model
    state, others = (model.reset(world.histories(seed=seed)) for seed in (0, 1))
    mask = np.arange(B) % 2 == 1
    fresh = model.reset(world.histories(seed=1)[mask])
    kept = model.observe(state).copy()
    mixed = model.select(state, mask, fresh)
    assert np.array_equal(model.observe(state), kept)
    actions, noise = world.actions(), world.noise()
    stepped, first, second = (model.step(part, actions, noise) for part in (mixed, state, others))
    assert_close(model.observe(mixed)[~mask], kept[~mask])
    assert_close(model.observe(mixed)[mask], model.observe(fresh))
    for name in ("observation", "reward", "terminated", "doubtful"):
        assert_close(getattr(stepped, name)[~mask], getattr(first, name)[~mask])
        assert_close(getattr(stepped, name)[mask], getattr(second, name)[mask])


def test_what_a_history_tells(world: World) -> None:
    model = world.model
    long = world.histories(longer=2)
    cut = History(long.frames[:, 2:], long.actions[:, 2:], long.valid[:, 2:])
    assert_close(model.observe(model.reset(cut)), model.observe(model.reset(long)))
    with pytest.raises(UsageError):
        model.reset(History(long.frames[..., 1:], long.actions, long.valid))
    if model.history_length > 1:
        with pytest.raises(UsageError):
            model.reset(History(cut.frames[:, 1:], cut.actions[:, 1:], cut.valid[:, 1:]))


def test_pictures(world: World) -> None:
    state = world.model.reset(world.histories())
    pictures = world.model.render(state)
    if pictures is not None:
        assert pictures.dtype == np.uint8
        assert pictures.shape[0] == B
        assert pictures.shape[3:] == (3,)


class Beginnings:
    """Starts at first frames of a world, whichever the first number chooses."""

    def __init__(self, world: World) -> None:
        self.frames, self.length = world.frames(np.random.default_rng(0), 16), world.model.history_length

    def draw(self, uniform: NDArray[np.float64]) -> History:
        return History.of_first(self.frames[(uniform[:, 0] * len(self.frames)).astype(np.int64)], self.length)


def test_the_checkers_of_gymnasium_and_sb3_are_silent(world: World) -> None:
    env = WorldModelEnv(world.model, Beginnings(world))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)
        check_env_for_sb3(env, warn=False)  # it would warn of images that are too small for its convolutions
