"""The checkpoint of a run that a command is to work on: the newest good one, or one that the user names."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from rl_discrete.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    read_checkpoint,
)
from rl_discrete.runs.errors import UsageError


def find_checkpoint(
    run: Path, parts: Collection[str], checkpoint: Path | None = None, warn: Callable[[str], None] = print
) -> Checkpoint:
    """A checkpoint of a run; nothing of the run is changed.

    Args:
        run: the run folder.
        parts: what is read and verified.
        checkpoint: its folder among the run's checkpoints; older ones too, as far as they hold the parts. None for the
            newest that is good.
        warn: receives a line where the newest is damaged.

    Raises:
        UsageError: the run has no checkpoint yet, or `checkpoint` is none of its.
        RunError: its checkpoints are damaged, or lack one of the parts.
    """
    if checkpoint is not None:
        _check_owner(run, checkpoint)
        return read_checkpoint(checkpoint, parts)
    found = load_checkpoint(run / "checkpoints", parts, warn)
    if found is None:
        raise UsageError(f"{run} has no checkpoint yet: continue it with --resume")
    return found


def _check_owner(run: Path, checkpoint: Path) -> None:
    """That of another run would be read with this one's config, and pass where the shapes agree."""
    own = run / "checkpoints"
    found = os.path.isdir(checkpoint)
    if not found or os.path.dirname(os.path.realpath(checkpoint)) != os.path.realpath(own):
        held = ", ".join(path.name for path in list_checkpoints(own)) or "none"
        problem = f"{checkpoint} is no checkpoint of {run}" if found else f"there is no checkpoint {checkpoint}"
        raise UsageError(f"{problem}; {own} holds {held}")


def earlier_commits(run: Path, checkpoint: Checkpoint) -> dict[int, dict[str, Any]]:
    """What the replay of a run committed for the checkpoint before this one, by its step, if that can be loaded."""
    commits = {}
    for path in list_checkpoints(run / "checkpoints"):
        try:
            earlier = read_checkpoint(path, parts=())
        except CheckpointError:
            continue
        if earlier.step < checkpoint.step:
            commits[earlier.step] = earlier.meta["replay"]
    return dict(list(commits.items())[-1:])
