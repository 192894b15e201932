"""How reconstruction changes with the number of variables and of categories: gap growth and equal-bits
deviation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl_discrete.bench.comparison import BCE, Comparison, compare
from rl_discrete.bench.config import CURVE_LATENTS
from rl_discrete.bench.measured import curves_of, number


@dataclass(frozen=True)
class GapGrowth:
    """The gap "BCE of gs minus BCE of ish" at few and at many variables, both binary, so at equal bits."""

    source: str
    small: Comparison
    large: Comparison

    @property
    def growth(self) -> float:
        """Nats by which the gap moves in favour of ish; negative when it moves in favour of gs."""
        return self.large.difference - self.small.difference

    @property
    def spread(self) -> float:
        """Standard deviation of the growth under the seed spread of all four runs."""
        return math.hypot(self.large.spread, self.small.spread)

    @property
    def sign(self) -> int:
        """1: ish scales better, and is not behind at the large end; -1: gs scales better; 0: neither can be
        said.
        """
        if abs(self.growth) <= max(BCE.minimum, self.spread):
            return 0
        if self.growth < 0:
            return -1
        return 0 if self.large.sign < 0 else 1

    def text(self) -> str:
        """Both ends and the growth between them, in one sentence."""
        behind = "; ish is still behind at the large end" if self.growth > 0 and self.large.sign < 0 else ""
        return (
            f"{self.source}: {self.small.text()}; {self.large.text()}; "
            f"the gap grows by {self.growth:+.1f} nats (spread {self.spread:.1f}){behind}."
        )


def row_gap_growth(rows: Mapping[str, Mapping[str, Any]]) -> GapGrowth | None:
    """Gap growth between the smallest and the largest size that both methods have a binary row of."""
    ends = {}
    for size in CURVE_LATENTS:
        names = (f"gs-{size}x2", f"ish-{size}x2")
        ends[size] = compare(rows.get(names[0]), rows.get(names[1]), names, BCE)
    return _growth("Rows", ends)


def curve_gap_growth(result: Mapping[str, Any]) -> GapGrowth | None:
    """The same along the curves, which have one seed and few epochs."""
    points = {(p.get("method"), p.get("num_categories"), p.get("num_latents")): p for p in curves_of(result)}
    ends = {}
    for size in CURVE_LATENTS:
        names = (f"gs {size} variables", f"ish {size} variables")
        ends[size] = compare(points.get(("gs", 2, size)), points.get(("ish", 2, size)), names, BCE)
    return _growth("Curves", ends)


def _growth(source: str, ends: Mapping[int, Comparison | None]) -> GapGrowth | None:
    known = [comparison for _, comparison in sorted(ends.items()) if comparison is not None]
    return GapGrowth(source, known[0], known[-1]) if len(known) > 1 else None


def curve(result: Mapping[str, Any], method: str, num_categories: int, *path: str) -> list[tuple[int, float]]:
    """(number of variables, figure) along one curve, by size, without the holes."""
    found = []
    for point in curves_of(result):
        size, value = number(point, "num_latents"), number(point, *path)
        here = (point.get("method"), point.get("num_categories")) == (method, num_categories)
        if here and size is not None and value is not None:
            found.append((round(size), value))
    return sorted(found)


def equal_bits_deviation(result: Mapping[str, Any], num_categories: int) -> tuple[float, float] | None:
    """Smallest and largest difference in BCE between the gs curve of K categories and the one of two, at
    equal bits.

    The binary curve is interpolated linearly over the logarithm of the bits, and never extrapolated. None
    when no point of the other curve falls into its range.
    """
    binary = [(math.log(size), value) for size, value in curve(result, "gs", 2, "reconstruction_bce")]
    deviations = []
    for size, value in curve(result, "gs", num_categories, "reconstruction_bce"):
        bits = math.log(size * math.log2(num_categories))
        for (left, low), (right, high) in itertools.pairwise(binary):
            if left <= bits <= right:
                deviations.append(value - (low + (high - low) * (bits - left) / (right - left)))
                break
    return (min(deviations), max(deviations)) if deviations else None
