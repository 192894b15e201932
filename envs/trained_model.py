"""Environments in the world model of a run: what gymnasium makes of `rl_discrete.envs:rl_discrete/WorldModel-v0`."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

from rl_discrete.envs.model import HORIZON, WorldModelEnv, WorldModelVectorEnv

# Gives the model of a run and where its episodes start. It stands above the envs, which import nothing from there: so,
# like the entry points of gymnasium, it is named by a string and looked up when somebody names a run.
_LOADER = "rl_discrete:load_world_model"


def world_model_env(run: str | Path, horizon: int = HORIZON, render_mode: str | None = None) -> WorldModelEnv:
    """The env in the world model of a run: `gymnasium.make("rl_discrete.envs:rl_discrete/WorldModel-v0", run=DIR)`.

    Raises:
        UsageError: the folder holds no world model, or another argument is wrong.
        RunError: its checkpoints are damaged.
    """
    model, starts = pkgutil.resolve_name(_LOADER)(run)
    return WorldModelEnv(model, starts, horizon, render_mode)


def world_model_vector_env(run: str | Path, num_envs: int = 1, **settings: Any) -> WorldModelVectorEnv:
    """Many envs in the world model of a run, as by `gymnasium.make_vec` of the same id.

    Args:
        run: the run folder.
        num_envs: B.
        settings: further arguments of `WorldModelVectorEnv`.

    Raises:
        UsageError: the folder holds no world model, or another argument is wrong.
        RunError: its checkpoints are damaged.
    """
    model, starts = pkgutil.resolve_name(_LOADER)(run)
    return WorldModelVectorEnv(model, starts, num_envs, **settings)
