"""A figure measured once per seed, as every report states it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict


class Statistic(TypedDict):
    """Mean, sample standard deviation (0 for a single value) and the values themselves, one per seed."""

    mean: float
    std: float
    values: list[float]


def summarize(values: Sequence[float]) -> Statistic:
    """Summarize one figure over seeds.

    The standard deviation divides by n - 1: a handful of seeds is a sample, not the population.

    Raises:
        ValueError: there is no value.
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("summarize needs at least one value, got none")
    mean = math.fsum(numbers) / len(numbers)
    squares = math.fsum((number - mean) ** 2 for number in numbers)
    std = math.sqrt(squares / (len(numbers) - 1)) if len(numbers) > 1 else 0.0
    return {"mean": mean, "std": std, "values": numbers}
