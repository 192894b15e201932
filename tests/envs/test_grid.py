"""The exact MDP of each grid world is what stepping shows, it can be solved, and pictures tell the whole state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rl_discrete.envs.grid import GridFourRooms, GridKeyDoor, GridWind
from rl_discrete.envs.grid_world import GridWorld, TrueMDP
from rl_discrete.runs.errors import UsageError

WORLDS: dict[str, type[GridWorld]] = {"four-rooms": GridFourRooms, "key-door": GridKeyDoor, "wind": GridWind}
every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
UP, RIGHT, DOWN, LEFT = range(4)
DISCOUNT = 0.95
DRAWS = 40  # of each state and action of a world with chance


def optimal_values(mdp: TrueMDP) -> npt.NDArray[np.float64]:
    """Q (S, A) by value iteration."""
    values = np.zeros(len(mdp.states))
    while True:
        q: npt.NDArray[np.float64] = mdp.mean_rewards + DISCOUNT * mdp.transitions @ values
        if np.abs(q.max(axis=1) - values).max() < 1e-12:
            return q
        values = q.max(axis=1)


def frequencies(env: GridWorld, mdp: TrueMDP, draws: int) -> npt.NDArray[np.float64]:
    """Share (S, A, S) of each successor in `draws` steps, checking reward and end of every one."""
    index = {tuple(state): number for number, state in enumerate(mdp.states.tolist())}
    counts = np.zeros_like(mdp.transitions)
    for state, number in index.items():
        for action in range(4) if not mdp.terminals[number] else ():
            for _ in range(draws):
                env.reset(options={"state": state})
                assert tuple(env.diagnostic_state()) == state
                _, reward, terminated, truncated, _ = env.step(action)
                following = index[tuple(env.diagnostic_state())]
                assert reward == mdp.rewards[number, action, following]
                assert terminated == mdp.terminals[following]
                assert not truncated
                counts[number, action, following] += 1
    return counts / draws


def likely(observed: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], draws: int) -> bool:
    """Whether all shares lie within five standard errors, and nothing impossible was seen."""
    errors = np.sqrt(expected * (1 - expected) / draws)
    return bool(np.all(np.abs(observed - expected) <= 5 * errors + 1e-9))


@every_world
def test_the_true_mdp_is_what_stepping_shows(world: type[GridWorld]) -> None:
    env = world()
    env.reset(seed=0)
    mdp = env.true_mdp()
    sums = mdp.transitions.sum(axis=2)
    assert np.allclose(sums[~mdp.terminals], 1.0)
    assert not sums[mdp.terminals].any()
    draws = DRAWS if world is GridWind else 1
    observed = frequencies(env, mdp, draws)
    assert likely(observed, mdp.transitions, draws)
    turned = mdp.transitions[:, [RIGHT, DOWN, LEFT, UP]]
    biased = np.where(np.isclose(mdp.transitions, 1 / 3), 0.2, mdp.transitions)
    assert not likely(observed, turned, draws)  # controls: other MDPs on the same states
    assert likely(observed, biased, draws) == (world is not GridWind)


@every_world
def test_starts_are_drawn_as_the_true_mdp_says(world: type[GridWorld]) -> None:
    env = world()
    mdp = env.true_mdp()
    assert mdp.starts.sum() == pytest.approx(1.0)
    index = {tuple(state): number for number, state in enumerate(mdp.states.tolist())}
    env.reset(seed=1)
    counts = np.zeros(len(mdp.states))
    for _ in range(2000):
        env.reset()
        counts[index[tuple(env.diagnostic_state())]] += 1
    assert likely(counts / 2000, mdp.starts, 2000)
    assert not mdp.starts[mdp.terminals].any()


@every_world
def test_the_optimal_policy_reaches_the_goal_and_a_random_one_hardly_does(world: type[GridWorld]) -> None:
    env = world()
    env.reset(seed=2)
    mdp = env.true_mdp()
    q = optimal_values(mdp)
    plans = {tuple(state): (int(row.argmax()), row.max()) for state, row in zip(mdp.states.tolist(), q, strict=True)}
    generator = np.random.default_rng(3)

    def mean_return(greedy: bool) -> tuple[float, float]:
        returns, expected = [], []
        for _ in range(150):
            env.reset()
            expected.append(plans[tuple(env.diagnostic_state())][1])
            value = 0.0
            for step in range(100):
                best = plans[tuple(env.diagnostic_state())][0]
                _, reward, terminated, _, _ = env.step(best if greedy else int(generator.integers(4)))
                value += DISCOUNT**step * reward
                if terminated:
                    break
            returns.append(value)
        return float(np.mean(returns)), float(np.mean(expected))

    achieved, expected = mean_return(greedy=True)
    assert achieved == pytest.approx(expected, abs=1e-9 if world is not GridWind else 0.03)
    assert expected > 0.4
    by_chance, _ = mean_return(greedy=False)
    assert by_chance < 0.5 * achieved


def test_shortest_ways_are_known() -> None:
    rooms, door = GridFourRooms().true_mdp(), GridKeyDoor().true_mdp()
    values = {tuple(s): v for s, v in zip(rooms.states.tolist(), optimal_values(rooms).max(axis=1), strict=True)}
    assert values[0, 0] == pytest.approx(DISCOUNT**17)  # 18 steps: no detour through the doorways
    assert values[0, 4] == pytest.approx(DISCOUNT**13)
    values = {tuple(s): v for s, v in zip(door.states.tolist(), optimal_values(door).max(axis=1), strict=True)}
    assert values[3, 3, 1] == pytest.approx(DISCOUNT**4)
    assert values[3, 3, 0] == pytest.approx(DISCOUNT ** (4 + 4 + 4))  # to the key and back first
    assert (3, 4, 0) not in values  # nobody stands in the door without the key


@every_world
def test_pictures_tell_states_apart(world: type[GridWorld]) -> None:
    env = world()
    running = [state for state, end in zip(env.true_mdp().states, env.true_mdp().terminals, strict=True) if not end]
    pictures = {env.reset(options={"state": tuple(state)})[0].tobytes() for state in running}
    assert len(pictures) == len(running)


def test_a_picture_is_the_agent_on_its_tile() -> None:
    env = GridFourRooms(render_mode="rgb_array")
    picture, _ = env.reset(options={"state": (9, 8)})
    red = picture[0].astype(int) - picture[1]
    rows, columns = np.nonzero(red > 100)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (36, 39, 32, 35)
    frame = env.render()
    assert frame is not None
    assert frame.shape == (320, 320, 3)
    assert np.array_equal(frame[::8, ::8], picture.transpose(1, 2, 0))
    assert GridFourRooms().render() is None


def test_the_key_opens_the_door() -> None:
    env = GridKeyDoor()
    before, _ = env.reset(options={"state": (3, 3, 0)})
    assert env.step(RIGHT)[0].tobytes() == before.tobytes()  # shut
    for action in (UP, UP, LEFT, LEFT, RIGHT, RIGHT, DOWN, DOWN):
        after = env.step(action)[0]
    assert tuple(env.diagnostic_state()) == (3, 3, 1)
    assert after.tobytes() != before.tobytes()
    env.step(RIGHT)
    assert tuple(env.diagnostic_state()) == (3, 4, 1)


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda env: env.step(4), "action must be between 0 and 3, got 4"),
        (lambda env: env.step(-1), "action must be between 0 and 3, got -1"),
        (lambda env: env.reset(options={"state": (0, 5)}), r"no episode can stand in state \(0, 5\)"),
        (lambda env: env.reset(options={"state": (9, 9)}), "no episode can stand"),
        (lambda env: GridFourRooms(render_mode="human"), "render_mode must be rgb_array"),
    ],
)
def test_misuse(misuse: Any, words: str) -> None:
    env = GridFourRooms()
    env.reset(seed=0)
    with pytest.raises(UsageError, match=words):
        misuse(env)


def test_stepping_after_the_end_is_an_error() -> None:
    env = GridFourRooms()
    env.reset(options={"state": (9, 8)})
    assert env.step(RIGHT)[1:4] == (1.0, True, False)
    with pytest.raises(UsageError, match="call reset"):
        env.step(RIGHT)
