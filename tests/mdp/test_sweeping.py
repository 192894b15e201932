"""Prioritized sweeping by hand, against value iteration, and against itself after a restart.

With RL_DISCRETE_RESULTS=DIR the slow tests also write what they found to DIR/planner_exactness.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_discrete.mdp.heap import Heap, drop, make_heap, pop, put
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.tabular import TabularMDP, TransitionArrays
from rl_discrete.runs.errors import RunError, UsageError
from tests.mdp.mdps import Slow, chosen, contents, joined, random_batch, random_keys, value_iteration

FOREVER = 10**9


def planner_on(
    batch: TransitionArrays, discount: float, cutoff: float = 0.0, actions: int = 3, optimistic: float | None = None
) -> PrioritizedSweeping:
    planner = PrioritizedSweeping(TabularMDP(actions, batch.keys.shape[1]), discount, cutoff, optimistic)
    planner.observe(*batch)
    return planner


def corridor(length: int) -> TransitionArrays:
    """States 0 to length - 1, one action, one step to the right; the last step ends the episode with reward 1."""
    states = np.arange(length, dtype=np.uint64)[:, None]
    last = np.arange(length) == length - 1
    return TransitionArrays(states, np.zeros(length, int), last.astype(float), states + np.uint64(1), last)


def test_a_corridor_by_hand() -> None:
    planner = planner_on(corridor(5), discount=0.5)
    keys = np.arange(6, dtype=np.uint64)[:, None]
    assert planner.queue_length == 1
    assert planner.plan(1) == 1
    np.testing.assert_array_equal(planner.values(keys), [0, 0, 0, 0.5, 1, 0])
    assert planner.plan(FOREVER) == 4  # one sweep for each state, one backup for each edge
    assert (planner.sweeps, planner.backups, planner.queue_length) == (5, 4, 0)
    np.testing.assert_array_equal(planner.values(keys), [0.0625, 0.125, 0.25, 0.5, 1, 0])
    np.testing.assert_array_equal(planner.q_values(keys)[:5, 0], [0.0625, 0.125, 0.25, 0.5, 1])
    assert np.isnan(planner.q_values(keys)[:, 1:]).all()
    assert np.isnan(planner.q_values(keys)[5]).all()


def test_the_largest_difference_goes_first() -> None:
    batch = TransitionArrays(
        np.array([[1], [2], [3]], np.uint64),
        np.zeros(3, int),
        np.array([1.0, -5.0, 2.0]),
        np.zeros((3, 1), np.uint64),
        np.ones(3, bool),
    )
    planner = planner_on(batch, 0.9)
    residuals = []
    while planner.plan(1):
        residuals.append(planner.residual())
    assert residuals == [2.0, 1.0, 0.0]


def test_optimism_for_what_was_never_tried() -> None:
    keys = np.array([[1], [2]], np.uint64)
    one = TransitionArrays(keys[:1], np.array([0]), np.array([1.0]), keys[1:], np.array([False]))
    ignored, hopeful = planner_on(one, 0.5), planner_on(one, 0.5, optimistic=10.0)
    for planner in (ignored, hopeful):
        planner.plan(FOREVER)
        assert planner.drift() == 0
    np.testing.assert_array_equal(ignored.values(keys), [1, 0])
    np.testing.assert_array_equal(hopeful.values(keys), [10, 10])  # 2 is unknown ground, and so is half of 1
    np.testing.assert_array_equal(hopeful.q_values(keys), [[6, np.nan, np.nan], [np.nan] * 3])
    hopeful.forget(*one)
    hopeful.observe(*one)
    hopeful.plan(FOREVER)
    np.testing.assert_array_equal(hopeful.values(keys), [10, 10])


def scale_of(table: TabularMDP, discount: float) -> float:
    """The largest value that rewards of this size could add up to."""
    means = table.transitions().mean_rewards
    return max(float(np.nanmax(np.abs(means), initial=0.0)) / (1 - discount), 1e-3)


def assert_exact(seed: int) -> tuple[float, float]:
    """One random MDP, changed at random, against value iteration: within 1e-6 of the value scale.

    Returns the largest error as a share of that scale, and the drift.
    """
    generator = np.random.default_rng(seed)
    states, actions = int(generator.integers(1, 201)), int(generator.integers(1, 6))
    discount = float(generator.choice([0.0, 0.5, 0.9, 0.99, 0.999]))
    keys = random_keys(generator, states, words=int(generator.integers(1, 3)))
    # Few transitions leave most states out of each other's reach; hubs give one state a block of its own kind.
    held = random_batch(
        generator, keys, actions, int(generator.integers(1, 8 * states)), ends=generator.choice([0, 0.2])
    )
    if seed % 4 == 0:
        held = held._replace(next_keys=np.where(generator.random((len(held.keys), 1)) < 0.5, keys[:1], held.next_keys))
    scale = max(8 / (1 - discount), 1.0)
    planner = planner_on(held, discount, cutoff=1e-8 * scale * (1 - discount), actions=actions)
    planner.plan(50)
    for _ in range(3):
        order = generator.permutation(len(held.actions))
        gone, kept = chosen(held, order[: len(order) // 3]), chosen(held, order[len(order) // 3 :])
        new = random_batch(generator, keys, actions, int(generator.integers(0, 2 * states)))
        kind = generator.integers(3)
        if kind == 0:
            planner.observe(*new)
            held = joined(held, new)
        elif kind == 1:
            planner.forget(*gone)
            held = kept
        else:
            planner.relabel(gone, new)
            held = joined(kept, new)
        planner.plan(int(generator.integers(100)))
    planner.plan(FOREVER)
    assert planner.queue_length == 0
    assert contents(planner.table).counts == Slow.of(held).counts
    error = np.abs(planner.all_values() - value_iteration(planner.table, discount, 1e-8 * scale)).max(initial=0.0)
    share, drift = float(error) / scale_of(planner.table, discount), planner.drift()
    assert share <= 1e-6, (seed, error)
    assert drift <= 1e-9
    return share, drift


def keep(name: str, figures: Mapping[str, float]) -> None:
    """Print the figures, and put them into planner_exactness.json where a folder is named."""
    print(f"\n{name}: {json.dumps(figures)}")
    folder = os.environ.get("RL_DISCRETE_RESULTS")
    if folder:
        path = Path(folder, "planner_exactness.json")
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**kept, name: figures}, indent=1) + "\n", encoding="utf-8")


@pytest.mark.parametrize("seed", range(24))
def test_random_problems_are_solved_exactly(seed: int) -> None:
    assert_exact(seed)


@pytest.mark.slow
def test_a_thousand_random_problems_are_solved_exactly() -> None:
    shares, drifts = zip(*(assert_exact(seed) for seed in range(1000)), strict=True)
    keep(
        "random problems, changed at random, against value iteration",
        {"problems": len(shares), "largest error, share of the value scale": max(shares), "drift": max(drifts)},
    )


def test_a_stale_value_would_be_found() -> None:
    """The control: the comparison above sees a planner that stops too early."""
    planner = planner_on(corridor(100), discount=0.99)
    planner.plan(50)
    exact = value_iteration(planner.table, 0.99, 1e-10)
    assert np.abs(planner.all_values() - exact).max() > 1e-3


def drift_after(operations: int) -> tuple[float, PrioritizedSweeping]:
    """Adds, removals, relabels and sweeps of 300 states, `operations` transitions in all: how far Q has drifted."""
    generator = np.random.default_rng(11)
    keys = random_keys(generator, 300)
    planner = planner_on(random_batch(generator, keys, 3, 2000), 0.99, cutoff=1e-6)
    held = random_batch(generator, keys, 3, 0)
    done = 0
    while done < operations:
        new = random_batch(generator, keys, 3, 500)
        new = new._replace(rewards=generator.normal(size=500))
        gone = np.arange(len(held.actions)) < 400
        if generator.random() < 0.5:
            planner.relabel(chosen(held, gone), new)
        else:
            planner.forget(*chosen(held, gone))
            planner.observe(*new)
        held = joined(chosen(held, ~gone), new)
        done += 500 + int(gone.sum())
        planner.plan(200)
        if len(held.actions) > 5000:
            planner.forget(*held)
            done += len(held.actions)
            held = random_batch(generator, keys, 3, 0)
    return planner.drift(), planner


def test_rounding_errors_do_not_add_up() -> None:
    drift, planner = drift_after(100_000)
    assert 0 < drift <= 1e-9
    assert planner.backups > 10_000


@pytest.mark.slow
def test_rounding_errors_do_not_add_up_in_a_million_operations() -> None:
    drift, planner = drift_after(1_000_000)
    keep("after a million operations", {"drift": drift, "backups": planner.backups})
    assert drift <= 1e-9


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), states=st.integers(1, 30), steps=st.lists(st.integers(0, 4), max_size=12))
def test_the_invariant_and_the_queue_after_every_operation(seed: int, states: int, steps: list[int]) -> None:
    generator = np.random.default_rng(seed)
    keys = random_keys(generator, states)
    held = random_batch(generator, keys, 3, 40)
    cutoff = 0.05
    planner = planner_on(held, 0.9, cutoff)
    for step in steps:
        match step:
            case 0:
                new = random_batch(generator, keys, 3, 15)
                planner.observe(*new)
                held = joined(held, new)
            case 1:
                planner.forget(*chosen(held, np.arange(len(held.actions)) < 20))
                held = chosen(held, np.arange(len(held.actions)) >= 20)
            case 2:
                planner.relabel(held, held)
            case 3:
                planner.set_values(keys, generator.normal(size=states))
            case _:
                planner.plan(3)
        assert planner.drift() <= 1e-12
        rows, q = planner.all_q_values()
        best = np.where(np.isnan(q), -np.inf, q).max(axis=1, initial=-np.inf)
        values = planner.all_values()[rows]
        np.testing.assert_array_equal(values, np.where(np.isfinite(best), best, 0.0))
        heap = planner.state()
        seen = planner._values.u[rows]
        assert set(heap["queue_rows"]) == set(rows[np.abs(values - seen) > cutoff])
        waiting = dict(zip(rows, np.abs(values - seen), strict=True))
        assert [waiting[row] for row in heap["queue_rows"]] == heap["queue_priorities"].tolist()


def test_budgets() -> None:
    batch = random_batch(np.random.default_rng(0), random_keys(np.random.default_rng(1), 100), 3, 2000)
    whole, parts = planner_on(batch, 0.99, 1e-3), planner_on(batch, 0.99, 1e-3)
    assert whole.plan(500) == 500
    assert sum(parts.plan(50) for _ in range(10)) == 500
    np.testing.assert_array_equal(whole.all_values(), parts.all_values())
    assert whole.backups == parts.backups
    before = whole.backups
    sweeps = whole.plan(FOREVER, max_backups=100)
    assert 0 < sweeps < 100
    assert 100 <= whole.backups - before < 100 + 300
    assert whole.plan(0) == 0


def test_a_restored_planner_goes_on_bit_for_bit() -> None:
    generator = np.random.default_rng(2)
    keys = random_keys(generator, 400)
    batch, more = random_batch(generator, keys, 3, 5000), random_batch(generator, keys, 3, 3000)
    one = planner_on(batch, 0.99, 1e-6, optimistic=0.25)
    one.plan(700)
    table, state = one.table.state(), one.state()
    other = PrioritizedSweeping.from_state(TabularMDP.from_state(table), state)
    for planner in (one, other):
        planner.relabel(chosen(batch, np.arange(2500)), more)
        planner.plan(1000)
    for (name, array), again in zip(one.state().items(), other.state().values(), strict=True):
        np.testing.assert_array_equal(array, again, err_msg=name)
    assert one.queue_length > 0
    with pytest.raises(RunError, match="does not fit the saved table"):
        PrioritizedSweeping.from_state(TabularMDP(3), state)
    with pytest.raises(RunError, match="lacks"):
        PrioritizedSweeping.from_state(other.table, {name: state[name] for name in state if name != "u"})


def test_warm_start() -> None:
    """Values of an earlier planner, set in a new one: nothing is left to sweep; unknown keys are passed over."""
    generator = np.random.default_rng(4)
    keys = random_keys(generator, 200)
    batch = random_batch(generator, keys, 3, 3000)
    old = planner_on(batch, 0.99, 1e-9)
    old.plan(FOREVER)
    new = PrioritizedSweeping(TabularMDP.from_transitions(old.table.transitions()), 0.99, 1e-6)
    cold = new.queue_length
    new.set_values(old.table.keys(old.table.live_rows()), old.all_values()[old.table.live_rows()])
    assert cold > 100
    assert new.plan(FOREVER) <= 2
    np.testing.assert_allclose(new.values(keys), old.values(keys), atol=1e-4)
    new.set_values(np.array([[2**63]], np.uint64), [3.0])
    with pytest.raises(UsageError, match="new_values must be finite, one for each of 1 keys"):
        new.set_values(keys[:1], [np.nan])


def test_an_empty_table_knows_nothing() -> None:
    planner = PrioritizedSweeping(TabularMDP(3), 0.9)
    keys = np.ones((2, 1), np.uint64)
    assert np.isnan(planner.q_values(keys)).all()
    assert planner.q_values(keys).shape == (2, 3)
    assert planner.q_values(keys[:0]).shape == (0, 3)
    np.testing.assert_array_equal(planner.values(keys), [0, 0])
    assert planner.plan(FOREVER) == 0


def test_a_planner_takes_over_a_filled_table() -> None:
    batch = random_batch(np.random.default_rng(5), random_keys(np.random.default_rng(6), 100), 3, 1500)
    table = TabularMDP(3)
    table.add_many(*batch)
    late, early = PrioritizedSweeping(table, 0.9, 1e-9), planner_on(batch, 0.9, 1e-9)
    for planner in (late, early):
        planner.plan(FOREVER)
    np.testing.assert_allclose(late.all_values(), early.all_values(), atol=1e-7)


def test_nobody_else_writes() -> None:
    planner = planner_on(corridor(4), 0.9)
    planner.table.add(1, 0, 0.0, 2, False)
    with pytest.raises(UsageError, match="the table was changed without its planner"):
        planner.plan(1)
    PrioritizedSweeping(planner.table, 0.9).plan(1)


def test_refused_removals_leave_the_values_alone() -> None:
    planner = planner_on(corridor(50), 0.9)
    planner.plan(10)
    before = planner.state()
    with pytest.raises(UsageError, match="transition 50 cannot be removed"):
        planner.forget(*joined(corridor(50), corridor(1)))
    for name, array in planner.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_views_follow_the_planner() -> None:
    planner = planner_on(corridor(3), 0.5)
    keys, q, counts = planner.view()
    assert keys.tolist() == [[0], [1], [2]]
    assert counts.tolist() == [[1, 0, 0]] * 3
    assert counts.dtype == np.int32
    planner.plan(FOREVER)
    np.testing.assert_array_equal(q[:, 0], [0.25, 0.5, 1])
    planner.forget(*chosen(corridor(3), np.array([0])))
    assert planner.view()[2].tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]


def test_planning_at_the_memory_cap() -> None:
    """The cap counts the planner; beyond it planning goes on."""
    lines: list[str] = []
    table = TabularMDP(3, max_bytes=100_000, warn=lines.append)
    planner = PrioritizedSweeping(table, 0.9, 1e-6)
    generator = np.random.default_rng(7)
    flood = random_batch(generator, random_keys(generator, 20_000), 3, 20_000)
    assert 0 < planner.observe(*flood) < 20_000
    assert 80_000 < table.num_bytes + planner.num_bytes <= 100_000 + 8192  # some scratch is not counted
    assert len(lines) == 1
    planner.plan(FOREVER)
    exact = value_iteration(table, 0.9, 1e-8)
    np.testing.assert_allclose(planner.all_values(), exact, atol=1e-4)
    assert planner.drift() <= 1e-12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"discount": 1.0}, r"discount must be in \[0, 1\), got 1.0"),
        ({"discount": -0.1}, r"discount must be in \[0, 1\)"),
        ({"discount": 0.9, "cutoff": -1.0}, "cutoff must be >= 0"),
        ({"discount": 0.9, "cutoff": float("nan")}, "cutoff must be >= 0"),
        ({"discount": 0.9, "optimistic_value": float("inf")}, "optimistic_value must be finite"),
    ],
)
def test_bad_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PrioritizedSweeping(TabularMDP(2), **settings)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(-1, 6)), max_size=200))
def test_the_heap_against_a_dictionary(operations: list[tuple[int, int]]) -> None:
    """Priority -1 stands for removal. Every entry stands where `places` says, and no child exceeds its parent."""
    heap, expected = make_heap(20), dict[int, float]()
    for row, priority in operations:
        if priority < 0:
            drop(heap, row)
            expected.pop(row, None)
        else:
            put(heap, row, float(priority))
            expected[row] = float(priority)
        assert_heap(heap, expected)
    while expected:
        largest = max(expected.values())
        assert expected.pop(int(pop(heap))) == largest
        assert_heap(heap, expected)


def assert_heap(heap: Heap, expected: dict[int, float]) -> None:
    length = int(heap.length[0])
    assert dict(zip(heap.rows[:length].tolist(), heap.priorities[:length].tolist(), strict=True)) == expected
    assert {row: int(heap.places[row]) for row in expected} == {row: int(p) for p, row in enumerate(heap.rows[:length])}
    assert int((heap.places >= 0).sum()) == length
    for place in range(1, length):
        assert heap.priorities[(place - 1) // 4] >= heap.priorities[place]


def test_the_package_needs_no_torch() -> None:
    code = "import sys, rl_discrete.mdp.sweeping; sys.exit(any(m in sys.modules for m in ('torch', 'gymnasium')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
