from __future__ import annotations

import io
import pickle  # noqa: TID251 - to make the file that must be refused
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_discrete.mdp.outcomes import outcomes
from rl_discrete.mdp.rewards import RewardExpression, named_rewards
from rl_discrete.mdp.solve import replan
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError
from tests.mdp.random_transitions import random_transitions, transitions_of

NAMES = ("reward", "action", "terminated", "visits", "bit(i)", "next_bit(i)", "min", "max", "abs", "where")


def three_outcomes() -> Transitions:
    """State 5 (bits 0 and 2): action 1 went to state 8 (bit 3) three times and ended once. State 8: action 0 stayed."""
    visits = [(0, 1, 1.0, 1), (0, 1, 2.0, 1), (0, 1, 0.0, 1), (0, 1, 5.0, -1), (1, 0, -1.0, 1)]
    return transitions_of(visits, np.array([[5, 1], [8, 0]], np.uint64), 2)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("reward", 2.0, -1.0),
        ("  -reward ", -2.0, 1.0),
        ("3", 3.0, 3.0),
        ("action", 1.0, 0.0),
        ("terminated", 0.25, 0.0),
        ("not terminated", 0.75, 1.0),
        ("visits", 4.0, 1.0),
        ("1 / visits ** 0.5", 0.5, 1.0),
        ("bit(0)", 1.0, 0.0),
        ("bit(1)", 0.0, 0.0),
        ("bit(2) + bit(64)", 2.0, 0.0),
        ("next_bit(3)", 0.75, 1.0),
        ("next_bit(0)", 0.0, 0.0),
        ("where(terminated, 10, next_bit(3))", 0.25 * 10 + 0.75, 1.0),
        ("where(action == 1, -1, +1)", -1.0, 1.0),
        ("min(reward, 0, 7) + max(1, reward)", 2.0, 0.0),
        ("abs(reward)", 2.0, 1.0),
        ("0 < reward <= 2", 1.0, 0.0),
        ("0 < reward < 2", 0.0, 0.0),
        ("action != 1 or bit(0) and not bit(1)", 1.0, 1.0),
        ("2 and 3", 1.0, 1.0),
        ("7 // 2 + 7 % 4 - 1e1", -4.0, -4.0),
        ("reward - 0.5*(action >= 1)", 1.5, -1.0),
    ],
)
def test_an_expression_means_what_it_says(text: str, first: float, second: float) -> None:
    rewards = RewardExpression(text).rewards(three_outcomes())
    np.testing.assert_allclose(rewards, [[np.nan, first], [second, np.nan]])


TERMS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("reward", lambda o: o["reward"]),
    ("action", lambda o: o["action"]),
    ("visits", lambda o: o["visits"]),
    ("next_bit(9)", lambda o: (o["next_keys"][:, 0] >> np.uint64(9)) & np.uint64(1)),
    ("bit(70)", lambda o: (o["keys"][:, 1] >> np.uint64(6)) & np.uint64(1)),
    ("0.5", lambda o: 0.5),
]
PAIRS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("({} + {})", lambda a, b: a + b),
    ("({} - {})", lambda a, b: a - b),
    ("({} * {})", lambda a, b: a * b),
    ("({} < {})", lambda a, b: np.where(a < b, 1.0, 0.0)),
    ("({} or {})", lambda a, b: np.where((a != 0) | (b != 0), 1.0, 0.0)),
    ("min({}, {})", np.minimum),
    ("where({}, {}, 2)", lambda a, b: np.where(a != 0, b, 2.0)),
]


@settings(deadline=None, max_examples=60)
@given(
    expression=st.recursive(
        st.sampled_from(TERMS),
        lambda inner: st.tuples(st.sampled_from(PAIRS), inner, inner).map(
            lambda parts: (
                parts[0][0].format(parts[1][0], parts[2][0]),
                lambda o: parts[0][1](np.float64(1) * parts[1][1](o), np.float64(1) * parts[2][1](o)),
            )
        ),
        max_leaves=12,
    )
)
def test_any_expression_equals_the_same_numpy(expression: tuple[str, Callable[[dict[str, Any]], Any]]) -> None:
    text, function = expression
    table = random_transitions(3, num_states=15, key_words=2)
    every = outcomes(table)
    known = {
        "reward": table.mean_rewards.reshape(-1)[every.pairs],
        "action": every.actions,
        "visits": table.counts.reshape(-1)[every.pairs],
        "keys": every.keys,
        "next_keys": every.next_keys,
    }
    values = np.broadcast_to(np.asarray(function(known), np.float64), every.pairs.shape)
    expected = np.full(table.counts.size, np.nan)
    for pair in np.unique(every.pairs):
        here = every.pairs == pair
        expected[pair] = np.average(values[here], weights=every.counts[here])
    found = RewardExpression(text).rewards(table)
    np.testing.assert_allclose(found, expected.reshape(table.counts.shape), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "reward.__class__",
        "(lambda: 1)()",
        "[x for x in (1, 2)]",
        "{1: 2}",
        "'a' * 10",
        "b'a'",
        "f'{reward}'",
        "1j",
        "True",
        "None",
        "...",
        "x",
        "rewards",
        "where",
        "exec('1')",
        "bit(action)",
        "bit(1.0)",
        "bit(True)",
        "bit(-1)",
        "bit()",
        "bit(1, 2)",
        "bit(i=1)",
        "min(reward)",
        "min(*reward)",
        "abs(1, 2)",
        "where(1, 2)",
        "(y := 1)",
        "reward if action else 1",
        "reward[0]",
        "reward @ reward",
        "1 << 3",
        "~action",
        "1 is 1",
        "1 in (1, 2)",
        "max(1, 2).real",
    ],
)
def test_anything_else_is_refused_with_the_allowed_names(text: str) -> None:
    with pytest.raises(UsageError) as error:
        RewardExpression(text)
    assert all(name in str(error.value) for name in NAMES)
    assert "got" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "1 +", "reward; 1", "a = 1", "import os", "1\n2", "\0", "(" * 400, "-" * 999, "9" * 999, "9" + "**9" * 90],
)
def test_what_is_no_expression_is_refused_too(text: str) -> None:
    """Nothing here may take long, warn or end in another error: powers are floats, and nesting is bounded."""
    with pytest.raises(UsageError) as error:
        RewardExpression(text).rewards(three_outcomes())
    assert "\n" not in str(error.value)


def test_long_expressions_are_refused() -> None:
    with pytest.raises(UsageError, match="at most 1000 characters, got 1001"):
        RewardExpression("1" + "+1" * 500)
    for text in ("-" * 990 + "1", "1" + "+1" * 400, "(" * 150 + "1" + ")" * 150 + "+1" * 200):
        with pytest.raises(UsageError, match="nested 100 deep"):
            RewardExpression(text)
    deep = RewardExpression("1" + "+1" * 90).rewards(three_outcomes())
    assert deep[0, 1] == 91.0


def test_numbers_that_do_not_fit_are_refused() -> None:
    table = three_outcomes()
    with pytest.raises(UsageError, match="numbered from 0 to 127, got 128"):
        RewardExpression("bit(128)").rewards(table)
    for text in ("1 / terminated", "1 / 0", "0 / 0", "10 ** 999", "(-1) ** 0.5", "1 % 0"):
        with pytest.raises(UsageError, match="rewards must be finite"):
            RewardExpression(text).rewards(table)


def test_an_expression_a_file_and_a_function_make_the_same_plan(tmp_path: Path) -> None:
    table = random_transitions(8, num_states=30)
    goal = np.uint64(5)
    by_function = replan(table, lambda keys, actions, after, ended: 2.0 * ((after[:, 0] >> goal) & np.uint64(1)), 0.9)
    per_state = 2.0 * ((table.keys[:, 0] >> np.uint64(5)) & np.uint64(1))
    per_pair = named_rewards("2 * next_bit(5)", table)
    np.save(tmp_path / "state.npy", per_state)
    np.save(tmp_path / "pair.npy", per_pair)
    np.savez(tmp_path / "one.npz", anything=per_pair)
    np.savez(tmp_path / "many.npz", other=np.zeros(3), rewards=per_pair)
    sources = ["2*next_bit(5)", *(str(tmp_path / name) for name in ("state.npy", "pair.npy", "one.npz", "many.npz"))]
    for source in sources:
        solution = replan(table, named_rewards(source, table), 0.9)
        np.testing.assert_allclose(solution.values, by_function.values, atol=1e-6)
        np.testing.assert_allclose(solution.q_values, by_function.q_values, atol=1e-6)
    assert np.ptp(by_function.values) > 0.1


def test_files_that_hold_no_rewards_are_refused(tmp_path: Path) -> None:
    table = three_outcomes()
    (tmp_path / "noise.npy").write_bytes(b"hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    buffer = io.BytesIO()
    np.save(buffer, np.array([object()], object), allow_pickle=True)
    (tmp_path / "objects.npy").write_bytes(buffer.getvalue())
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(np.zeros((2, 2))))
    np.savez(tmp_path / "several.npz", a=np.zeros(2), b=np.zeros(2))
    np.save(tmp_path / "nan.npy", np.full(2, np.nan))
    np.save(tmp_path / "shape.npy", np.zeros((3, 2)))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    expected = {
        "missing.npy": "there is no file",
        "noise.npy": "is not a numpy file of numbers",
        "empty.npz": "is not a numpy file of numbers",
        "objects.npy": "is not a numpy file of numbers",
        "pickle.npy": "is not a numpy file of numbers",
        "several.npz": "must hold one array, or one called rewards; got a, b",
        "nan.npy": "rewards must be finite, got nan",
        "shape.npy": "rewards must have shape (2,) per state or (2, 2)",
        "text.npy": "rewards must be numbers",
    }
    for name, message in expected.items():
        with pytest.raises(UsageError) as error:
            named_rewards(str(tmp_path / name), table)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
