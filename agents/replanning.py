"""New values of a learned MDP for any other reward, with zero env steps; and what they are worth in the env."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from rl_discrete.agents.learned_mdp import LearnedMDP, load_mdp
from rl_discrete.agents.run_config import ReplanConfig
from rl_discrete.agents.solved_table import SolvedTable
from rl_discrete.agents.trained_agent import changes_made, make_changed_env
from rl_discrete.agents.trial import Trial, try_policy
from rl_discrete.agents.vast import one_thread
from rl_discrete.agents.vast_policy import PARTS, restore_policy
from rl_discrete.agents.vast_run import TABLE
from rl_discrete.mdp.lookup import ReadablePlanner
from rl_discrete.mdp.rewards import named_rewards
from rl_discrete.mdp.solve import Solution, replan
from rl_discrete.runs import durable
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.folder import collect_versions
from rl_discrete.runs.progress import Progress

SCHEMA_VERSION = 1
FOLDER = "replans"


@dataclass(frozen=True)
class Replan:
    """New values of a run's table."""

    path: Path
    """The file with the values; what else is here stands beside it, as JSON, and was there first."""
    step: int
    """Env steps behind the table."""
    states: int
    """S."""
    edges: int
    """Distinct transitions seen."""
    iterations: int
    """Sweeps of the exact solver over all pairs."""
    seconds: float
    """Time that the new values took, with the reading of the reward."""
    trials: dict[str, Trial]
    """Old values in the env as it was (`former`) and as it is after the changes (`before`), new values there (`after`).
    Empty without a trial, and without `former` where nothing changed."""


def replan_run(run: Path, reward: str, config: ReplanConfig | None = None, command: str = "") -> Replan:
    """Plans for another reward in the learned MDP of a run of `rl-discrete train --agent vast`.

    Writes `replans/NAME.npz` (`keys` uint64 (S, W), `values` (S,), `q_values` (S, A) with nan where untried, `counts`
    (S, A)) and `replans/NAME.json`. The run's own files do not change, and a trial adds nothing to the table.

    Args:
        run: the run folder.
        reward: the new reward, an expression or the path of a file: see `mdp.rewards`.
        config: the settings; None for the defaults.
        command: the command line, for the record.

    Raises:
        UsageError: the folder holds no such run, or it has no checkpoint yet; a reward that cannot be read or does not
            fit the table, a name that is taken, or a change that the env does not know.
        RunError: the checkpoints are damaged, a reward of the env is not finite, or the disk refused.
    """
    config = ReplanConfig() if config is None else config
    with one_thread(), Progress() as progress:
        mdp = load_mdp(run, PARTS if config.steps else (TABLE,), config.checkpoint, progress.log)
        next(_free_targets(run / FOLDER, config.name))  # a name that is taken is said before the work
        begin = time.perf_counter()
        rewards = named_rewards(reward, mdp.transitions)
        solution = replan(mdp.transitions, rewards, mdp.config.planner.discount, config.tolerance)
        seconds = time.perf_counter() - begin
        trials = _try_values(mdp, solution, config, progress) if config.steps else {}
    described = {
        "schema_version": SCHEMA_VERSION,
        "reward": reward,
        "step": mdp.checkpoint.step,
        "states": mdp.transitions.num_states,
        "edges": mdp.transitions.num_edges,
        "discount": mdp.config.planner.discount,
        "tolerance": config.tolerance,
        "iterations": solution.iterations,
        "seconds": seconds,
        "trial": _describe_trials(trials, config),
        "command": command,
        "versions": collect_versions(),
    }
    return Replan(
        _write(run / FOLDER, config.name, _packed(mdp, solution), described),
        mdp.checkpoint.step,
        mdp.transitions.num_states,
        mdp.transitions.num_edges,
        solution.iterations,
        seconds,
        trials,
    )


def _try_values(mdp: LearnedMDP, solution: Solution, config: ReplanConfig, progress: Progress) -> dict[str, Trial]:
    """Old values against new ones, from the same starts."""
    made = changes_made(mdp.checkpoint.meta["changed"])
    changed = made + config.change
    make_changed_env(mdp.config.env, mdp.config.env_kwargs, changed).close()  # fails early where it cannot change
    new = SolvedTable(mdp.transitions, solution)
    plans: dict[str, tuple[ReadablePlanner, tuple[str, ...]]] = {"former": (mdp.planner, made)} if config.change else {}
    plans |= {"before": (mdp.planner, changed), "after": (new, changed)}
    trials = {}
    for name, (planner, changes) in plans.items():
        task = progress.add(f"{name}, steps", config.steps)
        trials[name] = try_policy(
            restore_policy(mdp.config, mdp.checkpoint, config.epsilon, config.seed, planner),
            partial(make_changed_env, mdp.config.env, mdp.config.env_kwargs, changes),
            config.steps,
            config.seed,
            max_steps=config.max_steps,
            num_envs=config.num_envs,
            report=partial(progress.update, task),
        )
        progress.finish(task)
    return trials


def _free_targets(folder: Path, name: str | None) -> Iterator[Path]:
    """Where the values can go: by the given name, or by the free numbers.

    Raises:
        UsageError: the name is taken.
    """
    for candidate in [name] if name is not None else (f"replan-{number:03d}" for number in count()):
        target = folder / f"{candidate}.npz"
        if not target.exists() and not target.with_suffix(".json").exists():
            yield target
    raise UsageError(f"{folder} has a {name} already; choose another --name, or drop it for the next free number")


def _write(folder: Path, name: str | None, values: bytes, described: dict[str, Any]) -> Path:
    """The description takes the name, the values come last: where they are, all is, whoever else writes here."""
    content = durable.json_bytes(described)
    with durable.disk_errors(folder):
        folder.mkdir(exist_ok=True)
        durable.sweep(folder)
        for target in _free_targets(folder, name):
            try:
                durable.create_file(target.with_suffix(".json"), content)
            except FileExistsError:  # another process took it just now
                continue
            break
        try:
            durable.replace_file(target, values)
        except BaseException:
            target.with_suffix(".json").unlink()
            raise
    return target


def _packed(mdp: LearnedMDP, solution: Solution) -> bytes:
    file = io.BytesIO()
    np.savez(
        file,
        keys=mdp.transitions.keys,
        values=solution.values,
        q_values=solution.q_values,
        counts=mdp.transitions.counts,
    )
    return file.getvalue()


def _describe_trials(trials: dict[str, Trial], config: ReplanConfig) -> dict[str, Any] | None:
    if not trials:
        return None
    return {
        "change": config.change,
        "epsilon": config.epsilon,
        "max_steps": config.max_steps,
        "num_envs": config.num_envs,
        "seed": config.seed,
        **{name: trial.to_json() for name, trial in trials.items()},
    }
