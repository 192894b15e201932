"""Charts of what a code costs and holds: the rate-distortion plane and the entropy of every variable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rl_discrete.bench.charts import WIDTH
from rl_discrete.bench.measured import look_up, measured, name_of, number, rows_of
from rl_discrete.bench.palette import LIGHT, method_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float, Mapping[str, Any]]  # code length, BCE, row
_SPACING = 0.045  # smallest distance of two labels, as a share of the height


def rate_distortion_chart(result: Mapping[str, Any]) -> Figure | None:
    """Code length under the LSTM prior against BCE, with lines of equal total; down and left is better."""
    points: list[Point] = []
    for row in rows_of(result):
        rate, bce = measured(row, "priors", "lstm", "code_length"), measured(row, "reconstruction_bce")
        if rate is not None and bce is not None:
            points.append((rate.mean, bce.mean, row))
    if not points:
        return None
    figure, axes = _plane(WIDTH, 3.9)
    floor = number(result, "reference", "bce_floor")
    lowest = min([height for _, height, _ in points] + ([] if floor is None else [floor]))
    axes.set_xlim(0, 1.18 * max(length for length, _, _ in points))
    axes.set_ylim(lowest - 4, max(height for _, height, _ in points) + 6)
    if floor is not None:
        axes.axhline(floor, color=LIGHT["ink"], lw=0.9, ls=(0, (4, 3)))
        axes.annotate(f"floor {floor:.3f}", (0, floor), (4, 3), textcoords="offset points", fontsize=7.5)
    _diagonals(axes, floor)
    for length, distortion, row in points:
        axes.plot(length, distortion, marker="o", ms=5.5, color=method_color(row.get("method")))
    for side in ("left", "right"):
        _labels(axes, [point for point in points if _side(axes, point, points) == side], side)
    axes.set_xlabel("code length under the LSTM prior, nats per image; diagonals: equal total")
    axes.set_ylabel("reconstruction BCE, nats per image")
    return figure


def _diagonals(axes: Axes, floor: float | None) -> None:
    """Lines on which code length and BCE have the same sum, labelled at the right edge."""
    (_, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    step = 10
    while (top + right - bottom) / step > 60:  # a prior gone wrong can be at any distance
        step *= 10
    for total in range(step * math.ceil(bottom / step), math.ceil(top + right), step):
        axes.plot(
            [0, right],
            [total, total - right],
            color=LIGHT["grid"],
            lw=0.8,
            zorder=0,
            scalex=False,
            scaley=False,
        )
        height = total - right
        if bottom + 2 < height < top - 2 and (floor is None or abs(height - floor) > 3):
            axes.annotate(
                str(total), (right, height), (3, 0), textcoords="offset points", va="center", fontsize=7.5
            ).set_color(LIGHT["muted"])


def _side(axes: Axes, point: Point, points: list[Point]) -> str:
    """On which side of its point a name stands: on the left where a close point would be covered on the right."""
    (_, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    rate, bce, _ = point
    covered = any(
        rate < other_rate < rate + 0.12 * right and abs(other_bce - bce) < _SPACING * (top - bottom)
        for other_rate, other_bce, _ in points
    )
    return "left" if covered else "right"


def _labels(axes: Axes, points: list[Point], side: str) -> None:
    """Names beside their points, pushed upwards where two would overlap."""
    (_, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    placed: list[tuple[float, float]] = []
    for rate, bce, row in sorted(points, key=lambda point: point[1]):
        height = bce
        for other_rate, other_height in placed:
            if abs(other_rate - rate) < 0.2 * right and abs(height - other_height) < _SPACING * (top - bottom):
                height = other_height + _SPACING * (top - bottom)
        placed.append((rate, height))
        shift, align = (7, "left") if side == "right" else (-7, "right")
        axes.annotate(
            name_of(row),
            (rate, height),
            (shift, 0),
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=8,
            color=method_color(row.get("method")),
        )


def entropy_chart(result: Mapping[str, Any]) -> Figure | None:
    """Entropy of every variable of every row (first seed), largest first, as a share of ln K."""
    strips = [(row, shares) for row in rows_of(result) if (shares := _entropy_shares(row))]
    if not strips:
        return None
    figure, axes = _plane(WIDTH, 0.34 * len(strips) + 0.5)
    axes.set(xlim=(0, 1), ylim=(-len(strips), 0.1), xticks=[])
    axes.set_yticks([-place - 0.5 for place in range(len(strips))], labels=[name_of(row) for row, _ in strips])
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    for place, (row, shares) in enumerate(strips):
        lefts, width = [index / len(shares) for index in range(len(shares))], 0.86 / len(shares)
        base, full = -place - 0.92, 0.84
        spans = list(zip(lefts, [width] * len(lefts), strict=True))
        axes.broken_barh(spans, (base, full), facecolor=LIGHT["grid"])
        heights = [full * share for share in shares]
        axes.bar(lefts, heights, width, base, align="edge", color=method_color(row.get("method")))
        text = f"mean {sum(shares) / len(shares):.3f}\nmin {shares[-1]:.3f}"
        axes.annotate(
            text,
            (1, -place - 0.5),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            annotation_clip=False,
        ).set_color(LIGHT["muted"])
    axes.set_xlabel("one bar per variable, sorted; full height: entropy ln K")
    return figure


def _entropy_shares(row: Mapping[str, Any]) -> list[float]:
    """Entropy over ln K of the first seed's variables, in falling order."""
    variables, categories = look_up(row, "variables"), number(row, "num_categories")
    entropy = look_up(variables[0], "entropy") if isinstance(variables, list | tuple) and variables else None
    if not isinstance(entropy, list | tuple) or categories is None or categories < 2:
        return []
    return sorted(((value or 0.0) / math.log(categories) for value in entropy), reverse=True)


def _plane(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
