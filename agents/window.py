"""What happened since the last line of metrics: totals and the weights that turn them into means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

from rl_discrete.runs.errors import RunError


class Window:
    """Totals by name. It goes into checkpoints as it is, so that a resumed run writes the same lines."""

    def __init__(self, totals: Mapping[str, float] | None = None) -> None:
        self.totals: dict[str, float] = dict(totals or {})

    def add(self, **values: SupportsFloat) -> None:
        """Adds to totals."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value)

    def total(self, name: str) -> float:
        """What was added under a name; 0 where nothing was."""
        return self.totals.get(name, 0.0)

    def mean(self, name: str, weight: str) -> float:
        """One total over another; nan where nothing was weighed."""
        return self.total(name) / self.total(weight) if self.total(weight) else float("nan")

    def add_steps(
        self,
        rewards: NDArray[np.float64],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        returns: NDArray[np.float64],
        lengths: NDArray[np.int64],
    ) -> None:
        """Counts one step of B envs, and the episodes that ended in it, by the sign of the last reward.

        Args:
            rewards, terminated, truncated: (B,).
            returns, lengths: (B,) sums of the rewards, and steps, of the episodes so far, with this one.
        """
        cut = truncated & ~terminated
        self.add(
            steps=len(rewards),
            reward=rewards.sum(),
            ends_plus=np.count_nonzero(terminated & (rewards > 0)),
            ends_minus=np.count_nonzero(terminated & (rewards < 0)),
            ends_zero=np.count_nonzero(terminated & (rewards == 0)),
            ends_cut=np.count_nonzero(cut),
            returns=returns[terminated | cut].sum(),
            lengths=lengths[terminated | cut].sum(),
        )


def check_rewards(rewards: NDArray[np.float64], step: int, kept: bool = False) -> None:
    """Refuses rewards that are not finite.

    Args:
        rewards: (B,), one of each env.
        step: env steps made before these.
        kept: whether to say that the last checkpoint is kept.

    Raises:
        RunError: names the first such env, its reward and the step.
    """
    finite = np.isfinite(rewards)
    if not finite.all():
        env = int(finite.argmin())
        lasting = "; the last checkpoint is kept" if kept else ""
        raise RunError(f"env {env} gave the reward {rewards[env]} at step {step}{lasting}: mend the env")
