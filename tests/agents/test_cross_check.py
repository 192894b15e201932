"""The cross-check: a known answer by hand, the true model on its floor, and wrong models above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.cross_check import LogProb, cross_check, true_chances
from rl_discrete.analysis.cross_check_chart import cross_check_chart, write_cross_check
from rl_discrete.envs.grid import GridWind
from rl_discrete.envs.grid_world import TrueMDP
from rl_discrete.mdp.tabular import TabularMDP
from rl_discrete.mdp.transitions import Keys, Transitions
from rl_discrete.runs.errors import RunError, UsageError
from tests.mdp.random_transitions import transitions_of

SCALE = np.uint64(2654435761)  # keys are true states, scattered


def wind(steps: int = 60_000) -> tuple[TrueMDP, Transitions]:
    """The stochastic wind, each pair tried about as often as any other, with the true states as codes."""
    mdp, rng = GridWind().true_mdp(), np.random.default_rng(0)
    states, actions = rng.choice(np.flatnonzero(~mdp.terminals), steps), rng.integers(4, size=steps)
    running = mdp.transitions[states, actions].cumsum(axis=1)
    following = np.minimum((running < rng.random((steps, 1))).sum(axis=1), len(mdp.states) - 1)
    ends, table = mdp.terminals[following], TabularMDP(4)
    table.add_many(keys_of(states), actions, ends.astype(float), keys_of(following), ends)
    return mdp, table.transitions()


def keys_of(numbers: NDArray[np.int64]) -> Keys:
    return (numbers.astype(np.uint64) * SCALE)[:, None]


def exact(mdp: TrueMDP, mix: float = 0.0) -> LogProb:
    """The true model, given that the episode goes on; a share `mix` goes to codes that do not exist."""

    def log_prob(keys: Keys, actions: NDArray[np.int64], next_keys: Keys) -> NDArray[np.float64]:
        states, following = ((array[:, 0] // SCALE).astype(np.int64) for array in (keys, next_keys))
        going = np.where(mdp.terminals, 0.0, mdp.transitions)
        chances = going[states, actions, following] / going[states, actions].sum(axis=1)
        found: NDArray[np.float64] = np.log((1.0 - mix) * chances)[:, None]
        return found

    return log_prob


def test_the_statistic_by_hand() -> None:
    """10 visits: 6, 3, 1, and one end that does not count; the model says 0.5, 0.2, 0.1 and keeps 0.2 for others."""
    visits = [(0, 0, 0.0, target) for target, count in ((0, 6), (1, 3), (2, 1)) for _ in range(count)]
    transitions = transitions_of([*visits, (0, 0, 1.0, -1)], np.arange(3, dtype=np.uint64)[:, None], 2)
    chances = np.array([0.5, 0.2, 0.1])
    check = cross_check(
        transitions,
        lambda keys, actions, next_keys: np.log(chances[next_keys.astype(int)]),
        np.random.default_rng(0),
        min_visits=10,
    )
    assert (check.states.tolist(), check.actions.tolist(), check.visits.tolist()) == ([0], [0], [10])
    assert check.distance[0] == pytest.approx(0.5 * (0.1 + 0.1 + 0.0 + 0.2))
    assert 0.05 < check.floor[0] < check.floor_high[0] < 0.5
    assert check.metrics()["tv_pairs"] == 1
    assert np.isnan(check.metrics()["tv_true_floor"])
    nobody = cross_check(transitions, lambda *_: np.zeros((0, 1)), np.random.default_rng(0), min_visits=11)
    assert nobody.metrics()["tv_pairs"] == 0
    assert np.isnan(nobody.metrics()["tv"])


def test_ways_to_a_state_are_averaged_before_they_are_compared_and_compared_one_by_one() -> None:
    visits = [(0, 0, 0.0, target) for target in (0, 1) for _ in range(5)]
    transitions = transitions_of(visits, np.arange(2, dtype=np.uint64)[:, None], 1)
    ways = np.array([[0.8, 0.2], [0.2, 0.8]])  # of each next code
    check = cross_check(
        transitions,
        lambda keys, actions, next_keys: np.log(ways[next_keys[:, 0].astype(int)]),
        np.random.default_rng(0),
        min_visits=10,
    )
    assert check.distance[0] == pytest.approx(0.0)
    assert check.single[0] == pytest.approx(0.3)


def test_pairs_can_be_chosen_by_their_visits_and_drawn_up_to_a_number_of_next_codes() -> None:
    mdp, transitions = wind(20_000)
    every = cross_check(transitions, exact(mdp), np.random.default_rng(0), resamples=1)
    often = every.at_least(60)
    assert 0 < len(often.states) < len(every.states)
    assert often.visits.min() >= 60
    edges = np.diff(transitions.offsets)
    asked: list[int] = []

    def counted(keys: Keys, *others: Any) -> NDArray[np.float64]:
        asked.append(len(keys))
        return np.asarray(exact(mdp)(keys, *others))

    few = cross_check(transitions, counted, np.random.default_rng(0), resamples=1, most_edges=100)
    assert asked == [edges[few.states * 4 + few.actions].sum()]
    assert 95 < asked[0] <= 100
    pairs = set(zip(every.states.tolist(), every.actions.tolist(), strict=True))
    assert set(zip(few.states.tolist(), few.actions.tolist(), strict=True)) < pairs


def test_the_true_model_lies_on_its_floor_and_wrong_ones_above(tmp_path: Path) -> None:
    mdp, transitions = wind()
    states = np.arange(len(mdp.states))
    truth = true_chances(mdp, transitions, keys_of(states), mdp.states)
    right = cross_check(transitions, exact(mdp), np.random.default_rng(1), truth=truth, resamples=100)
    found = right.metrics()
    assert found["tv_pairs"] == found["tv_true_pairs"] > 350
    assert abs(found["tv_true_excess"]) < 0.004  # half of all pairs are certain, their distance is 0
    assert abs(found["tv_excess"]) < 0.004
    assert found["tv_above_floor_share"] < 0.1
    _, few = wind(15_000)  # a quarter of the visits: twice the floor
    check = cross_check(few, exact(mdp), np.random.default_rng(1), min_visits=1, resamples=50)
    assert check.metrics()["tv_floor"] == pytest.approx(2 * found["tv_floor"], rel=0.1)
    wrong = cross_check(transitions, exact(mdp, mix=0.1), np.random.default_rng(1), truth=truth, resamples=100)
    assert wrong.metrics()["tv_true_excess"] > 0.05
    assert wrong.metrics()["tv_above_floor_share"] > 0.5
    path = write_cross_check(right, tmp_path)
    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")
    figure = cross_check_chart(right)
    assert figure is not None
    figure.draw_without_rendering()
    words = "".join(label.get_text() for label in figure.axes[0].get_xticklabels(which="both"))
    assert "100" in words
    assert "$" not in words, "mathematics is not set in our figures"
    nobody = cross_check(transitions, exact(mdp), np.random.default_rng(1), min_visits=10**6)
    assert write_cross_check(nobody, tmp_path) is None
    assert not path.exists()


def test_merged_and_unseen_codes_have_no_truth() -> None:
    mdp, transitions = wind(2000)
    states = np.array([0, 1, 2])
    keys = keys_of(np.array([0, 1, 1]))  # states 1 and 2 look alike, the others were not seen
    truth = true_chances(mdp, transitions, keys, mdp.states[states])
    known = np.isfinite(truth).any(axis=(1, 2))
    assert known.sum() == 1
    np.testing.assert_array_equal(transitions.keys[known], keys_of(np.array([0])))
    whole = true_chances(mdp, transitions, keys, mdp.states[states], ends_are_codes=True)
    np.testing.assert_array_equal(whole[known][0], mdp.transitions[0])


def test_states_that_share_a_code_follow_as_one() -> None:
    mdp, transitions = wind(2000)
    windy = np.flatnonzero((mdp.transitions[:, 0] > 0).sum(axis=1) == 3)[0]
    first, second = np.flatnonzero(mdp.transitions[windy, 0])[:2]
    states = np.array([windy, first, second])
    truth = true_chances(mdp, transitions, keys_of(np.array([windy, first, first])), mdp.states[states])
    [row] = np.flatnonzero((transitions.keys == keys_of(np.array([windy]))).all(axis=1))
    np.testing.assert_allclose(np.sort(truth[row, 0, [first, second]]), [0.0, 2 / 3])


def test_bad_input_is_refused_in_one_line() -> None:
    mdp, transitions = wind(2000)
    rng = np.random.default_rng(0)
    with pytest.raises(RunError, match="add up to"):
        cross_check(transitions, lambda keys, *_: np.zeros((len(keys), 1)), rng, min_visits=3)
    with pytest.raises(RunError, match="log_prob must give"):
        cross_check(transitions, lambda keys, *_: np.full((len(keys), 1), np.nan), rng, min_visits=3)
    with pytest.raises(UsageError, match="must be >= 1, got 0 and 200"):
        cross_check(transitions, exact(mdp), rng, min_visits=0)
    with pytest.raises(UsageError, match="truth must have the shape"):
        cross_check(transitions, exact(mdp), rng, truth=np.zeros((2, 2, 2)))
    with pytest.raises(UsageError, match=r"no state \(99, 0\)"):
        true_chances(mdp, transitions, keys_of(np.array([0])), [[99, 0]])
    with pytest.raises(UsageError, match="equal lengths, got 1 and 2"):
        true_chances(mdp, transitions, keys_of(np.array([0])), [[0, 0], [0, 1]])
