"""What a baseline earns while it trains, in the words of VaST's metrics, so that their curves lie side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_discrete.agents.window import Window, check_rewards

_ENDS = ("plus", "minus", "zero", "cut")


class TrainingCurve:
    """Sums up rewards and ends over windows of env steps, and hands out the metrics of each.

    Args:
        num_envs: B.
        every: env steps of a window.
        log: receives the env step at which a window ends, and its metrics.
    """

    def __init__(self, num_envs: int, every: int, log: Callable[[int, dict[str, float]], None]) -> None:
        self.step = 0
        self._every, self._log = every, log
        self._window, self._latest = Window(), float("nan")
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)

    def add(
        self, rewards: NDArray[np.floating[Any]], terminated: NDArray[np.bool_], truncated: NDArray[np.bool_]
    ) -> None:
        """One step of B envs, (B,) each.

        Raises:
            RunError: a reward is not finite.
        """
        exact = np.asarray(rewards, np.float64)
        check_rewards(exact, self.step, kept=True)
        self._returns += exact
        self._lengths += 1
        self._window.add_steps(exact, terminated, truncated, self._returns, self._lengths)
        self._restart(terminated | truncated)
        self.step += len(exact)
        if self.step // self._every > (self.step - len(exact)) // self._every:
            self.finish()

    def add_losses(self, losses: Mapping[str, float]) -> None:
        """The losses of one update."""
        self._window.add(updates=1, **{f"loss/{name}": value for name, value in losses.items()})

    def finish(self) -> None:
        """Ends the window here, unless it is empty."""
        if self._window.total("steps"):
            metrics = measure_rewards(self._window)
            self._latest = metrics["reward_per_step"]
            self._log(self.step, metrics)
        self._window = Window()

    def recent(self) -> str:
        """A few words for the progress bar."""
        reward = self._latest if np.isfinite(self._latest) else self._window.mean("reward", "steps")
        return f"reward {reward:.4f} per step"

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays for a checkpoint."""
        arrays = {"returns": self._returns.copy(), "lengths": self._lengths.copy()}
        return {"step": self.step, "window": dict(self._window.totals)}, arrays

    def load_state(
        self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], restarted: NDArray[np.bool_]
    ) -> None:
        """Go on from `state()`; `restarted` (B,) are envs whose episode could not be gone on with."""
        self.step, self._window = meta["step"], Window(meta["window"])
        self._returns, self._lengths = arrays["returns"].copy(), arrays["lengths"].copy()
        self._restart(restarted)

    def _restart(self, mask: NDArray[np.bool_]) -> None:
        self._returns[mask], self._lengths[mask] = 0.0, 0


def measure_rewards(window: Window) -> dict[str, float]:
    """The metrics of a window that every agent has: nan where no episode ended in it."""
    ends = {name: window.total(f"ends_{name}") for name in _ENDS}
    terminated = ends["plus"] + ends["minus"] + ends["zero"]
    ended = terminated + ends["cut"]
    return {
        "reward_per_step": window.mean("reward", "steps"),
        **{f"ends/{name}": number for name, number in ends.items()},
        "ends/plus_share": ends["plus"] / terminated if terminated else float("nan"),
        "episode/return": window.total("returns") / ended if ended else float("nan"),
        "episode/length": window.total("lengths") / ended if ended else float("nan"),
        **{name: window.mean(name, "updates") for name in sorted(window.totals) if name.startswith("loss/")},
    }
