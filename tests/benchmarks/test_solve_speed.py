"""Seconds of a new plan for a large table, and of one look-up among a million keys. One thread.

Run: `pytest -m benchmark tests/benchmarks/test_solve_speed.py`. With RL_DISCRETE_RESULTS=DIR every figure is also
written to DIR/solve_speed.json. Seconds are given as wall time and, for machines that have other work, as time of the
processor; the limits hold for the latter, or for an idle machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rl_discrete.mdp.lookup import HammingLookup, nearest
from rl_discrete.mdp.policy_iteration import equations, improve
from rl_discrete.mdp.rewards import RewardExpression
from rl_discrete.mdp.solve import replan
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import TabularMDP
from rl_discrete.mdp.transitions import Transitions
from tests.benchmarks.figures import keep

pytestmark = pytest.mark.benchmark

ROUNDS = 7
DISCOUNT = 0.99


@pytest.fixture(scope="module")
def graph() -> Transitions:
    """The graph of the sweeping reference: 6 actions, 2 successors within 1,000 rows, 1 % of the rewards set."""
    states, actions = 100_000, 6
    rng = np.random.default_rng(1)
    targets = (np.arange(states)[:, None, None] + rng.integers(-1000, 1001, (states, actions, 2))) % states
    sources = np.repeat(np.arange(states * actions), 2)
    edges, counts = np.unique(sources * states + targets.reshape(-1), return_counts=True)
    sums = np.zeros(states * actions)
    np.add.at(sums, rng.integers(states * actions, size=states // 100), 2.0)
    return Transitions(
        keys=rng.permutation(states).astype(np.uint64)[:, None],
        rows=np.arange(states, dtype=np.int32),
        counts=np.full((states, actions), 2),
        reward_sums=sums.reshape(states, actions),
        edge_source=edges // states,
        edge_target=edges % states,
        edge_count=counts.astype(np.int64),
    )


def test_replan_of_a_hundred_thousand_states(graph: Transitions) -> None:
    """To 1e-6 from zero values; with the rewards as an array, and as an expression that is evaluated first."""
    expression = RewardExpression("reward + 0.01 * next_bit(3)")
    figures = {
        "array": _time(lambda: replan(graph, graph.mean_rewards, DISCOUNT, tolerance=1e-6)),
        "expression": _time(lambda: replan(graph, expression.rewards(graph), DISCOUNT, tolerance=1e-6)),
        "discount 0.999": _time(lambda: replan(graph, graph.mean_rewards, 0.999, tolerance=1e-6)),
    }
    keep("solve_speed.json", "replan of 100,000 states, seconds", figures)
    assert figures["array"]["processor"]["median"] <= 1.0
    solution = replan(graph, graph.mean_rewards, DISCOUNT, tolerance=1e-6)
    problem = equations(graph, graph.mean_rewards, DISCOUNT)
    values, policy = np.empty(graph.num_states), np.empty(graph.num_states, np.int64)
    change = improve(problem, solution.values, values, policy)
    assert change * DISCOUNT / (1 - DISCOUNT) <= 1e-6  # the error that one more sweep proves
    assert np.ptp(solution.values) > 1


def test_a_live_table_and_its_picture(graph: Transitions) -> None:
    """The same with the picture of a live table taken first, as `rl-discrete replan` does."""
    table = TabularMDP.from_transitions(graph)

    def from_the_table() -> None:
        picture = table.transitions()
        replan(picture, picture.mean_rewards, DISCOUNT, tolerance=1e-6)

    figures = {"picture": _time(table.transitions), "picture and replan": _time(from_the_table)}
    keep("solve_speed.json", "replan of a live table of 100,000 states, seconds", figures)
    assert figures["picture and replan"]["processor"]["median"] <= 1.0


def test_one_lookup_in_a_million_keys() -> None:
    """Random 64-bit keys with 6 actions, 70 % of them tried: all six come from neighbours."""
    rows, actions = 1_000_000, 6
    rng = np.random.default_rng(0)
    keys = rng.integers(2**64, size=(rows, 1), dtype=np.uint64)
    wide = rng.integers(2**64, size=(rows, 2), dtype=np.uint64)
    counts = (rng.random((rows, actions)) < 0.7).astype(np.int32) * 3
    q = rng.normal(size=(rows, actions))
    queries = rng.integers(2**64, size=(16, 2), dtype=np.uint64)
    figures = {
        "1 query": _time(lambda: nearest(keys, q, counts, queries[:1, :1])),
        "1 query, radius 16": _time(lambda: nearest(keys, q, counts, queries[:1, :1], 16)),
        "1 query, 2 words": _time(lambda: nearest(wide, q, counts, queries[:1])),
        "16 queries": _time(lambda: nearest(keys, q, counts, np.ascontiguousarray(queries[:, :1]))),
    }
    keep("solve_speed.json", "lookup in 1,000,000 keys, seconds", figures)
    assert figures["1 query"]["processor"]["median"] <= 0.003


def test_one_lookup_in_a_planner() -> None:
    """A tenth of that, in the arrays of a planner as they are."""
    size = 100_000
    rng = np.random.default_rng(0)
    keys = rng.integers(2**64, size=(size, 1), dtype=np.uint64)
    planner = PrioritizedSweeping(TabularMDP(num_actions=6), DISCOUNT)
    actions, rewards, ends = rng.integers(6, size=size), rng.normal(size=size), np.zeros(size, np.bool_)
    planner.observe(keys, actions, rewards, np.roll(keys, 1, axis=0), ends)
    lookup = HammingLookup(planner)
    figures = {
        "unknown key": _time(lambda: lookup.q_values(keys[:1] ^ np.uint64(1))),
        "16 unknown keys": _time(lambda: lookup.q_values(keys[:16] ^ np.uint64(1))),
    }
    keep("solve_speed.json", "lookup in a planner of 100,000 states, seconds", figures)
    assert figures["unknown key"]["processor"]["median"] <= 0.001


def _time(call: Callable[[], Any]) -> dict[str, dict[str, float]]:
    """Wall and processor seconds of a call, the first one left out: it compiles."""
    call()
    wall, processor = [], []
    for _ in range(ROUNDS):
        begin, busy = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - begin)
        processor.append(time.process_time() - busy)
    return {"wall": _spread(wall), "processor": _spread(processor)}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values)}
