"""Draws the learning curves of the raw files here into curves.png and recovery.png, and prints their last windows.

    python docs/results/vast/curves.py

A file is called TASK-ENCODER-sSEED.json and is the result.json of a run, or, where the task is `replan`, what
`rl-discrete replan --steps N --change ...` wrote.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

HERE = Path(__file__).parent
TASKS = {
    "plus": "plus-maze",
    "t": "T-maze",
    "h": "H-maze",
    "hall": "hall",
    "hazard": "hall with hazards",
    "pong": "Pong",
}
RECOVERIES = {
    "plus_reversal": "plus-maze, rewards reversed",
    "t": "T-maze, passage opened",
    "h": "H-maze, teleporter opened",
}
COLOURS = {
    "ish": "tab:blue",
    "gs": "tab:blue",
    "cells": "tab:green",
    "vast": "tab:purple",
    "untrained": "tab:brown",
    "keeps_all": "tab:brown",
    "simhash": "tab:orange",
    "ppo": "tab:red",
    "random": "tab:gray",
}
REPLANNED = "plus-maze, rewards reversed, new values at once"
LAST_STEPS = 8000
CHANGED_AT = 30_000


def read_runs() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Finished runs by task and encoder, in the order of their seeds."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(HERE.glob("*-s*.json")):
        match = re.fullmatch(r"([a-z_]+)-([a-z_]+)-s(\d+)", path.stem)
        found = json.loads(path.read_text(encoding="utf-8"))
        if match and "windows" in found:
            runs[match[1]][match[2]].append(found)
    return runs


def read_trials() -> dict[str, list[dict[str, Any]]]:
    """Trials of new values by encoder, as far as their files have curves and a world that changed."""
    trials: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(HERE.glob("replan-*-s*.json")):
        trial = json.loads(path.read_text(encoding="utf-8")).get("trial") or {}
        if "windows" in trial.get("former", {}):
            trials[path.stem.split("-")[1]].append(trial)
    return trials


def mean_over(windows: list[dict[str, Any]], name: str, first: float, last: float) -> float:
    """Mean of a metric over the windows that end in (first, last] env steps."""
    values = [window[name] for window in windows if first < window["step"] <= last and window.get(name) is not None]
    return float(np.mean(values)) if values else float("nan")


def summarize(task: str, encoder: str, run: dict[str, Any]) -> str:
    """A row: rewards and ends of the last steps before any change."""
    windows = run["windows"]
    end = windows[-1]["step"] if task == "pong" or len(windows) < 5 else min(windows[-1]["step"], CHANGED_AT)
    chosen = [window for window in windows if end - LAST_STEPS < window["step"] <= end]
    plus, minus = (sum(window[f"ends/{kind}"] for window in chosen) for kind in ("plus", "minus"))
    reward = mean_over(windows, "reward_per_step", end - LAST_STEPS, end)
    share = plus / (plus + minus) if plus + minus else float("nan")
    last = chosen[-1]
    states, moved = last.get("table/states") or float("nan"), last.get("codes/reassigned_probes") or float("nan")
    return (
        f"| {task} | {encoder} | {run['seed']} | {reward:.4f} | {plus:.0f} / {minus:.0f} | {share:.3f} "
        f"| {states:.0f} | {moved:.3f} | {run['seconds_total'] / 60:.1f} |"
    )


def draw(
    runs: dict[str, dict[str, list[dict[str, Any]]]],
    titles: dict[str, str],
    path: Path,
    recovery: bool,
    trials: dict[str, list[dict[str, Any]]] | None = None,
) -> None:
    """A panel for each task: reward per step over env steps, the mean of the seeds and each of them. One for trials."""
    shown = [task for task in titles if task in runs]
    panels = len(shown) + bool(trials)
    columns = 2 if panels == 4 else min(3, panels)
    rows = -(-panels // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.1 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[panels:]:
        axis.set_axis_off()
    if trials:
        draw_trials(axes.flat[panels - 1], trials)
    for axis, task in zip(axes.flat, shown, strict=False):
        for encoder, colour in COLOURS.items():
            curves = []
            for run in runs[task].get(encoder, []):
                windows = run["windows"]
                limit = windows[-1]["step"] if recovery or task == "pong" else CHANGED_AT
                steps = [window["step"] / 1000 for window in windows if window["step"] <= limit]
                curves.append([window["reward_per_step"] for window in windows if window["step"] <= limit])
                axis.plot(steps, curves[-1], color=colour, linewidth=0.7, alpha=0.4)
            if curves:
                shortest = min(map(len, curves))
                mean = np.mean([curve[:shortest] for curve in curves], axis=0)
                seeds = f"{len(curves)} seed{'s' if len(curves) > 1 else ''}"
                axis.plot(steps[:shortest], mean, color=colour, linewidth=1.8, label=f"{encoder}, {seeds}")
        if recovery:
            axis.axvline(CHANGED_AT / 1000, color="black", linewidth=0.8, linestyle="--")
        label_axis(axis, titles[task], "env steps, thousands")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_trials(axis: Axes, trials: dict[str, list[dict[str, Any]]]) -> None:
    """Old values in the old world, up to step 0, then old and new ones in the changed one: means over the seeds."""
    for encoder, runs in trials.items():
        for name, words, style in (
            ("former", "", "-"),
            ("before", ", old values", ":"),
            ("after", ", new values", "-"),
        ):
            steps = np.array([window["step"] for window in runs[0][name]["windows"]]) / 1000
            if name == "former":
                steps -= steps[-1]
            mean = np.mean([[window["reward_per_step"] for window in run[name]["windows"]] for run in runs], axis=0)
            label = f"{encoder}{words}, {len(runs)} seed{'s' if len(runs) > 1 else ''}" if words else None
            axis.plot(steps, mean, color=COLOURS[encoder], linewidth=1.8, linestyle=style, label=label)
    axis.axvline(0, color="black", linewidth=0.8, linestyle="--")
    label_axis(axis, REPLANNED, "env steps since the change, thousands")


def label_axis(axis: Axes, title: str, steps: str) -> None:
    """What all panels have."""
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(steps)
    axis.set_ylabel("reward per step")
    axis.grid(alpha=0.25)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7)


def main() -> None:
    """Prints the table, then draws both figures."""
    runs = read_runs()
    print("| task | encoder | seed | reward per step | goal / penalty | share | states | reassigned | minutes |")
    for task in runs:
        for encoder in runs[task]:
            for run in runs[task][encoder]:
                print(summarize(task, encoder, run))
    draw(runs, TASKS, HERE / "curves.png", recovery=False)
    draw(runs, RECOVERIES, HERE / "recovery.png", recovery=True, trials=read_trials())


if __name__ == "__main__":
    main()
