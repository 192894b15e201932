"""The table as a world model: what agents see, where real frames land, and the values of the empirical MDP."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.data.history import History
from rl_discrete.latents.codes import pack, unpack
from rl_discrete.mdp.solve import greedy, solve
from rl_discrete.runs.errors import UsageError
from rl_discrete.world_models.tabular import TabularWorldModel, bit_places, newest_first
from tests.world_models.tables import ROOMS, RoomEncoder, frames_of, keys_of, ring


def model(stack: int = 1) -> TabularWorldModel:
    return TabularWorldModel(ring(), RoomEncoder(stack), stack)


def rooms_seen(bits: NDArray[np.int8]) -> list[int]:
    return [int(key) for key in pack(bits.astype(np.int64), 2)[:, 0]]


def test_real_frames_land_on_their_key_or_the_nearest() -> None:
    world = model()
    state = world.reset(History.of_first(frames_of(np.arange(ROOMS)), 3))
    assert rooms_seen(world.observe(state)) == list(range(ROOMS))
    far = world.reset(History.of_first(frames_of(np.array([16, 16 + 9, 31])), 1))
    found = rooms_seen(world.observe(far))
    assert found[:2] == [0, 9]  # all others differ in more than the highest bit
    assert found[2] in (7, 11)  # two bits away


def test_the_newest_frame_comes_first() -> None:
    frames = np.arange(24).reshape(2, 3, 2, 2, 1).astype(np.uint8)  # (B, T, C, H, W)
    history = History(frames, np.zeros((2, 3), np.int64), np.ones((2, 3), np.bool_))
    seen = newest_first(history, 2)
    assert seen.shape == (2, 4, 2, 1)
    np.testing.assert_array_equal(seen[:, :2], frames[:, 2])
    np.testing.assert_array_equal(seen[:, 2:], frames[:, 1])
    with pytest.raises(UsageError, match="at least 4 frames"):
        newest_first(history, 4)


@pytest.mark.parametrize(("latents", "categories"), [(5, 2), (70, 2), (9, 3), (40, 5), (3, 300)])
def test_bits_are_those_of_the_codes(latents: int, categories: int) -> None:
    codes = np.random.default_rng(0).integers(categories, size=(20, latents))
    keys, places = pack(codes, categories), bit_places(latents, categories)
    words, shifts = np.divmod(places, 64)
    bits = keys[:, words] >> shifts.astype(np.uint64) & np.uint64(1)  # (B, L * bits)
    weights = 2 ** np.arange(bits.shape[1] // latents)
    rebuilt = (bits.reshape(20, latents, -1).astype(np.int64) * weights).sum(axis=2)
    np.testing.assert_array_equal(rebuilt, codes)
    np.testing.assert_array_equal(unpack(keys, latents, categories), codes)


def test_rollouts_have_the_values_of_the_empirical_mdp() -> None:
    """The discounted return of the best policy in 20,000 rollouts against the exact solution; the worst one fails."""
    world, discount = model(), 0.9
    solution = solve(world.transitions, discount)
    returns = {}
    for name, policy in (("best", greedy(solution)), ("left", np.ones(ROOMS, np.int64))):
        rng, gained = np.random.default_rng(5), np.zeros(20_000)
        start = world.reset(History.of_first(frames_of(np.array([6])), 1))
        state, alive = np.repeat(start, 20_000), np.ones(20_000, np.bool_)
        for count in range(80):
            step = world.step(state, policy[state], rng.random((20_000, 1), np.float32))
            gained += discount**count * step.reward * alive
            alive &= ~step.terminated
            state = step.state
        returns[name] = gained
    exact = solution.values[start[0]]
    error = returns["best"].std() / np.sqrt(20_000)
    assert error < 0.01 * exact
    # The table pays the mean reward of a pair at every try; the value is the same.
    assert abs(returns["best"].mean() - exact) < 4 * error + discount**80
    assert abs(returns["left"].mean() - exact) > 20 * error


def test_pictures_and_bad_input() -> None:
    world = model()
    state = world.sampler.states(keys_of(np.array([3, 5])))
    pictures = world.render(state)
    assert pictures is not None
    assert pictures.shape == (2, 4, 4, 3)
    assert (pictures[1] == 5).all()
    with pytest.raises(UsageError, match=r"noise must have the shape \(2, 1\), got \(2, 2\)"):
        world.step(state, np.zeros(2, np.int64), np.full((2, 2), 0.5, np.float32))
    encoder = RoomEncoder()
    encoder.key_words = 2
    with pytest.raises(UsageError, match="give the encoder that the table was made with"):
        TabularWorldModel(ring(), encoder)
    with pytest.raises(UsageError, match="stack must be >= 1, got 0"):
        TabularWorldModel(ring(), RoomEncoder(), stack=0)
