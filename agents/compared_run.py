"""What a finished run says of itself: its evaluation, its training curve and how it is called beside others."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_discrete.agents.evaluated_run import RESULT as EVALUATION
from rl_discrete.runs.config import read_yaml
from rl_discrete.runs.errors import RunError, UsageError
from rl_discrete.runs.metrics import read_metrics

_KIND = {"simple": ("world_model", "encoder", "prior", "algo"), "vast": ("encoder",)}
"""Settings that tell apart what goes by the same agent's name."""


@dataclass(frozen=True)
class ComparedRun:
    """One run, as `compare` sees it."""

    run: Path
    env: str
    label: str
    """What was trained; runs with the same env and label differ in their seed only."""
    seed: int
    step: int
    """Env steps of the training that was evaluated."""
    episodes: int
    score: float
    """Mean return of the evaluation."""
    interval: tuple[float, float]
    """Of that mean, 95 %, over its episodes."""
    greedy: float | None
    """Mean return with the best action always, where it was evaluated too."""
    curve: tuple[tuple[int, float], ...]
    """(env step, mean return) of the episodes that ended in each window of the training."""


def read_run(run: Path) -> ComparedRun:
    """The run in a folder.

    Raises:
        UsageError: no run of `train`, or one that was not evaluated.
        RunError: its files are damaged.
    """
    settings = read_yaml(run / "config.yaml")
    if not isinstance(agent := settings.get("agent"), str):
        raise UsageError(f"{run} holds no run of train: compare runs of rl-discrete train")
    if not (run / EVALUATION).exists():
        raise UsageError(f"{run} was not evaluated: run `rl-discrete eval --run {run}` first")
    found = _read(run / EVALUATION)
    try:
        low, high = found["interval"]
        greedy = found.get("greedy")
        return ComparedRun(
            run=run,
            env=str(found["env"]),
            label=label_of(agent, settings),
            seed=int(settings.get("seed", 0)),
            step=int(found["step"]),
            episodes=int(found["episodes"]),
            score=float(found["mean"]),
            interval=(float(low), float(high)),
            greedy=None if greedy is None else float(greedy["mean"]),
            curve=read_curve(run),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run / EVALUATION} is damaged ({error}): run eval again") from None


def label_of(agent: str, settings: Mapping[str, Any]) -> str:
    """What was trained, in a few words, such as `simple code ish lstm ppo`."""
    return " ".join([agent, *(str(settings[name]) for name in _KIND.get(agent, ()) if name in settings)])


def read_curve(run: Path) -> tuple[tuple[int, float], ...]:
    """(env step, mean return) for each line of metrics in which episodes of the real env ended."""
    points = ((line["step"], line.get("episode/return")) for line in read_metrics(run / "metrics.jsonl"))
    return tuple((step, value) for step, value in points if value is not None and math.isfinite(value))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}): run eval again") from None
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged (no mapping): run eval again")
    return found
