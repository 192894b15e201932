"""New rewards that the user names: a small expression, or a numpy file.

The expression is parsed, never executed: each node of its syntax tree must be on the list below, and becomes a
function of arrays. Values are float64, one per distinct outcome; what is not 0 counts as true, and comparisons,
`and`, `or` and `not` give 1 or 0.
"""

from __future__ import annotations

import ast
import operator
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.mdp.outcomes import expected_rewards, mean_of_outcomes, outcomes
from rl_discrete.mdp.transitions import Keys, Transitions
from rl_discrete.runs.errors import UsageError

ALLOWED = (
    "numbers, reward (the mean observed one), action, terminated, visits (of the action), bit(i) and next_bit(i) of "
    "the key, min, max, abs, where(condition, a, b), + - * / // % **, < <= > >= == !=, and, or, not"
)
_MAX_CHARACTERS = 1000
_MAX_DEPTH = 100
_WORD_BITS = 64
_SUFFIXES = (".npy", ".npz")


class _Terms(NamedTuple):
    """What the names of an expression stand for: one entry per outcome."""

    names: dict[str, NDArray[np.float64]]
    keys: Keys
    next_keys: Keys


_Value: TypeAlias = Callable[[_Terms], NDArray[np.float64]]
_NAMES = ("reward", "action", "terminated", "visits")
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
    ast.UAdd: np.positive,
    ast.USub: np.negative,
    ast.Not: np.logical_not,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


def named_rewards(source: str, transitions: Transitions) -> NDArray[np.float64]:
    """The mean reward of each pair, float64 (S, A), nan where untried, as `source` says.

    Args:
        source: a path that ends in .npy or .npz, to an array (S,) per state entered or (S, A) per pair, in the order of
            `transitions`, which is the order of an exported table; anything else is an expression.

    Raises:
        UsageError: what is wrong with the file or the expression, or a reward that is not finite.
    """
    if source.strip().endswith(_SUFFIXES):
        return expected_rewards(transitions, read_rewards(Path(source.strip())))
    return RewardExpression(source).rewards(transitions)


def read_rewards(path: Path) -> NDArray[Any]:
    """The array in a numpy file; of several in a .npz, the one called `rewards`. Nothing is unpickled.

    Raises:
        UsageError: no such file, not a numpy file of numbers, or several arrays and none called `rewards`.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}; give a .npy or .npz file, or an expression of {ALLOWED}")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            name = loaded.files[0] if len(loaded.files) == 1 else "rewards"
            if name not in loaded.files:
                raise UsageError(f"{path} must hold one array, or one called rewards; got {', '.join(loaded.files)}")
            return np.asarray(loaded[name])
    except UsageError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is not a numpy file of numbers; write one with numpy.save") from error


class RewardExpression:
    """A reward in the user's words, such as `reward - 0.1 * (action == 2)` or `where(next_bit(3), 1, 0)`.

    Raises:
        UsageError: not an expression, or one that uses anything but what `ALLOWED` lists.
    """

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        if len(self._text) > _MAX_CHARACTERS:
            raise UsageError(f"a reward expression has at most {_MAX_CHARACTERS} characters, got {len(self._text)}")
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(self._text, mode="eval")
            if _depth(tree) > _MAX_DEPTH:
                raise UsageError(f"a reward expression may be nested {_MAX_DEPTH} deep, got {_depth(tree)}")
            self._value = self._translate(tree.body)
        except UsageError:
            raise
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise UsageError(f"{self._text[:60]!r} is not a reward expression; write one with {ALLOWED}") from error

    def rewards(self, transitions: Transitions) -> NDArray[np.float64]:
        """The mean reward of each pair of `transitions`, float64 (S, A), nan where untried.

        Raises:
            UsageError: a bit that the keys do not have, or a reward that is not finite.
        """
        every = outcomes(transitions)
        names = {
            "reward": transitions.mean_rewards.reshape(-1)[every.pairs],
            "action": every.actions.astype(np.float64),
            "terminated": every.terminated.astype(np.float64),
            "visits": transitions.counts.reshape(-1)[every.pairs].astype(np.float64),
        }
        with np.errstate(all="ignore"):  # what is not finite is refused below
            values = self._value(_Terms(names, every.keys, every.next_keys))
        return mean_of_outcomes(transitions, every.pairs, every.counts, np.broadcast_to(values, every.pairs.shape))

    def _translate(self, node: ast.expr) -> _Value:
        """The function of arrays that a node stands for."""
        match node:
            case ast.Constant(value=bool()):
                raise self._refusal(node)
            case ast.Constant(value=int() | float() as number):
                constant = np.array(number, np.float64)
                return lambda _: constant
            case ast.Name(id=name) if name in _NAMES:
                return lambda terms: terms.names[name]
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _apply(_OPERATORS[type(op)], [self._translate(operand)])
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _apply(_OPERATORS[type(op)], [self._translate(left), self._translate(right)])
            case ast.BoolOp(op=op, values=values):
                return _fold(_OPERATORS[type(op)], [self._translate(value) for value in values])
            case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _OPERATORS for op in ops):
                sides = [self._translate(side) for side in (left, *others)]
                pairs = zip(ops, sides, sides[1:], strict=False)
                return _fold(np.logical_and, [_apply(_OPERATORS[type(op)], [a, b]) for op, a, b in pairs])
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(node, name, arguments)
        raise self._refusal(node)

    def _call(self, node: ast.Call, name: str, arguments: Sequence[ast.expr]) -> _Value:
        match name, arguments:
            case (("bit" | "next_bit"), [ast.Constant(value=int() as place)]) if not isinstance(place, bool):
                return lambda terms: _bit(terms.keys if name == "bit" else terms.next_keys, place)
            case "min", [_, _, *_]:
                return _fold(np.minimum, [self._translate(argument) for argument in arguments])
            case "max", [_, _, *_]:
                return _fold(np.maximum, [self._translate(argument) for argument in arguments])
            case "abs", [argument]:
                return _apply(np.abs, [self._translate(argument)])
            case "where", [condition, yes, no]:
                return _apply(_where, [self._translate(argument) for argument in (condition, yes, no)])
        raise self._refusal(node)

    def _refusal(self, node: ast.expr) -> UsageError:
        part = " ".join((ast.get_source_segment(self._text, node) or type(node).__name__).split())
        return UsageError(f"a reward expression may use {ALLOWED}; got {part[:60]!r}")


def _depth(tree: ast.AST) -> int:
    level, depth = [tree], 0
    while level:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


def _apply(function: Callable[..., Any], values: Sequence[_Value]) -> _Value:
    return lambda terms: np.asarray(function(*(value(terms) for value in values)), np.float64)


def _fold(function: Callable[..., Any], values: Sequence[_Value]) -> _Value:
    def folded(terms: _Terms) -> NDArray[np.float64]:
        parts = [np.asarray(value(terms)) for value in values]
        return np.asarray(reduce(function, parts), np.float64)

    return folded


def _where(condition: NDArray[np.float64], yes: NDArray[np.float64], no: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(condition != 0, yes, no)


def _bit(keys: Keys, place: int) -> NDArray[np.float64]:
    """Bit `place` of each key: bit 0 is the lowest of word 0, bit 64 the lowest of word 1."""
    available = _WORD_BITS * keys.shape[1]
    if not 0 <= place < available:
        raise UsageError(f"bits of these keys are numbered from 0 to {available - 1}, got {place}")
    word, shift = divmod(operator.index(place), _WORD_BITS)
    return ((keys[:, word] >> np.uint64(shift)) & np.uint64(1)).astype(np.float64)
