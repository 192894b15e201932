"""How well the codes of a VaST run abstract, and how well its table is planned: everything that `diagnose` measures.

A frozen copy of the newest checkpoint's agent plays fresh episodes in the real env. The env's true state (a grid's
cell, a player's pose, a game's memory) is written down beside its codes; nothing else ever reads it.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rl_discrete.agents.learned_mdp import load_mdp
from rl_discrete.agents.trained_agent import changes_made, make_changed_env
from rl_discrete.agents.vast import one_thread
from rl_discrete.agents.vast_policy import PARTS, restore_policy
from rl_discrete.analysis.code_figures import play_figures, state_figures, usage_figures
from rl_discrete.analysis.diagnostic_charts import write_charts
from rl_discrete.analysis.diagnostics_config import DiagnosticsConfig
from rl_discrete.analysis.fresh_play import play
from rl_discrete.analysis.run_history import churn_figures, read_course, read_probes
from rl_discrete.analysis.table_figures import size_figures, value_figures
from rl_discrete.analysis.true_states import read_states
from rl_discrete.runs import durable
from rl_discrete.runs.folder import collect_versions
from rl_discrete.runs.progress import Progress

SCHEMA_VERSION = 1
FOLDER, RESULT = "diagnostics", "diagnostics.json"


def diagnose_run(run: Path, config: DiagnosticsConfig | None = None, command: str = "") -> dict[str, Any]:
    """Measures codes, table and planner of a run of `rl-discrete train --agent vast`.

    Writes `diagnostics/diagnostics.json` and figures into the run folder, in place of earlier ones; nothing else in it
    changes. The world is as it was at the checkpoint: changes that the run had made by then are made here too.

    Args:
        run: the run folder.
        config: the settings; None for the defaults.
        command: the command line, for the record.

    Returns:
        What the JSON file holds. `states` is None where the env has no `diagnostic_state`.

    Raises:
        UsageError: the folder holds no such run, it has no checkpoint yet, or its env cannot be made.
        RunError: its checkpoints are damaged, a reward is not finite, or the disk refused.
    """
    begin = time.monotonic()
    config = DiagnosticsConfig() if config is None else config
    with one_thread(), Progress() as progress:
        mdp = load_mdp(run, PARTS, warn=progress.log)
        checkpoint, settings = mdp.checkpoint, mdp.config
        policy = restore_policy(settings, checkpoint, planner=mdp.planner)
        changed = changes_made(checkpoint.meta["changed"])
        task = progress.add(f"fresh episodes of {settings.env}, steps", config.steps)
        played = play(
            policy,
            partial(make_changed_env, settings.env, settings.env_kwargs, changed),
            config,
            lambda made: progress.update(task, min(made, config.steps)),
        )
        progress.finish(task)
        truth = None if played.states is None else read_states(played.states, config)
        probes = read_probes(checkpoint)
        encoder = policy.encoder
        result = {
            "schema_version": SCHEMA_VERSION,
            "env": settings.env,
            "env_kwargs": settings.env_kwargs,
            "changed": changed,
            "encoder": settings.encoder,
            "seed": settings.seed,
            "step": checkpoint.step,
            "checkpoint": checkpoint.path.name,
            "settings": asdict(config),
            "command": command,
            "versions": collect_versions(),
            "play": play_figures(played),
            "codes": usage_figures(played.keys, encoder.num_latents, encoder.num_categories),
            "states": None if truth is None else state_figures(played, truth, config),
            "table": size_figures(mdp.planner),
            "planner": value_figures(mdp.planner, mdp.transitions, settings.planner.discount),
            "churn": {
                "probes_from": "fresh episodes" if probes is None else "the run",
                **churn_figures(
                    settings,
                    checkpoint,
                    mdp.planner,
                    played.samples if probes is None else probes,
                    progress.log,
                ),
            },
            "course": read_course(run, checkpoint.step),
            "seconds": time.monotonic() - begin,
        }
        folder = run / FOLDER
        with durable.disk_errors(folder):
            folder.mkdir(exist_ok=True)
        write_charts(result, played, truth, folder)
        durable.write_json(folder / RESULT, result)
    plain: dict[str, Any] = durable.plain(result)
    return plain
