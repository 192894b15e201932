"""How far the world model of a run strays from the real env: what `diagnose` measures where a world model was trained.

Fresh episodes of the run's agent in its real env, which nothing was fitted to, say what should have come. Where the
env is a game whose memory is known, the memory says where its objects truly are; nothing else ever reads it.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rl_discrete.agents.atari_objects import ObjectFinder
from rl_discrete.agents.real_play import RealPlay, record_play
from rl_discrete.agents.rollout_errors import as_pictures, rollout_errors
from rl_discrete.agents.trained_agent import TrainedAgent, load_agent
from rl_discrete.agents.vast import one_thread
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.analysis.rollout_charts import write_rollout_chart
from rl_discrete.runs import durable
from rl_discrete.runs.folder import collect_versions
from rl_discrete.runs.progress import Progress
from rl_discrete.world_models.base import WorldModel

SCHEMA_VERSION = 1
FOLDER, RESULT, CHART = "diagnostics", "rollouts.json", "rollouts.png"
_FITTED_ON = 1500  # frames from which objects are learned


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
        What the JSON file holds: see `rollout_errors`.

    Raises:
        UsageError: the folder holds no such run, it has no checkpoint yet, or its env cannot be made.
        RunError: its checkpoints are damaged, a reward is not finite, or the disk refused.
    """
    begin = time.monotonic()
    config = DiagnosticsConfig() if config is None else config
    with one_thread(), Progress() as progress:
        agent = load_agent(run, None, config.epsilon, config.seed, progress.log)
        task = progress.add(f"fresh episodes of {agent.env}, steps", config.steps)
        play = record_play(
            agent.policy,
            agent.make_env,
            config.steps,
            seed=config.seed,
            num_envs=config.num_envs,
            max_steps=config.max_steps,
            report=lambda made: progress.update(task, made),
        )
        progress.finish(task)
        progress.log(f"{config.starts} rollouts of {max(config.horizons)} imagined steps")
        errors = rollout_errors(
            model,
            play,
            starts=config.starts,
            horizons=config.horizons,
            seed=config.seed,
            finder=learn_objects(agent, play),
        )
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
        "seconds": time.monotonic() - begin,
    }
    folder = run / FOLDER
    with durable.disk_errors(folder):
        folder.mkdir(exist_ok=True)
    write_rollout_chart(result, folder / CHART)
    durable.write_json(folder / RESULT, result)
    plain: dict[str, Any] = durable.plain(result)
    return plain


def learn_objects(agent: TrainedAgent, play: RealPlay) -> ObjectFinder | None:
    """A finder of the objects of the agent's game, learned from the play; None where nothing is known of the env."""
    rows = np.unique(np.linspace(0, len(play) - 1, min(len(play), _FITTED_ON)).astype(np.int64))
    pictures = as_pictures(play.frames[rows])
    if pictures is None or play.states is None:
        return None
    return ObjectFinder.fit(agent.env, pictures, play.states[rows])
