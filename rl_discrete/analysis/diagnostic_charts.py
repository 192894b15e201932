"""The figures of `diagnose`: how latents are used, how codes change, how the table grows.

Drawn on bare `Figure` objects in the colours of the palette. Each function gives one figure, or None where the result
has nothing for it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_discrete.analysis.fresh_play import Play
from rl_discrete.analysis.state_map import state_map
from rl_discrete.analysis.true_states import TrueStates
from rl_discrete.bench.charts import WIDTH
from rl_discrete.bench.figures import CHART_DPI, STYLE
from rl_discrete.bench.palette import LIGHT
from rl_discrete.runs.durable import disk_errors, replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LATENTS, CHURN, TABLE, MAP = "latents.png", "churn.png", "table.png", "map.png"


def write_charts(result: Mapping[str, Any], play: Play, truth: TrueStates | None, folder: Path) -> list[Path]:
    """Draws every figure that the data allow, each file replaced atomically; those that were written.

    Raises:
        RunError: the disk refused.
    """
    import matplotlib

    written = []
    with disk_errors(folder), matplotlib.rc_context(STYLE):
        charts = {
            LATENTS: latent_chart(result["codes"]),
            CHURN: churn_chart(result["churn"], result["course"]),
            TABLE: table_chart(result["course"]),
            MAP: None if truth is None else state_map(play.keys, play.values, truth),
        }
        for name, figure in charts.items():
            if figure is not None:
                content = io.BytesIO()
                figure.savefig(content, format="png", dpi=CHART_DPI, metadata={"Software": None})
                replace_file(folder / name, content.getvalue())
                written.append(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)  # of an earlier diagnosis
    return written


def latent_chart(codes: Mapping[str, Any]) -> Figure:
    """Entropy of each latent as a share of ln K, and the correlation of each pair."""
    from matplotlib.colors import LinearSegmentedColormap

    figure = _figure(3.3)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    shares = np.asarray(codes["entropy"]) / math.log(codes["num_categories"])
    left.bar(range(len(shares)), shares, width=0.8, color=LIGHT["ish"])
    left.set(xlim=(-0.7, len(shares) - 0.3), ylim=(0, 1))
    left.set_xlabel("latent")
    left.set_ylabel("entropy, share of ln K")
    left.grid(axis="y")
    left.set_title(f"mean {shares.mean():.2f}, dead {codes['dead']} of {len(shares)}", fontsize=9)
    shades = LinearSegmentedColormap.from_list("correlation", ["#ffffff", LIGHT["ish"], LIGHT["ink"]])
    image = right.imshow(codes["correlation"], vmin=0, vmax=1, cmap=shades, interpolation="nearest")
    right.spines[:].set_visible(False)
    right.set_xlabel("latent")
    bar = figure.colorbar(image, ax=right, shrink=0.85)
    bar.outline.set_visible(False)
    mean = codes["correlation_mean"]
    right.set_title(f"correlation of pairs, mean {mean:.2f}" if math.isfinite(mean) else "no pairs", fontsize=9)
    return figure


def churn_chart(churn: Mapping[str, Any], course: Mapping[str, Sequence[Any]]) -> Figure | None:
    """The share of the probe set whose code changed, over the run; the run's own measurements beside it."""
    if len(churn["step"]) < 2 and "reassigned_probes" not in course:
        return None
    figure = _figure(2.9)
    axes = figure.subplots()
    earlier = list(zip(churn["step"], churn["to_newest"], strict=True))[:-1]
    since = list(zip(churn["step"][1:], churn["between"], strict=True))
    logged = _finite(course, "reassigned_probes")
    _curve(axes, logged, "at each rebuild, as logged", "pale", width=5.0)
    _curve(axes, earlier, "between here and the end", "gs", "s")
    _curve(axes, since, "since the checkpoint before", "ish")
    highest = max(share for _, share in (*earlier, *since, *logged))
    axes.set_ylim(0, max(0.1, 1.1 * highest))
    axes.set_xlabel("env steps")
    axes.set_ylabel("share of probes reassigned")
    axes.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure


def table_chart(course: Mapping[str, Sequence[Any]]) -> Figure | None:
    """States and edges of the table, and what its planner had left to do, over the run."""
    from matplotlib.ticker import NullFormatter

    if not course["step"]:
        return None
    figure = _figure(2.9)
    left, right = figure.subplots(1, 2)
    for name, color in (("edges", "gs"), ("states", "ish")):
        points = _finite(course, name)
        _curve(left, points, name, color)
        if points:
            left.annotate(
                *(name, points[-1], (0, 6)), textcoords="offset points", ha="right", fontsize=8, color=LIGHT[color]
            )
    left.set(ylim=(0, None), xlim=(0, None))
    left.margins(x=0.08)
    left.set_title("size of the table", fontsize=9)
    residuals = [(step, value) for step, value in _finite(course, "residual") if value > 0]
    _curve(right, residuals, "residual", "ish")
    if residuals:
        right.set_yscale("log")
        right.yaxis.set_major_formatter("{x:.0e}")
        right.yaxis.set_minor_formatter(NullFormatter())
    right.set_xlim(left.get_xlim())
    right.set_title("planner's residual, max |V - U|", fontsize=9)
    for axes in (left, right):
        axes.set_xlabel("env steps")
        axes.grid(axis="y")
    return figure


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _finite(course: Mapping[str, Sequence[Any]], name: str) -> list[tuple[int, float]]:
    """(step, value) wherever the run logged one."""
    pairs = zip(course["step"], course.get(name, ()), strict=False)
    return [(step, value) for step, value in pairs if value is not None and math.isfinite(value)]


def _curve(
    axes: Axes, points: Sequence[tuple[int, float]], name: str, color: str, marker: str = "o", width: float = 1.5
) -> None:
    """A line through (step, value), if there are any."""
    if points:
        axes.plot(*zip(*points, strict=True), color=LIGHT[color], marker=marker, ms=4, lw=width, label=name)
