from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_discrete.mdp.tabular import TabularMDP, TransitionArrays
from rl_discrete.runs.errors import RunError, UsageError
from tests.mdp.mdps import Slow, chosen, contents, joined, random_batch, random_keys


def filled(seed: int, states: int = 30, num: int = 400, words: int = 1) -> tuple[TabularMDP, TransitionArrays]:
    generator = np.random.default_rng(seed)
    batch = random_batch(generator, random_keys(generator, states, words), 3, num)
    table = TabularMDP(3, words)
    assert table.add_many(*batch) == num
    return table, batch


def assert_same(table: TabularMDP, expected: Slow) -> None:
    found = contents(table)
    assert found.counts == +expected.counts
    assert found.rewards.keys() == {key[:2] for key in +expected.counts}
    for pair, total in found.rewards.items():
        assert total == pytest.approx(expected.rewards[pair], abs=1e-12)


def assert_identical(one: TabularMDP, other: TabularMDP) -> None:
    state, others = one.state(), other.state()
    assert state.keys() == others.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


def test_a_few_transitions_by_hand() -> None:
    table = TabularMDP(num_actions=2)
    for _ in range(3):
        table.add(7, 0, 1.0, 9, False)
    table.add(7, 0, 3.0, 7, False)
    table.add(9, 1, -1.0, 12345, True)
    assert (table.num_states, table.num_rows, table.num_edges) == (2, 2, 2)
    keys = np.array([[7], [9], [12345]], np.uint64)
    rows = table.rows(keys)
    assert rows.dtype == np.int32
    assert rows.tolist() == [0, 1, -1]
    np.testing.assert_array_equal(table.keys(rows[:2]), keys[:2])
    assert table.counts(rows[:2]).tolist() == [[4, 0], [0, 1]]
    np.testing.assert_array_equal(table.mean_rewards(rows[:2]), [[1.5, np.nan], [np.nan, -1.0]])
    picture = table.transitions()
    assert picture.edge_source.tolist() == [0, 0]
    assert picture.edge_target.tolist() == [0, 1]
    assert picture.edge_count.tolist() == [1, 3]
    assert picture.terminations.tolist() == [[0, 0], [0, 1]]


def test_orphan_rows_are_used_again() -> None:
    table = TabularMDP(2)
    table.add(1, 0, 1.0, 2, False)
    table.add(2, 0, 1.0, 3, False)
    table.remove(1, 0, 1.0, 2, False)
    assert (table.num_states, table.num_rows) == (2, 3)  # 1 is gone, 2 still leads to 3
    assert table.rows(np.array([[1], [2], [3]], np.uint64)).tolist() == [-1, 1, 2]
    table.remove(2, 0, 1.0, 3, False)
    assert (table.num_states, table.num_rows, table.num_edges) == (0, 3, 0)
    for key in (11, 12, 13):
        table.add(key, 1, 0.0, 0, True)
    assert (table.num_states, table.num_rows) == (3, 3)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    states=st.integers(1, 40),
    actions=st.integers(1, 9),
    words=st.integers(1, 4),
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=8),
)
def test_it_holds_what_dictionaries_hold(seed: int, states: int, actions: int, words: int, steps: list[int]) -> None:
    """Adds, removals and relabels in any order; also: rows stay consistent, and what was freed is found again."""
    generator = np.random.default_rng(seed)
    keys = random_keys(generator, states, words)
    table, held = TabularMDP(actions, words), random_batch(generator, keys, actions, 0)
    for num in steps:
        new = random_batch(generator, keys, actions, num)
        order = generator.permutation(len(held.actions))
        gone, kept = order[: len(order) // 2], order[len(order) // 2 :]
        match generator.integers(3):
            case 0:
                table.add_many(*new)
                held = joined(held, new)
            case 1:
                table.remove_many(*chosen(held, gone))
                held = chosen(held, kept)
            case _:
                table.relabel(chosen(held, gone), new)
                held = joined(chosen(held, kept), new)
        assert_same(table, Slow.of(held))
    rows = table.rows(keys)
    known = rows[rows >= 0]
    assert len(np.unique(known)) == len(known) == table.num_states <= table.num_rows <= states
    np.testing.assert_array_equal(table.keys(known), keys[rows >= 0])
    np.testing.assert_array_equal(np.sort(known), table.live_rows())


def test_one_row_with_many_predecessors() -> None:
    """A block that becomes a hash of its own, shrinks and is emptied."""
    num = 5000
    keys = np.arange(1, num + 1, dtype=np.uint64)[:, None]
    hub = np.zeros_like(keys)
    batch = TransitionArrays(keys, np.arange(num) % 7, np.ones(num), hub, np.zeros(num, bool))
    table = TabularMDP(7)
    table.add_many(*batch)
    assert_same(table, Slow.of(batch))
    order = np.random.default_rng(0).permutation(num)
    for part in np.array_split(order, 10):
        table.remove_many(*chosen(batch, part))
    assert (table.num_states, table.num_edges) == (0, 0)
    table.add_many(*batch)
    assert_same(table, Slow.of(batch))


def test_relabel_equals_rebuild() -> None:
    """30,000 random transitions, a third of whose keys change: exactly the counts and edges of a rebuild."""
    generator = np.random.default_rng(3)
    keys = random_keys(generator, 2000)
    batch = random_batch(generator, keys, 3, 30_000)
    table = TabularMDP(3)
    table.add_many(*batch)
    new_keys = batch.keys.copy()
    changed = generator.random(30_000) < 0.3
    new_keys[changed] = keys[generator.integers(2000, size=int(changed.sum()))]
    new = batch._replace(keys=new_keys)
    for part in np.array_split(generator.permutation(np.flatnonzero(changed)), 40):
        table.relabel(chosen(batch, part), chosen(new, part))
    assert_same(table, Slow.of(new))
    assert contents(table).counts != Slow.of(batch).counts


@pytest.mark.parametrize(
    ("key", "action", "next_key", "terminated"),
    [(1, 0, 3, False), (1, 1, 2, False), (1, 0, 2, True), (2, 0, 2, False), (99, 0, 2, False), (1, 0, 99, False)],
)
def test_removing_what_was_never_added(key: int, action: int, next_key: int, terminated: bool) -> None:
    table = TabularMDP(2)
    table.add(1, 0, 1.0, 2, False)
    table.add(2, 1, 1.0, 3, False)
    before = table.state()
    with pytest.raises(UsageError, match=r"transition 0 cannot be removed, it was not added .*" + f"{key:#x}"):
        table.remove(key, action, 1.0, next_key, terminated)
    assert_unchanged(table, before)


def assert_unchanged(table: TabularMDP, before: dict[str, Any]) -> None:
    for name, array in table.state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_removal_is_all_or_nothing() -> None:
    table, batch = filled(0)
    before = table.state()
    twice = joined(batch, chosen(batch, np.array([17])))
    with pytest.raises(UsageError, match="transition 400 cannot be removed"):
        table.remove_many(*twice)
    with pytest.raises(UsageError, match="transition 400 cannot be removed"):
        table.relabel(twice, batch)
    three = chosen(batch, np.arange(3))
    with pytest.raises(UsageError, match="rewards must be finite, got nan at transition 1"):
        table.relabel(three, three._replace(rewards=np.array([0, np.nan, 0])))
    assert_unchanged(table, before)
    table.remove_many(*batch)
    assert table.num_states == 0


def test_bad_input() -> None:
    table, batch = filled(1)
    before = table.state()
    three = chosen(batch, np.arange(3))
    wide = np.zeros((3, 2), np.uint64)
    for change, message in (
        ({"keys": wide}, r"keys must have shape \(N, 1\), the width of this table, got \(3, 2\)"),
        ({"next_keys": wide}, r"next_keys must have shape \(N, 1\)"),
        ({"keys": np.zeros((3, 1), np.int64)}, "keys must be uint64, got int64"),
        ({"actions": np.array([0, 3, 0])}, "actions must be between 0 and 2, got 3 at transition 1"),
        ({"actions": np.array([0, 0, -1])}, "actions must be between 0 and 2, got -1 at transition 2"),
        ({"actions": np.zeros(3)}, "actions must be integers, got float64"),
        ({"actions": np.zeros(2, int)}, r"actions must have 3 items like keys, got shape \(2,\)"),
        ({"rewards": np.array([0, np.nan, 0])}, "rewards must be finite, got nan at transition 1"),
        ({"rewards": np.array([0, 0, -np.inf])}, "rewards must be finite, got -inf at transition 2"),
        ({"terminated": np.zeros(3, int)}, "terminated must be bool, got int64"),
    ):
        wrong = three._replace(**change)
        for call in (table.add_many, table.remove_many, lambda *arrays: table.relabel(arrays, three)):
            with pytest.raises(UsageError, match=message):
                call(*wrong)
    with pytest.raises(UsageError, match="between 0 and"):
        table.add(-1, 0, 0.0, 0, False)
    with pytest.raises(UsageError, match="rows must be between 0"):
        table.counts([-1])
    for sizes in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="num_actions and key_words must be >= 1"):
            TabularMDP(*sizes)
    with pytest.raises(UsageError, match="max_bytes must be >= "):
        TabularMDP(2, max_bytes=10)
    assert_unchanged(table, before)


def test_nothing_at_all() -> None:
    table = TabularMDP(2)
    keys = np.zeros((0, 1), np.uint64)
    assert table.add_many(keys, [], [], keys, []) == 0
    assert table.rows(keys).shape == (0,)
    assert table.transitions().num_states == 0


def test_the_memory_cap() -> None:
    """At the cap: one line, known transitions still count, unknown ones do not, removal makes room."""
    lines: list[str] = []
    cap = 200_000
    table = TabularMDP(3, max_bytes=cap, warn=lines.append)
    generator = np.random.default_rng(5)
    held = random_batch(generator, random_keys(generator, 50), 3, 200)
    assert table.add_many(*held) == 200
    flood = random_batch(generator, random_keys(generator, 20_000), 3, 20_000)
    taken = table.add_many(*flood)
    assert 0 < taken < 20_000
    assert table.full
    assert table.num_bytes <= cap
    assert table.num_bytes > 0.8 * cap
    table.add_many(*flood)
    assert len(lines) == 1
    assert f"memory cap of {cap} bytes" in lines[0]
    states = table.num_states
    assert table.add_many(*held) == 200  # all of it known
    assert table.num_states == states
    table.transitions()  # validates itself
    known = [index for index in range(20_000) if _holds(table, chosen(flood, np.array([index])))]
    table.remove_many(*chosen(flood, np.array(known[:100])))
    assert not table.full


def _holds(table: TabularMDP, one: TransitionArrays) -> bool:
    try:
        table.store.held(one)
    except UsageError:
        return False
    return True


def test_relabelling_at_the_cap_uses_the_room_it_makes() -> None:
    lines: list[str] = []
    table = TabularMDP(1, max_bytes=20_000, warn=lines.append)
    num = 1
    while not table.full:
        table.add(num, 0, 0.0, 0, True)
        num += 1
    held = num - 2
    old = TransitionArrays(*table.single(1, 0, 0.0, 0, True))
    for step in range(50):
        new = table.single(10_000 + step, 0, 0.0, 0, True)
        assert table.relabel(old, new) == 1
        old = new
    assert table.num_states == held
    assert len(lines) == 1


@pytest.mark.parametrize("words", [1, 3])
def test_a_restored_table_goes_on_bit_for_bit(words: int) -> None:
    table, batch = filled(7, states=300, num=3000, words=words)
    table.remove_many(*chosen(batch, np.arange(0, 3000, 2)))
    saved = {name: array.copy() for name, array in table.state().items()}
    other = TabularMDP.from_state(saved)
    assert_identical(table, other)
    more = random_batch(np.random.default_rng(8), random_keys(np.random.default_rng(9), 400, words), 3, 4000)
    for one in (table, other):
        one.relabel(chosen(batch, np.arange(1, 1001, 2)), more)
    assert_identical(table, other)
    assert table.num_bytes == other.num_bytes
    np.testing.assert_array_equal(table.rows(more.keys), other.rows(more.keys))


@pytest.mark.parametrize("damage", ["missing", "short", "far", "format"])
def test_a_damaged_state(damage: str) -> None:
    state = filled(2)[0].state()
    if damage == "missing":
        del state["spans"]
    elif damage == "short":
        state["counts"] = state["counts"][:-1]
    elif damage == "far":
        state["entries"][0] = 2**30
    else:
        state["format"][0] = 99
    with pytest.raises(RunError, match="the saved table"):
        TabularMDP.from_state(state)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), states=st.integers(1, 200), num=st.integers(0, 2000), words=st.integers(1, 3))
def test_a_picture_makes_the_same_table(seed: int, states: int, num: int, words: int) -> None:
    table, batch = filled(seed, states, num, words)
    table.remove_many(*chosen(batch, np.arange(num // 3)))
    picture = table.transitions()
    again = TabularMDP.from_transitions(picture)
    copy = again.transitions()
    for name in ("keys", "counts", "reward_sums", "edge_source", "edge_target", "edge_count"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(picture, name), err_msg=name)
    again.remove_many(*chosen(batch, np.arange(num // 3, num)))  # the copy is a table like any other
    assert (again.num_states, again.num_edges) == (0, 0)
