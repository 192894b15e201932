"""Runs beside each other and beside the published scores, with the intervals that few seeds allow.

The interquartile mean with stratified bootstrap intervals, as Agarwal et al. (2021, arXiv 2108.13264) recommend for a
handful of runs: the mean of the middle half of all runs' scores, resampled run by run within each game.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.atari_scores import published
from rl_discrete.agents.compared_run import ComparedRun, read_run
from rl_discrete.agents.run_config import CompareConfig
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import collect_versions
from rl_discrete.runs.seeding import derive_seed

Floats: TypeAlias = NDArray[np.float64]

SCHEMA_VERSION = 1
PUBLISHED = "SimPLe (published)"
_BLOCK = 100  # resamples drawn together


def compare_runs(runs: Sequence[Path], config: CompareConfig | None = None, command: str = "") -> dict[str, Any]:
    """Groups runs by env and by what was trained, and sums up each group over its seeds; writes nothing.

    Args:
        runs: run folders, all of them evaluated by `rl-discrete eval`.
        config: the settings; None for the defaults.
        command: the command line, for the record.

    Returns:
        `runs`, each with its score and curve; `groups`, by env and label, with the scores of their runs, `mean`, `iqm`
        and their intervals (None for one run), and human-normalised where the env has published scores; the five
        published runs of SimPLe are a group of their own. `overall`, by label: the interquartile mean of the
        human-normalised scores over all games of the table, where there are any.

    Raises:
        UsageError: no run, the same run twice, or one that was not evaluated.
        RunError: damaged files.
    """
    begin = time.monotonic()
    config = CompareConfig() if config is None else config
    if not runs:
        raise UsageError("name at least one run folder")
    resolved = [run.resolve() for run in runs]
    for run, path in zip(runs, resolved, strict=True):
        if resolved.count(path) > 1:
            raise UsageError(f"{run} is named twice: name each run once")
    read = [read_run(run) for run in runs]
    groups = [
        *(_group([run for run in read if (run.env, run.label) == key], config) for key in _keys(read)),
        *(_published_group(env, config) for env in dict.fromkeys(run.env for run in read) if published(env)),
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "versions": collect_versions(),
        "settings": {"resamples": config.resamples, "seed": config.seed},
        "runs": [vars(run) for run in read],
        "groups": groups,
        "overall": _overall(groups, config),
        "seconds": time.monotonic() - begin,
    }


def interquartile_mean(scores: Floats) -> Floats:
    """Mean over the last axis without the lowest and the highest quarter, rounded down to whole scores."""
    cut = scores.shape[-1] // 4
    ordered = np.sort(scores, axis=-1)
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def mean_of(scores: Floats) -> Floats:
    """Mean over the last axis."""
    return np.asarray(scores.mean(axis=-1))


def bootstrap_interval(
    strata: Sequence[Floats], statistic: Callable[[Floats], Floats], resamples: int, generator: np.random.Generator
) -> tuple[float, float] | None:
    """95 % percentile interval of a statistic of all scores, resampled within each stratum.

    Args:
        strata: the scores of each, for example of each game.
        statistic: maps (R, N) to (R,).
        resamples: how many.
        generator: draws them.

    Returns:
        The two ends; None where no stratum has two scores, because then nothing is known of the spread.
    """
    if all(len(scores) < 2 for scores in strata):
        return None
    found = []
    for first in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - first)
        drawn = [scores[generator.integers(len(scores), size=(count, len(scores)))] for scores in strata]
        found.append(statistic(np.concatenate(drawn, axis=1)))
    low, high = np.percentile(np.concatenate(found), (2.5, 97.5))
    return float(low), float(high)


def _keys(runs: Sequence[ComparedRun]) -> list[tuple[str, str]]:
    """(env, label), in the order of the first run of each env, then of each label."""
    envs, labels = (list(dict.fromkeys(getattr(run, name) for run in runs)) for name in ("env", "label"))
    there = {(run.env, run.label) for run in runs}
    return [(env, label) for env in envs for label in labels if (env, label) in there]


def _group(runs: Sequence[ComparedRun], config: CompareConfig) -> dict[str, Any]:
    first = runs[0]
    greedy = [run.greedy for run in runs if run.greedy is not None]
    return {
        **_summary(first.env, first.label, np.array([run.score for run in runs]), config),
        "greedy": float(np.mean(greedy)) if len(greedy) == len(runs) else None,
        "steps": [run.step for run in runs],
        "seeds": [run.seed for run in runs],
        "episodes": [run.episodes for run in runs],
    }


def _published_group(env: str, config: CompareConfig) -> dict[str, Any]:
    scores = published(env)
    assert scores is not None
    return {
        **_summary(env, PUBLISHED, np.array(scores.seeds), config),
        "reprinted": scores.simple,
        "random": scores.random,
        "human": scores.human,
    }


def _summary(env: str, label: str, scores: Floats, config: CompareConfig) -> dict[str, Any]:
    generator = np.random.default_rng(derive_seed(config.seed, "compare", env, label))
    game, mean = published(env), float(scores.mean())
    return {
        "env": env,
        "label": label,
        "scores": scores.tolist(),
        "mean": mean,
        "mean_interval": bootstrap_interval([scores], mean_of, config.resamples, generator),
        "iqm": float(interquartile_mean(scores)),
        "iqm_interval": bootstrap_interval([scores], interquartile_mean, config.resamples, generator),
        "human_normalised": None if game is None else game.normalise(mean),
    }


def _overall(groups: Sequence[Mapping[str, Any]], config: CompareConfig) -> list[dict[str, Any]]:
    """Over the games, for each label: human-normalised scores of all runs together."""
    found = []
    for label in dict.fromkeys(group["label"] for group in groups):
        strata, games = [], []
        for group in groups:
            game = published(group["env"])
            if group["label"] == label and game is not None:
                strata.append(np.array([game.normalise(score) for score in group["scores"]]))
                games.append(group["env"])
        if strata:
            generator = np.random.default_rng(derive_seed(config.seed, "compare", "overall", label))
            pooled = np.concatenate(strata)
            found.append(
                {
                    "label": label,
                    "envs": games,
                    "runs": len(pooled),
                    "mean": float(np.mean([scores.mean() for scores in strata])),
                    "median": float(np.median([scores.mean() for scores in strata])),
                    "iqm": float(interquartile_mean(pooled)),
                    "iqm_interval": bootstrap_interval(strata, interquartile_mean, config.resamples, generator),
                }
            )
    return found
