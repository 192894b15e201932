"""Which rows of a replay are only measured on: the same ones for as long as the replay grows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_discrete.data.replay import Replay
from rl_discrete.runs.errors import UsageError
from rl_discrete.runs.seeding import derive_seed


@dataclass(frozen=True)
class HeldOut:
    """One block of consecutive rows out of every so many is held out, at another place each time; first the second.

    The places are the same in every run, so whoever knows the three numbers knows what was held out. Rows interleave
    B envs, so a block of `steps * num_envs` rows holds about `steps` consecutive steps of every env.

    Raises:
        UsageError: a setting outside its range.
    """

    share: float
    """Of the rows, in [0, 0.5]; one in a whole number of blocks."""
    steps: int
    """Steps of each env in a block, >= 1."""
    num_envs: int
    """B."""

    def __post_init__(self) -> None:
        """Raises UsageError for a setting outside its range."""
        if not 0.0 <= self.share <= 0.5 or self.steps < 1:
            raise UsageError(
                f"held_out_share must be in [0, 0.5] and held_out_steps >= 1, got {self.share} and {self.steps}"
            )

    def mask(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` (any shape) are held out; -1, no row, never is."""
        if self.share == 0.0:
            return np.zeros(rows.shape, np.bool_)
        period = math.floor(1.0 / self.share + 0.5)
        groups, places = np.divmod(np.maximum(rows, 0) // (self.steps * self.num_envs), period)
        chosen = np.array([self._place(group, period) for group in range(int(groups.max(initial=0)) + 1)])
        held: NDArray[np.bool_] = (places == chosen[groups]) & (rows >= 0)
        return held

    def _place(self, group: int, period: int) -> int:
        return 1 if group == 0 else derive_seed(0, "held out", group) % period


def split_rows(replay: Replay, share: float, steps: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The kept rows of a replay that a model may be fitted to, and those that it is only measured on.

    Raises:
        UsageError: see `HeldOut`.
    """
    rows = replay.rows()
    held = HeldOut(share, steps, replay.layout.num_envs).mask(rows)
    return rows[~held], rows[held]
