"""One batch of transitions, as an encoder or a world model learns from it: numpy in, nothing remembered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TransitionBatch:
    """B transitions (previous observation, action) -> (current observation, reward).

    Where `starts` is true, `current` is the first observation of an episode: there is no transition, `previous`
    is all zeros, and `actions` and `rewards` mean nothing and are zero.
    """

    previous: NDArray[np.uint8] | NDArray[np.float32]
    """Observations before the action: uint8 (B, C, H, W) stacks, newest frame first, or float32 (B, D) vectors."""
    actions: NDArray[np.int64]
    """(B,) the actions that led from `previous` to `current`."""
    current: NDArray[np.uint8] | NDArray[np.float32]
    """Observations after the action, of the shape and type of `previous`."""
    starts: NDArray[np.bool_]
    """(B,) whether `current` is the first observation of an episode."""
    rewards: NDArray[np.float32]
    """(B,) the rewards received on the way to `current`."""

    def __len__(self) -> int:
        return len(self.actions)
