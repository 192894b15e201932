"""The figure of the cross-check: a code model and a table's counts, beside what sampling alone would do."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rl_discrete.agents.cross_check import CrossCheck, Floats
from rl_discrete.bench.charts import WIDTH
from rl_discrete.bench.figures import CHART_DPI, STYLE
from rl_discrete.bench.palette import LIGHT
from rl_discrete.runs.durable import disk_errors, replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE = "cross_check.png"


def write_cross_check(check: CrossCheck, folder: Path) -> Path | None:
    """Draws the figure into `folder`, replaced atomically; None where no pair was tried often enough.

    Raises:
        RunError: the disk refused.
    """
    import matplotlib

    with disk_errors(folder), matplotlib.rc_context(STYLE):
        figure = cross_check_chart(check)
        if figure is None:
            (folder / FILE).unlink(missing_ok=True)  # of an earlier check
            return None
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=CHART_DPI, metadata={"Software": None})
        replace_file(folder / FILE, content.getvalue())
    return folder / FILE


def cross_check_chart(check: CrossCheck) -> Figure | None:
    """Each pair by its visits, and the shares of pairs below each distance; the sampling floor beside both."""
    from matplotlib.figure import Figure

    if not len(check.states):
        return None
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.scatter(check.visits, check.floor, s=7, color=LIGHT["mid"], linewidths=0, label="sampling floor")
    left.scatter(check.visits, check.distance, s=7, color=LIGHT["ish"], linewidths=0, label="model and counts")
    left.set_xscale("log")
    left.xaxis.set_major_formatter("{x:,.0f}")  # the default writes powers of ten as mathematics, which is switched off
    left.xaxis.set_minor_formatter("")
    left.set_xlabel("visits of the state and action")
    left.set_ylabel("total variation")
    left.set_title(f"{len(check.states):,} pairs", fontsize=9)
    _shares(right, check.floor, LIGHT["mid"])
    _shares(right, check.distance, LIGHT["ish"])
    if np.isfinite(check.true_floor).any():
        _shares(right, check.true_floor[np.isfinite(check.true_floor)], LIGHT["gs"])
        left.scatter([], [], s=7, color=LIGHT["gs"], linewidths=0, label="floor of the true MDP")
    found = check.metrics()
    right.set_xlabel("share of the pairs")
    right.set_xlim(0, 1)
    right.set_ylim(0, min(1.0, 1.1 * float(max(check.distance.max(), check.floor.max(), 0.05))))
    right.set_title(f"mean {found['tv']:.3f}, floor {found['tv_floor']:.3f}", fontsize=9)
    for axes in (left, right):
        axes.grid(axis="y")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False)
    return figure


def _shares(axes: Axes, values: Floats, color: str) -> None:
    """The quantiles of the values, the least first."""
    axes.step(np.arange(1, len(values) + 1) / len(values), np.sort(values), where="pre", color=color, lw=1.5)
