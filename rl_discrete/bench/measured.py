"""One measured figure with its seed spread, read out of a result that may be incomplete.

``result.json`` holds every figure as ``{"mean", "std", "values"}`` with one value per seed. A run that was
stopped, a smoke run or a prior that was not fitted leaves holes, and a value that was not finite is stored
as null. Whoever shows results reads them through this file, so that a hole is a dash and never an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "–"
PRIOR_LABELS = {"uniform": "uniform", "independent": "independent", "lstm": "LSTM"}


@dataclass(frozen=True)
class Measured:
    """Mean and sample standard deviation over seeds; ``std`` says nothing where there is a single value."""

    mean: float
    std: float
    values: tuple[float, ...]

    @property
    def has_spread(self) -> bool:
        """Whether two seeds or more stand behind the figure."""
        return len(self.values) > 1

    def text(self, digits: int = 1, sign: str = "±") -> str:
        """``71.2 ±0.3``; without the spread when there is only one seed."""
        if not self.has_spread:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} {sign}{self.std:.{digits}f}"


def look_up(source: Any, *path: str) -> Any:
    """The value at the nested keys ``path``, or None where any of them is absent."""
    for key in path:
        if not isinstance(source, Mapping) or key not in source:
            return None
        source = source[key]
    return source


def number(source: Any, *path: str) -> float | None:
    """The finite number at ``path``, or None."""
    return _finite(look_up(source, *path))


def measured(source: Any, *path: str) -> Measured | None:
    """The figure at ``path``, or None where it is absent or its mean is not a finite number.

    A bare number counts as a figure of one seed (the curves hold such).
    """
    bare = number(source, *path)
    if bare is not None:
        return Measured(bare, 0.0, (bare,))
    mean = number(source, *path, "mean")
    if mean is None:
        return None
    values = look_up(source, *path, "values")
    finite = [v for v in map(_finite, values) if v is not None] if isinstance(values, list | tuple) else []
    return Measured(mean, number(source, *path, "std") or 0.0, tuple(finite) or (mean,))


def rows_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The finished rows of a result by capacity, so that rows of equal bits stand side by side."""
    rows = result.get("rows")
    found = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []
    return sorted(found, key=lambda row: (round(number(row, "capacity_bits") or 0.0, 6), name_of(row)))


def curves_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The points of the curves; an empty list where the profile has none."""
    points = result.get("curves")
    return [point for point in points if isinstance(point, Mapping)] if isinstance(points, list | tuple) else []


def name_of(row: Mapping[str, Any]) -> str:
    """The name of a row, such as ``ish-32x2``."""
    return str(row.get("name", "unnamed"))


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
