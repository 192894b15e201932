"""Aliasing: codes that merge states are found, and a random world is not held against its codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.analysis.aliasing import Aliasing, aliasing
from rl_discrete.runs.errors import UsageError

STATES, ACTIONS, VISITS = 40, 2, 3_000
MERGED = np.arange(STATES) // 2  # a code for two states each


@dataclass(frozen=True)
class World:
    """A random walk over states: what each transition began in, and what followed."""

    states: NDArray[np.int64]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    ends: NDArray[np.bool_]
    following: NDArray[np.int64]


def noisy(seed: int = 0) -> World:
    """Rewards, ends and next states are drawn without regard to the state."""
    draw = np.random.default_rng(seed)
    states, actions = draw.integers(0, STATES, VISITS), draw.integers(0, ACTIONS, VISITS)
    rewards = draw.integers(0, 3, VISITS).astype(float)
    return World(states, actions, rewards, draw.random(VISITS) < 0.2, draw.integers(0, 6, VISITS))


def judge(world: World, code: NDArray[Any], next_code: NDArray[Any] | None = None, **options: Any) -> Aliasing:
    """With the code of each state; next states are their own codes unless told."""
    following = world.following if next_code is None else next_code[world.following]
    outcome = (world.rewards, world.ends, following[:, None])
    codes = code[world.states][:, None].astype(np.uint64)
    return aliasing(codes, world.actions, *outcome, world.states, np.random.default_rng(1), **options)


def disagreeing(world: World, code: NDArray[Any]) -> float:
    """The plain figure: the share of codes whose members do not all have the same outcome for an action."""
    found = set()
    outcomes: dict[tuple[int, int], tuple[Any, ...]] = {}
    for row, state in enumerate(world.states):
        outcome = (world.rewards[row], world.ends[row], world.following[row])
        if outcomes.setdefault((code[state], world.actions[row]), outcome) != outcome:
            found.add(code[state])
    return len(found) / len(set(code[world.states].tolist()))


def test_a_random_world_is_no_fault_of_codes() -> None:
    world = noisy()
    own = judge(world, np.arange(STATES))
    assert (own.rate, own.chance, own.num_codes, own.covered) == (0.0, 0.0, STATES, 1.0)
    merged = judge(world, MERGED)  # merges states that do not differ
    assert merged.rate <= 0.1
    assert 0.01 < merged.chance < 0.06  # the level of the test
    assert disagreeing(world, MERGED) == disagreeing(world, np.arange(STATES)) == 1.0  # and the plain figure is blind


@pytest.mark.parametrize("part", ["reward", "end", "next_code"])
def test_states_that_differ_in_one_outcome_alone(part: str) -> None:
    """In codes 0 to 9 of 20 one of two states has another reward, end or next code, in nine visits of ten."""
    world = noisy()
    special = (world.states % 2 == 1) & (world.states < STATES // 2)
    special &= np.random.default_rng(5).random(VISITS) < 0.9
    if part == "reward":
        world = replace(world, rewards=np.where(special, 7.0, world.rewards))
    elif part == "end":
        world = replace(world, ends=world.ends | special)
    else:
        world = replace(world, following=np.where(special, 9, world.following))
    found = judge(world, MERGED)
    assert found.rate == pytest.approx(0.5, abs=0.051)
    assert found.chance < 0.06
    rates = {"reward": found.by_reward, "end": found.by_end, "next_code": found.by_next_code}
    assert rates.pop(part) == pytest.approx(0.5, abs=0.051)
    if part != "next_code":
        assert rates.pop("reward" if part == "end" else "end") < 0.16
    if part == "end":
        assert rates["next_code"] >= 0.45  # an end is a next code of its own
    assert judge(world, np.arange(STATES)).rate == 0.0  # one code for each state


def test_next_codes_that_merge_hide_the_difference() -> None:
    world = noisy()
    world = replace(world, following=world.states, ends=np.zeros(VISITS, bool))
    assert judge(world, MERGED).by_next_code == 1.0
    assert judge(world, MERGED, next_code=MERGED).by_next_code == 0.0


def test_states_seen_once_tell_nothing() -> None:
    world = noisy()
    rewards = (world.states % 2).astype(float)
    assert judge(replace(world, rewards=rewards), MERGED).by_reward == 1.0
    codes, outcome = MERGED[world.states], (rewards, world.ends, world.following)
    once = aliasing(codes, world.actions, *outcome, np.arange(VISITS), np.random.default_rng(0))
    assert once.rate == 0.0


def test_few_visits_are_not_judged() -> None:
    world = noisy()
    rare = np.where(np.arange(STATES) < 20, 0, np.arange(STATES))
    first = World(*(values[:60] for values in vars(world).values()))
    found = judge(first, rare, min_visits=20)
    assert found.num_codes == 1
    assert found.covered == pytest.approx((first.states < 20).mean())
    nothing = judge(first, rare, min_visits=61)
    assert nothing.num_codes == 0
    assert np.isnan([nothing.rate, nothing.chance, nothing.by_reward]).all()


def test_the_same_generator_gives_the_same_figures() -> None:
    assert judge(noisy(), MERGED) == judge(noisy(), MERGED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": [0.0]}, "one value for each transition is needed, got lengths .*'rewards': 1"),
        ({"keys": [0.5, 0.5]}, "keys must be integers"),
        ({"actions": [0.0, 1.0]}, "actions must be integers"),
        ({"states": np.zeros((2, 1, 1), int)}, "states must be integers"),
        ({"level": 1.5}, r"level must lie in \(0, 1\) .* got 1.5"),
        ({"permutations": 20}, "permutations be >= 3 / level - 1, got 0.05 and 20"),
    ],
)
def test_arguments_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"keys": [0, 0], "actions": [0, 0], "rewards": [0.0, 1.0], "terminated": [False, False]}
    good |= {"next_keys": [0, 1], "states": [0, 1], "generator": np.random.default_rng(0)}
    assert aliasing(**good).num_codes == 0
    with pytest.raises(UsageError, match=message):
        aliasing(**good | changes)
