"""The figures of `compare`: what each run earned while it trained, and what each group earns in the end."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_discrete.bench.charts import WIDTH
from rl_discrete.bench.figures import CHART_DPI, STYLE
from rl_discrete.bench.palette import LIGHT
from rl_discrete.runs.durable import disk_errors, replace_file, write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESULT, CURVES, SCORES = "compare.json", "curves.png", "scores.png"
_COLORS = ("ish", "gs", "ink", "gs-soft", "mid", "gs-faint", "pale")


def write_comparison(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes `compare.json` and the figures, each replaced atomically; returns their paths.

    Raises:
        RunError: the disk refused.
    """
    import matplotlib

    written = [folder / RESULT]
    with disk_errors(folder), matplotlib.rc_context(STYLE):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RESULT, result)
        for name, figure in ((CURVES, curve_chart(result)), (SCORES, score_chart(result))):
            if figure is None:
                (folder / name).unlink(missing_ok=True)  # of an earlier comparison
                continue
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=CHART_DPI, metadata={"Software": None})
            replace_file(folder / name, content.getvalue())
            written.append(folder / name)
    return written


def curve_chart(result: Mapping[str, Any]) -> Figure | None:
    """Training returns against env steps, a panel for each env and a line for each run; None without any."""
    from matplotlib.figure import Figure

    runs = [run for run in result["runs"] if run["curve"]]
    envs = list(dict.fromkeys(run["env"] for run in runs))
    if not envs:
        return None
    figure = Figure(figsize=(WIDTH, 2.7 * len(envs) + 0.3), layout="constrained")
    colors = _colors(result)
    for axes, env in zip(figure.subplots(len(envs), 1, squeeze=False).ravel(), envs, strict=True):
        named: set[str] = set()
        for run in runs:
            if run["env"] == env:
                label = "_nolegend_" if run["label"] in named else run["label"]
                named.add(run["label"])
                axes.plot(*zip(*run["curve"], strict=True), color=colors[run["label"]], lw=1.3, label=label)
                error = [[run["score"] - run["interval"][0]], [run["interval"][1] - run["score"]]]
                axes.errorbar(run["step"], run["score"], error, color=colors[run["label"]], marker="o", ms=4, capsize=2)
        _references(axes, _published(result, env))
        axes.set_title(f"{env}: return while training; dots: evaluation", fontsize=9)
        axes.set_xlabel("env steps")
        axes.grid(axis="y")
        axes.legend(frameon=False, fontsize=7.5)
    return figure


def score_chart(result: Mapping[str, Any]) -> Figure:
    """The interquartile mean of each group with its interval, and a dot for each run."""
    from matplotlib.figure import Figure

    envs = list(dict.fromkeys(group["env"] for group in result["groups"]))
    sizes = [sum(group["env"] == env for group in result["groups"]) for env in envs]
    figure = Figure(figsize=(WIDTH, 0.32 * sum(sizes) + 0.8 * len(envs) + 0.2), layout="constrained")
    colors = _colors(result)
    panels = figure.subplots(len(envs), 1, squeeze=False, height_ratios=[size + 1 for size in sizes]).ravel()
    for axes, env in zip(panels, envs, strict=True):
        groups = [group for group in result["groups"] if group["env"] == env]
        for place, group in enumerate(groups):
            color = colors[group["label"]]
            low, high = group["iqm_interval"] or (group["iqm"], group["iqm"])
            axes.barh(place, high - low, left=low, height=0.5, color=color, alpha=0.3)
            axes.vlines(group["iqm"], place - 0.32, place + 0.32, color=color, lw=2)
            axes.plot(group["scores"], [place] * len(group["scores"]), ls="", marker="o", ms=3.5, color=color)
        _references(axes, _published(result, env), upright=True)
        axes.set_yticks(range(len(groups)), labels=[group["label"] for group in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_title(f"{env}: interquartile mean, 95 % over seeds; dots: runs", fontsize=9)
        axes.grid(axis="x")
    return figure


def _colors(result: Mapping[str, Any]) -> dict[str, str]:
    labels: Sequence[str] = list(dict.fromkeys(group["label"] for group in result["groups"]))
    return {label: LIGHT[_COLORS[place % len(_COLORS)]] for place, label in enumerate(labels)}


def _published(result: Mapping[str, Any], env: str) -> Mapping[str, Any] | None:
    return next((group for group in result["groups"] if group["env"] == env and "human" in group), None)


def _references(axes: Axes, scores: Mapping[str, Any] | None, upright: bool = False) -> None:
    """Lines for chance, the human and SimPLe, with their names."""
    for name, words in (("random", "random"), ("human", "human"), ("reprinted", "SimPLe")):
        if scores is None:
            continue
        value = scores[name]
        draw = axes.axvline if upright else axes.axhline
        draw(value, color=LIGHT["mid"], lw=0.9, ls=(0, (4, 3)))
        style: Any = {"textcoords": "offset points", "fontsize": 7, "color": LIGHT["muted"]}
        is_simple = name == "reprinted"  # often near the human: its name goes out of the way
        if upright:
            side, shift = ("right", -2) if is_simple else ("left", 2)
            axes.annotate(words, (value, 0.0), (shift, 2), xycoords=("data", "axes fraction"), ha=side, **style)
        else:
            place = 0.1 if is_simple else 0.0
            axes.annotate(words, (place, value), (2, 2), xycoords=("axes fraction", "data"), **style)
