"""What a run's own files tell of its course: its metrics, and the codes that its checkpoints give the same images."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.config import VastConfig
from rl_discrete.agents.probes import encode
from rl_discrete.agents.vast_policy import restore_policy
from rl_discrete.agents.vast_run import WEIGHTS
from rl_discrete.analysis.code_statistics import churn
from rl_discrete.mdp.lookup import ReadablePlanner
from rl_discrete.mdp.tabular import Keys
from rl_discrete.runs.checkpoint import Checkpoint, CheckpointError, list_checkpoints, read_checkpoint
from rl_discrete.runs.manifest import Manifest
from rl_discrete.runs.metrics import read_metrics

PROBES = "probes"  # the part of a checkpoint that holds the run's probe set
TAGS = {
    "states": "table/states",
    "edges": "table/edges",
    "bytes": "table/bytes",
    "queue": "planner/queue",
    "residual": "planner/residual",
    "sweeps_per_step": "planner/sweeps_per_step",
    "from_neighbours": "lookup/neighbour_share",
    "from_fallback": "lookup/fallback_share",
    "reassigned_replay": "codes/reassigned_replay",
    "reassigned_probes": "codes/reassigned_probes",
    "reassigned_sampled": "codes/reassigned_sampled",
    "perplexity": "codes/perplexity",
    "dead_bits": "codes/dead_bits",
    "reward_per_step": "reward_per_step",
}
"""Figures that the run logged, and what it called them."""


def read_course(run: Path, last_step: int) -> dict[str, list[Any]]:
    """The metrics of a run up to a step, one list for each figure; None where a line lacks it or it is not finite.

    Args:
        run: the run folder.
        last_step: of the checkpoint; what was logged after it belongs to no table that is known.
    """
    lines = [line for line in read_metrics(run / "metrics.jsonl") if line["step"] <= last_step]
    course: dict[str, list[Any]] = {"step": [line["step"] for line in lines]}
    for name, tag in TAGS.items():
        if any(tag in line for line in lines):
            course[name] = [line.get(tag) for line in lines]
    return course


def read_probes(checkpoint: Checkpoint) -> NDArray[Any] | None:
    """The observations (P, ...) that the run kept to watch its codes; None where there are none."""
    if PROBES not in Manifest.read(checkpoint.path).parts:
        return None
    observations: NDArray[Any] = read_checkpoint(checkpoint.path, (PROBES,)).arrays[PROBES]["observations"]
    return observations


def churn_figures(
    config: VastConfig,
    newest: Checkpoint,
    planner: ReadablePlanner,
    probes: NDArray[Any],
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """How much the codes of the same observations change from checkpoint to checkpoint.

    Checkpoints from before the first gradient steps counted are left out: their codes are those of fresh weights.

    Args:
        config: of the run.
        newest: its checkpoint; older ones stand beside it.
        planner: any; it is not read.
        probes: observations (P, ...).
        warn: receives a line for each older checkpoint that is damaged.

    Returns:
        `step` and `to_newest`, one of each checkpoint, the share of probes whose code is another than at the end; and
        `between`, one less, the shares from each checkpoint to the next.
    """
    keys: list[Keys] = []
    steps: list[int] = []
    for path in list_checkpoints(newest.path.parent):
        try:
            checkpoint = read_checkpoint(path, (WEIGHTS,))
        except CheckpointError as error:
            warn(f"left out of the churn: {error}")
            continue
        encoder = restore_policy(config, checkpoint, planner=planner).encoder
        if checkpoint.step > newest.step or (checkpoint.meta["relabels"] == 0 and newest.meta["relabels"] > 0):
            continue
        steps.append(checkpoint.step)
        keys.append(encode(encoder, probes))
    return {
        "probes": len(probes),
        "step": steps,
        "between": [churn(before, after) for before, after in pairwise(keys)],
        "to_newest": [churn(before, keys[-1]) for before in keys],
        "distinct": [len(np.unique(one, axis=0)) for one in keys],
    }
