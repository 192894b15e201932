"""Two rows of a result set side by side in one metric, with the spread of their difference.

A difference counts when it exceeds a stated minimum and the seed spread ``sqrt(s1^2 + s2^2)``, where s is a
row's sample standard deviation over seeds. A single seed has no measured spread; the metric's assumed one
takes its place, so that a lone lucky run does not look exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rl_discrete.bench.measured import Measured, measured


@dataclass(frozen=True)
class Metric:
    """Where a figure stands in a row, how it is written, and when a difference of it counts."""

    label: str
    path: tuple[str, ...]
    digits: int
    minimum: float
    """Differences up to this one are not told apart."""
    assumed_std: float
    """Standard deviation over seeds taken for a row that has one seed."""

    @property
    def rule(self) -> str:
        """When a difference counts, in one sentence."""
        return (
            f"A difference counts beyond {self.minimum:g} and beyond the seed spread (where there is one seed, a "
            f"standard deviation of {self.assumed_std:g} is assumed)."
        )


BCE = Metric("BCE", ("reconstruction_bce",), digits=1, minimum=1.0, assumed_std=0.5)
LSTM_SCORE = Metric("score", ("priors", "lstm", "inception_score"), digits=2, minimum=0.2, assumed_std=0.1)
LSTM_FRECHET = Metric("Fréchet", ("priors", "lstm", "frechet_distance"), digits=1, minimum=0.0, assumed_std=0.0)


@dataclass(frozen=True)
class Comparison:
    """``first`` against ``second``; ``difference`` is first minus second."""

    metric: Metric
    first: str
    second: str
    first_value: Measured
    second_value: Measured

    @property
    def difference(self) -> float:
        """Mean of the first minus mean of the second."""
        return self.first_value.mean - self.second_value.mean

    @property
    def spread(self) -> float:
        """Standard deviation of the difference of two single runs."""
        stds = [v.std if v.has_spread else self.metric.assumed_std for v in (self.first_value, self.second_value)]
        return math.hypot(*stds)

    @property
    def sign(self) -> int:
        """1 or -1 when the difference counts, else 0."""
        if abs(self.difference) <= max(self.metric.minimum, self.spread):
            return 0
        return 1 if self.difference > 0 else -1

    def text(self) -> str:
        """``BCE gs-32x2 85.1 ±0.2, ish-32x2 82.4 ±0.3 (+2.7, spread 0.4)``."""
        digits = self.metric.digits
        return (
            f"{self.metric.label} {self.first} {self.first_value.text(digits)}, "
            f"{self.second} {self.second_value.text(digits)} "
            f"({self.difference:+.{digits}f}, spread {self.spread:.{digits}f})"
        )


def compare(first: Any, second: Any, names: tuple[str, str], metric: Metric) -> Comparison | None:
    """Compare two rows in ``metric``; None when either of them lacks the figure."""
    first_value, second_value = measured(first, *metric.path), measured(second, *metric.path)
    if first_value is None or second_value is None:
        return None
    return Comparison(metric, *names, first_value, second_value)


def compare_rows(
    rows: Mapping[str, Mapping[str, Any]], pairs: Iterable[tuple[str, str]], metric: Metric
) -> list[Comparison]:
    """Every pair of row names whose rows both hold the figure."""
    found = (compare(rows.get(a), rows.get(b), (a, b), metric) for a, b in pairs)
    return [comparison for comparison in found if comparison is not None]


def join(words: Sequence[str], last: str = "and") -> str:
    """``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def sentence(text: str) -> str:
    """``text`` with a capital letter at its start."""
    return text[:1].upper() + text[1:]
