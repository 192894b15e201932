"""The figure of a world model's rollouts: each error against the number of imagined steps, its control beside it."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_discrete.bench.charts import WIDTH
from rl_discrete.bench.figures import CHART_DPI, STYLE
from rl_discrete.bench.palette import LIGHT
from rl_discrete.runs.durable import disk_errors, replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = ("ish", "gs", "ink", "mid")
_HEADROOM = 1.4  # of the y axis, for the legend


def write_rollout_chart(result: Mapping[str, Any], path: Path) -> None:
    """Draws `rollout_chart` into a PNG file, replaced atomically.

    Raises:
        RunError: the disk refused.
    """
    import matplotlib

    with disk_errors(path), matplotlib.rc_context(STYLE):
        content = io.BytesIO()
        rollout_chart(result).savefig(content, format="png", dpi=CHART_DPI, metadata={"Software": None})
        replace_file(path, content.getvalue())


def rollout_chart(result: Mapping[str, Any]) -> Figure:
    """Panels for whatever `rollout_errors` could compare: bits, nats, pixels, objects, and what comes to pass."""
    from matplotlib.figure import Figure

    panels = {
        _bits: "bit_error" in result,
        _nats: "nats" in result or "prior_nats" in result,
        _pixels: "pixel_error" in result,
        _objects: bool(result["objects"]),
        _lost: bool(result["objects"]),
        _events: True,
    }
    draw = [panel for panel, wanted in panels.items() if wanted]
    rows = -(-len(draw) // 2)
    figure = Figure(figsize=(WIDTH, 2.5 * rows + 0.2), layout="constrained")
    places = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, panel in zip(places, draw, strict=False):
        panel(axes, result)
        axes.set_xscale("log")
        axes.set_xticks(result["horizons"], labels=[str(step) for step in result["horizons"]])
        axes.minorticks_off()
        axes.set_ylim(0, _HEADROOM * axes.get_ylim()[1])
        axes.grid(axis="y")
        axes.set_xlabel("imagined steps")
        axes.legend(frameon=False, fontsize=7.5, loc="upper left")
    for axes in places[len(draw) :]:
        axes.set_visible(False)
    return figure


def _bits(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.set_title("wrong bits, share", fontsize=9)
    _curve(axes, result, result["bit_error"], "imagined", "ish")
    _curve(axes, result, result["bit_error_copy"], "last frame repeated", "mid", ":")


def _nats(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.set_title("nats, given what was imagined before", fontsize=9)
    for name, words in (("nats", "true code"), ("prior_nats", "bits inferred from the true frame")):
        if name in result:
            _curve(axes, result, result[name], words, "ish")


def _pixels(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.set_title("pixels, mean error in levels of 255", fontsize=9)
    _curve(axes, result, result["pixel_error"], "imagined", "ish")
    _curve(axes, result, result["pixel_error_reconstruction"], "true codes decoded", "ink", "--")
    _curve(axes, result, result["pixel_error_copy"], "last frame repeated", "mid", ":")


def _objects(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.set_title("objects, median px off (dotted: real frames)", fontsize=9)
    for color, (name, figures) in zip(_COLORS, result["objects"].items(), strict=False):
        if "median" in figures:
            _curve(axes, result, figures["median"], name, color)
            _curve(axes, result, figures["median_real"], "", color, ":")


def _lost(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.set_title("objects lost, share of those in truth there", fontsize=9)
    for color, (name, figures) in zip(_COLORS, result["objects"].items(), strict=False):
        if "lost" in figures:
            _curve(axes, result, figures["lost"], name, color)


def _events(axes: Axes, result: Mapping[str, Any]) -> None:
    axes.set_title("recall (solid), precision (dashed), to the step", fontsize=9)
    events = {"reward > 0": result["reward"]["plus"], "reward < 0": result["reward"]["minus"], "end": result["end"]}
    for color, (name, figures) in zip(_COLORS, events.items(), strict=False):
        _curve(axes, result, figures["recall"], f"{name} ({sum(figures['real'])} in truth)", color)
        _curve(axes, result, figures["precision"], "", color, "--")
    axes.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_ylim(0, 1.05)


def _curve(
    axes: Axes, result: Mapping[str, Any], values: Sequence[float | None], name: str, color: str, style: str = "-"
) -> None:
    """A line over the horizons at which there is a number; without a name it has no entry in the legend."""
    known = [math.nan if value is None else value for value in values]  # JSON has no nan
    points = [(step, value) for step, value in zip(result["horizons"], known, strict=True) if math.isfinite(value)]
    label = name or "_nolegend_"
    axes.plot(
        *zip(*points, strict=True) if points else ([], []),
        color=LIGHT[color],
        ls=style,
        marker="o",
        ms=3.5,
        lw=1.5,
        label=label,
    )
