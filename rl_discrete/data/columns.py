"""What a replay knows of its rows besides their frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Columns:
    """N rows. A row is one observation of one env, with the step that led to it; ids only ever grow.

    Where `starts` is true nothing led to the observation: `actions` and `rewards` are zero and mean nothing.
    """

    actions: NDArray[np.int64]
    """(N,) the actions that led to the observations."""
    rewards: NDArray[np.float64]
    """(N,) the rewards received on the way, exactly as they were appended."""
    terminated: NDArray[np.bool_]
    """(N,) whether the MDP ended here: the observation is no state."""
    truncated: NDArray[np.bool_]
    """(N,) whether the episode was cut here: the observation is a state like any other, without a next one."""
    starts: NDArray[np.bool_]
    """(N,) whether the observation is the first of its episode."""
    envs: NDArray[np.int64]
    """(N,) which of the parallel envs it comes from."""
    previous: NDArray[np.int64]
    """(N,) the row before it in its episode; -1 at a start, and where that row has left the replay."""
    following: NDArray[np.int64]
    """(N,) the row after it in its episode; -1 at an end, and where there is none yet."""

    def __len__(self) -> int:
        return len(self.actions)
