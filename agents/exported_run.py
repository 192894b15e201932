"""The MDP that a run has learned, with its exact values, as a file for other tools."""

from __future__ import annotations

from pathlib import Path

from rl_discrete.agents.learned_mdp import load_mdp
from rl_discrete.agents.run_config import ExportConfig
from rl_discrete.mdp.export import export, export_files
from rl_discrete.mdp.solve import solve
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.durable import check_free
from rl_discrete.runs.progress import Progress


def export_run(run: Path, out: Path, config: ExportConfig | None = None) -> Transitions:
    """Writes the learned MDP of a run of `rl-discrete train --agent vast` to a file.

    The values beside it are exact for the table as it stands, where those of the run had been planned with a budget.

    Args:
        run: the run folder; nothing in it changes.
        out: the file; its suffix says the format, see `mdp.export`.
        config: the settings; None for the defaults.

    Returns:
        What was written.

    Raises:
        UsageError: the folder holds no such run, or it has no checkpoint yet; the file or one that goes with it exists,
            its suffix is unknown, or its folder is missing.
        RunError: the checkpoints are damaged, or the disk refused.
    """
    config = ExportConfig() if config is None else config
    for file in export_files(out):
        check_free(file)
    with Progress() as progress:
        task = progress.add("table read, solved and written", 3)
        mdp = load_mdp(run, checkpoint=config.checkpoint, warn=progress.log)
        progress.update(task, 1)
        solution = solve(mdp.transitions, mdp.config.planner.discount, config.tolerance)
        progress.update(task, 2)
        export(mdp.transitions, out, solution)
        progress.update(task, 3)
    return mdp.transitions
