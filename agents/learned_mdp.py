"""The MDP that a VaST run has learned, as it stands in one of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rl_discrete.agents.config import VastConfig
from rl_discrete.agents.run_checkpoint import find_checkpoint
from rl_discrete.agents.tabulation import load_planner
from rl_discrete.agents.vast_policy import load_config
from rl_discrete.agents.vast_run import TABLE
from rl_discrete.mdp.sweeping import PrioritizedSweeping
from rl_discrete.mdp.transitions import Transitions
from rl_discrete.runs.checkpoint import Checkpoint


@dataclass(frozen=True)
class LearnedMDP:
    """A table and its values, read from a checkpoint."""

    config: VastConfig
    """Of the run."""
    checkpoint: Checkpoint
    """Where it stood."""
    planner: PrioritizedSweeping
    """The values that the run had planned, and the table itself."""
    transitions: Transitions
    """A picture of that table."""


def load_mdp(
    run: Path,
    parts: tuple[str, ...] = (TABLE,),
    checkpoint: Path | None = None,
    warn: Callable[[str], None] = print,
) -> LearnedMDP:
    """The learned MDP of a run of `rl-discrete train --agent vast`; nothing of the run is changed.

    Args:
        run: the run folder.
        parts: parts of the checkpoint to read, the table among them.
        checkpoint: one of its checkpoints, older ones too; None for the newest that is good.
        warn: receives a line where the newest checkpoint is damaged.

    Raises:
        UsageError: the folder holds no such run, or it has no checkpoint yet.
        RunError: its checkpoints are damaged.
    """
    config = load_config(run)
    found = find_checkpoint(run, parts, checkpoint, warn)
    planner = load_planner(found.arrays[TABLE])
    return LearnedMDP(config, found, planner, planner.table.transitions())
