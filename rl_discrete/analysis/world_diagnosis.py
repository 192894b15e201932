"""How far the world model of a run strays from the real env: what `diagnose` measures where a world model was trained.

Fresh episodes of the run's agent in its real env, which nothing was fitted to, say what should have come. Where the
env is a game whose memory is known, the memory says where its objects truly are; nothing else ever reads it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rl_discrete.agents.rollout_errors import measure_rollouts
from rl_discrete.agents.simple_checks import load_config
from rl_discrete.agents.table_check import FOLDER, check_model, read_check
from rl_discrete.agents.trained_agent import TrainedAgent, load_agent
from rl_discrete.agents.trained_world import load_replay
from rl_discrete.agents.vast import one_thread
from rl_discrete.analysis.cross_check_chart import write_cross_check
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.analysis.rollout_charts import write_rollout_chart
from rl_discrete.runs import durable
from rl_discrete.runs.folder import collect_versions
from rl_discrete.runs.progress import Progress
from rl_discrete.world_models.base import WorldModel

SCHEMA_VERSION = 1
RESULT, CHART = "rollouts.json", "rollouts.png"


def diagnose_world(
    run: Path, model: WorldModel[Any], config: DiagnosticsConfig | None = None, command: str = ""
) -> dict[str, Any]:
    """Measures the world model of a run of `rl-discrete train --agent simple` at several imagined horizons.

    Writes `diagnostics/rollouts.json` and a figure into the run folder, in place of earlier ones; nothing else in it
    changes.

    Args:
        run: the run folder.
        model: its world model, as from `rl_discrete.load_world_model`.
        config: the settings; None for the defaults.
        command: the command line, for the record.

    Returns:
        What the JSON file holds: see `agents.rollout_errors`, and for `cross_check` `agents.table_check`.

    Raises:
        UsageError: the folder holds no such run, it has no checkpoint yet, or its env cannot be made.
        RunError: its checkpoints are damaged, a reward is not finite, or the disk refused.
    """
    begin = time.monotonic()
    config = DiagnosticsConfig() if config is None else config
    with one_thread(), Progress() as progress:
        agent = load_agent(run, None, config.epsilon, config.seed, progress.log)
        task = progress.add(f"fresh episodes of {agent.env}, steps", config.steps)
        errors = measure_rollouts(
            model,
            agent,
            steps=config.steps,
            num_envs=config.num_envs,
            max_steps=config.max_steps,
            starts=config.starts,
            horizons=config.horizons,
            seed=config.seed,
            report=lambda made: progress.update(task, made),
        )
        progress.finish(task)
        checked = _check(run, model, agent, config, progress)
    result = {
        "schema_version": SCHEMA_VERSION,
        "agent": agent.name,
        "env": agent.env,
        "env_kwargs": agent.env_kwargs,
        "step": agent.step,
        "model": type(model).__name__,
        "settings": asdict(config),
        "command": command,
        "versions": collect_versions(),
        **errors,
        "cross_check": checked,
        "seconds": time.monotonic() - begin,
    }
    _draw(result, run)
    durable.write_json(run / FOLDER / RESULT, result)
    plain: dict[str, Any] = durable.plain(result)
    return plain


def draw_diagnosis(run: Path) -> Path | None:
    """Draws what `train` measured at the end of a run, into its folder; None if nothing was, else the rollouts' figure.

    Raises:
        RunError: the disk refused.
    """
    rollouts = json.loads((run / "result.json").read_text())["rollouts"]
    return None if rollouts is None else _draw(rollouts, run)


def _check(
    run: Path, model: WorldModel[Any], agent: TrainedAgent, config: DiagnosticsConfig, progress: Progress
) -> dict[str, Any] | None:
    """Holds a code model against a table of the run's own steps; None where there is none."""
    if agent.name != "simple":
        return None
    replay = load_replay(run, load_config(run), progress.log)
    task = progress.add("code model beside a table", 1.0)
    checked = check_model(model, replay, agent.make_env, config.seed, run, lambda share: progress.update(task, share))
    progress.finish(task)
    return checked


def _draw(rollouts: Mapping[str, Any], run: Path) -> Path:
    folder = run / FOLDER
    with durable.disk_errors(folder):
        folder.mkdir(exist_ok=True)
    if (check := read_check(run)) is not None:
        write_cross_check(check, folder)
    write_rollout_chart(rollouts, folder / CHART)
    return folder / CHART
