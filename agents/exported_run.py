"""The MDP that a run has learned, with its exact values, as a file for other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rl_discrete.agents.learned_mdp import load_mdp
from rl_discrete.agents.run_config import ExportConfig
from rl_discrete.mdp.export import export
from rl_discrete.mdp.solve import solve
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.errors import UsageError


def export_run(
    run: Path, out: Path, config: ExportConfig | None = None, warn: Callable[[str], None] = print
) -> Transitions:
    """Writes the learned MDP of a run of `rl-discrete train --agent vast` to a file.

    The values beside it are exact for the table as it stands, where those of the run had been planned with a budget.

    Args:
        run: the run folder; nothing in it changes.
        out: the file; its suffix says the format, see `mdp.export`.
        config: the settings; None for the defaults.
        warn: receives a line where the newest checkpoint is damaged.

    Returns:
        What was written.

    Raises:
        UsageError: the folder holds no such run, or it has no checkpoint yet; the file exists, its suffix is unknown,
            or its folder is missing.
        RunError: the checkpoints are damaged, or the disk refused.
    """
    config = ExportConfig() if config is None else config
    if out.exists():
        raise UsageError(f"--out {out} exists; choose another file, or remove it")
    mdp = load_mdp(run, checkpoint=config.checkpoint, warn=warn)
    solution = solve(mdp.transitions, mdp.config.planner.discount, config.tolerance)
    export(mdp.transitions, out, solution)
    return mdp.transitions
