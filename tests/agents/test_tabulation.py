from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_discrete.agents.config import PlannerConfig
from rl_discrete.agents.tabulation import Tabulation
from rl_discrete.data.replay import Replay
from rl_discrete.mdp.tabular import Keys

NUM_ACTIONS, NUM_ENVS = 3, 2


def make_replay(folder: Path, num_rows: int = 4096) -> Replay:
    return Replay(folder, (1,), 1, NUM_ENVS, 4 * num_rows, np.float32, segment_rows=16)


def append(replay: Replay, **columns: Any) -> NDArray[np.int64]:
    """A row for each env, or for those in `envs`; whatever is not given is 0."""
    count = len(columns.get("envs", range(NUM_ENVS)))
    given = {name: np.zeros(count, np.int64) for name in ("actions", "rewards", "terminated", "truncated", "starts")}
    return replay.append(np.zeros((count, 1), np.float32), **{**given, **columns})


def wander(replay: Replay, tabulation: Tabulation, steps: int, generator: np.random.Generator, forget: bool) -> None:
    """Random steps with random ends and random keys out of a few, as the loop does them."""

    def start(envs: NDArray[np.int64]) -> None:
        drop(len(envs))
        rows = append(replay, starts=np.ones(len(envs)), envs=envs)
        tabulation.assign(rows, few_keys(len(rows), generator))

    def drop(count: int) -> None:
        if forget and len(leaving := replay.leaving(count)):
            tabulation.forget(leaving)

    if replay.next_row == 0:
        start(np.arange(NUM_ENVS))
    for _ in range(steps):
        terminated, truncated = generator.random((2, NUM_ENVS)) < 0.1
        drop(NUM_ENVS)
        rows = append(
            replay,
            actions=generator.integers(NUM_ACTIONS, size=NUM_ENVS),
            rewards=generator.normal(size=NUM_ENVS),
            terminated=terminated,
            truncated=truncated & ~terminated,
        )
        tabulation.assign(rows, few_keys(NUM_ENVS, generator))
        tabulation.observe(rows)
        if (terminated | truncated).any():
            start(np.flatnonzero(terminated | truncated))


def few_keys(count: int, generator: np.random.Generator) -> Keys:
    return generator.integers(12, size=(count, 1)).astype(np.uint64)


def picture(tabulation: Tabulation) -> dict[str, NDArray[Any]]:
    """The table's content, in the order of the keys."""
    found = tabulation.planner.table.transitions()
    order = np.argsort(found.keys[:, 0])
    rank = np.argsort(order)
    state, action = np.divmod(found.edge_source, NUM_ACTIONS)
    edges = np.stack([rank[state], action, rank[found.edge_target], found.edge_count], axis=1)
    return {
        "keys": found.keys[order],
        "counts": found.counts[order],
        "rewards": found.reward_sums[order],
        "ends": found.terminations[order],
        "edges": edges[np.lexsort(edges.T[::-1])],
    }


def assert_same_table(one: Tabulation, other: Tabulation) -> None:
    left, right = picture(one), picture(other)
    for name in ("keys", "counts", "ends", "edges"):
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    np.testing.assert_allclose(left["rewards"], right["rewards"], atol=1e-9)


def rebuilt(replay: Replay, tabulation: Tabulation) -> Tabulation:
    """A table built from nothing out of the same replay and the same keys."""
    fresh = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig())
    rows = replay.rows()
    fresh.assign(rows, tabulation.keys(rows))
    fresh.observe(rows)
    return fresh


@pytest.mark.parametrize("forget", [False, True])
def test_relabelling_samples_again_and_again_equals_a_rebuild_from_the_same_keys(tmp_path: Path, forget: bool) -> None:
    generator = np.random.default_rng(0)
    replay = make_replay(tmp_path)
    tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig())
    for _ in range(20):
        wander(replay, tabulation, 30, generator, forget)
        rows = np.unique(generator.choice(replay.rows(), 40))
        tabulation.relabel(rows, few_keys(len(rows), generator))
    assert_same_table(tabulation, rebuilt(replay, tabulation))
    assert tabulation.planner.drift() < 1e-9


def test_rebuild_moves_every_row_and_keeps_values_of_the_same_observations(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    replay = make_replay(tmp_path)
    tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig(cutoff=1e-9))
    wander(replay, tabulation, 300, generator, False)
    tabulation.planner.plan(10**6)
    rows = replay.rows()
    before = tabulation.keys(rows)
    values = tabulation.planner.values(before)
    share = tabulation.rebuild(before + np.uint64(100))
    assert share == 1.0
    np.testing.assert_allclose(tabulation.planner.values(before + np.uint64(100)), values, atol=1e-5)
    assert (tabulation.planner.values(before) == 0.0).all(), "old keys are unknown now"


def test_with_forget_the_table_holds_exactly_what_the_replay_holds(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    tables = {}
    for forget in (True, False):
        replay = make_replay(tmp_path / str(forget), num_rows=64)
        tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig())
        wander(replay, tabulation, 200, generator, forget)
        assert replay.first_row > 0
        tables[forget] = tabulation
        if forget:
            assert_same_table(tabulation, rebuilt(replay, tabulation))
    counts = {forget: int(picture(table)["counts"].sum()) for forget, table in tables.items()}
    assert counts[True] <= 64 < counts[False] == 400


def test_a_cut_episode_ends_in_a_state_and_a_terminated_one_in_none(tmp_path: Path) -> None:
    """The start that comes next follows neither."""
    replay = make_replay(tmp_path)
    tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig())
    tabulation.assign(append(replay, starts=[1, 1]), np.array([[1], [2]], np.uint64))
    rows = append(replay, rewards=[1.0, 1.0], terminated=[1, 0], truncated=[0, 1])
    tabulation.assign(rows, np.array([[3], [4]], np.uint64))
    tabulation.observe(rows)
    starts = append(replay, starts=[1, 1])
    tabulation.assign(starts, np.array([[5], [6]], np.uint64))
    tabulation.observe(starts)
    table = tabulation.planner.table
    known = table.rows(np.array([[1], [2], [3], [4], [5], [6]], np.uint64)) >= 0
    assert known.tolist() == [True, True, False, True, False, False]
    found = table.transitions()
    assert found.num_edges == 1
    assert found.keys[found.edge_target[0], 0] == 4
    assert found.terminations.sum() == 1


def test_relabelling_a_start_leaves_the_end_of_the_episode_before_alone(tmp_path: Path) -> None:
    """Defect of the original: a cut episode's last observation was relabelled from the blank before the next start."""
    replay = make_replay(tmp_path)
    tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig())
    tabulation.assign(append(replay, starts=[1, 1]), np.array([[1], [2]], np.uint64))
    rows = append(replay, truncated=[1, 1])
    tabulation.assign(rows, np.array([[3], [4]], np.uint64))
    tabulation.observe(rows)
    starts = append(replay, starts=[1, 1])
    tabulation.assign(starts, np.array([[5], [6]], np.uint64))
    assert tabulation.relabel(starts, np.array([[7], [8]], np.uint64)) == 2
    assert tabulation.keys(rows).ravel().tolist() == [3, 4]
    assert tabulation.planner.table.transitions().num_edges == 2
    assert (replay.columns(starts).previous == -1).all()


def test_only_untried_actions_fall_back(tmp_path: Path) -> None:
    """Defect of the original: an action that nobody ever tried set the values of all others to 0."""
    replay = make_replay(tmp_path)
    tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig(lookup_fallback=-7.0))
    tabulation.assign(append(replay, starts=[1, 1]), np.array([[0b0], [0b11]], np.uint64))
    rows = append(replay, actions=[0, 1], rewards=[1.0, 2.0], terminated=[1, 1])
    tabulation.assign(rows, np.zeros((2, 1), np.uint64))
    tabulation.observe(rows)
    estimates = tabulation.values(np.array([[0b0], [0b111]], np.uint64))
    np.testing.assert_allclose(estimates.q, [[1.0, 2.0, -7.0], [1.0, 2.0, -7.0]])
    np.testing.assert_array_equal(estimates.radius, [[0, 2, -1], [3, 1, -1]])


def other_keys(count: int, generator: np.random.Generator) -> Keys:
    return generator.integers(2**60, size=(count, 1)).astype(np.uint64)


def fill(replay: Replay, tabulation: Tabulation, steps: int, generator: np.random.Generator) -> None:
    """Steps that lead to a new key each, in an episode of each env that begins where there is none."""
    if replay.next_row == 0:
        tabulation.assign(append(replay, starts=[1, 1]), other_keys(2, generator))
    for _ in range(steps):
        rows = append(replay, actions=generator.integers(NUM_ACTIONS, size=2))
        tabulation.assign(rows, other_keys(2, generator))
        tabulation.observe(rows)
        tabulation.planner.plan(10)


def test_a_table_at_its_memory_cap_is_still_relabelled(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    replay = make_replay(tmp_path)
    tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig(max_bytes=20_000))
    fill(replay, tabulation, 600, generator)
    assert tabulation.planner.table.full
    rows = np.unique(generator.choice(replay.rows(), 100))
    tabulation.relabel(rows, other_keys(len(rows), generator))
    tabulation.planner.plan(1000)
    assert tabulation.planner.drift() < 1e-9
    assert tabulation.planner.table.num_bytes <= 20_000


def test_the_memory_cap_is_told_once_however_often_the_table_is_rebuilt(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    replay = make_replay(tmp_path)
    lines: list[str] = []

    def made(max_bytes: int, state: Any = None) -> Tabulation:
        tabulation = Tabulation(replay, NUM_ACTIONS, 1, PlannerConfig(max_bytes=max_bytes), lines.append)
        if state is not None:
            tabulation.load_state(state)
        return tabulation

    def rebuild_often(tabulation: Tabulation, full: bool = True) -> None:
        for _ in range(3):
            fill(replay, tabulation, 10, generator)
            tabulation.rebuild(other_keys(len(replay.rows()), generator))
            assert tabulation.planner.table.full == full

    tabulation = made(20_000)
    fill(replay, tabulation, 600, generator)
    rebuild_often(tabulation)
    assert len(lines) == 1
    rebuild_often(made(20_000, tabulation.state()))
    assert len(lines) == 1, "nor after a resume"
    roomy = made(10**8, tabulation.state())
    states = roomy.planner.table.num_states
    fill(replay, roomy, 10, generator)
    assert roomy.planner.table.num_states > states, "the new cap holds at once, before any rebuild"
    rebuild_often(roomy, full=False)
    assert len(lines) == 1
    again = made(21_000, roomy.state())
    rebuild_often(again)
    assert len(lines) == 2, "another cap, another line"
    assert "21000 bytes" in lines[1]
