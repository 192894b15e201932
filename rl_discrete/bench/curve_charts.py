"""The curves of the original talk: BCE and Inception score against the number of variables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rl_discrete.bench.aggregate import PRIORS
from rl_discrete.bench.config import CURVE_LATENTS
from rl_discrete.bench.measured import PRIOR_LABELS, number
from rl_discrete.bench.palette import LIGHT
from rl_discrete.bench.scaling import curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = (
    ("gs", 2, "gs", "o"),
    ("gs", 5, "gs-soft", "s"),
    ("gs", 10, "gs-faint", "D"),
    ("ish", 2, "ish", "o"),
)


def reconstruction_curves(result: Mapping[str, Any]) -> Figure | None:
    """BCE against the number of variables (as in the talk) and against the bits (the fair axis)."""
    figure, panels = _panels(2)
    floor = number(result, "reference", "bce_floor")
    for method, categories, color, marker in SERIES:
        points = curve(result, method, categories, "reconstruction_bce")
        for axes, scale in zip(panels, (1.0, math.log2(categories)), strict=True):
            _line(axes, [(size * scale, value) for size, value in points], method, categories, color, marker)
    if not any(axes.lines for axes in panels):
        return None
    for axes in panels:
        axes.set_xscale("log")
        if floor is not None:
            axes.axhline(floor, color=LIGHT["ink"], lw=0.9, ls=(0, (4, 3)))
    _sizes(panels[0])
    _ticks(panels[1], (8, 16, 32, 64, 128, 256))
    panels[1].set_xlabel("capacity, bits")
    panels[0].set_ylabel("reconstruction BCE, nats per image")
    if floor is not None:
        panels[0].annotate(f"floor {floor:.1f}", (8, floor), (0, 3), textcoords="offset points", fontsize=7.5)
    _legend(figure, panels[0])
    return figure


def score_curves(result: Mapping[str, Any]) -> Figure | None:
    """Inception score of the samples of each prior against the number of variables."""
    figure, panels = _panels(3)
    real = number(result, "reference", "test_images", "inception_score")
    for axes, prior in zip(panels, PRIORS, strict=True):
        for method, categories, color, marker in SERIES:
            points = curve(result, method, categories, "inception_score", prior)
            _line(axes, [(float(size), value) for size, value in points], method, categories, color, marker)
    if not any(axes.lines for axes in panels):
        return None
    for axes, prior in zip(panels, PRIORS, strict=True):
        axes.set_title(f"{PRIOR_LABELS[prior]} prior", fontsize=9, color=LIGHT["ink"])
        axes.set_xscale("log")
        axes.set_ylim(1, 10.2)
        if real is not None:
            axes.axhline(real, color=LIGHT["ink"], lw=0.9, ls=(0, (4, 3)))
        _sizes(axes)
    panels[0].set_ylabel("Inception score of samples")
    if real is not None:
        panels[0].annotate(f"real {real:.2f}", (8, real), (0, -10), textcoords="offset points", fontsize=7.5)
    _legend(figure, next(axes for axes in panels if axes.lines))
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    panels = list(figure.subplots(1, count, sharey=True))
    for axes in panels:
        axes.grid(axis="both")
        if axes is not panels[0]:
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
    return figure, panels


def _line(axes: Axes, points: list[tuple[float, float]], method: str, categories: int, color: str, marker: str) -> None:
    if points:
        label = f"gs, K = {categories}" if method == "gs" else "ish"
        places, values = zip(*points, strict=True)
        axes.plot(places, values, color=LIGHT[color], marker=marker, ms=4, lw=1.5, label=label)


def _sizes(axes: Axes) -> None:
    _ticks(axes, CURVE_LATENTS)
    axes.set_xlabel("number of variables")


def _ticks(axes: Axes, sizes: tuple[int, ...]) -> None:
    axes.set_xticks(sizes, labels=[str(size) for size in sizes])
    axes.set_xticks([], minor=True)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)
