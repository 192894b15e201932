"""An env that is held to its word: what it observes is what its space says."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rl_discrete.envs.chw import AnyEnv
from rl_discrete.runs.errors import RunError


class SteadyEnv(gymnasium.Wrapper[NDArray[Any], Any, NDArray[Any], Any]):
    """Passes everything on; an observation of another shape or type, or one that is not finite, ends the run.

    What an env shows is kept for good and learned from, so a fault in it must not go by unseen.
    """

    def __init__(self, env: AnyEnv) -> None:
        super().__init__(env)
        self._shape, self._dtype = env.observation_space.shape, env.observation_space.dtype
        self._real = self._dtype is not None and self._dtype.kind == "f"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """As the env's own.

        Raises:
            RunError: the observation is not what the space says.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._check(observation), info

    def step(self, action: Any) -> tuple[NDArray[Any], Any, bool, bool, dict[str, Any]]:
        """As the env's own.

        Raises:
            RunError: the observation is not what the space says.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._check(observation), reward, terminated, truncated, info

    def _check(self, observation: Any) -> NDArray[Any]:
        seen = np.asarray(observation)
        if seen.shape != self._shape or seen.dtype != self._dtype:
            raise RunError(
                f"the env showed {seen.dtype} {seen.shape} where its space says {self._dtype} {self._shape}; the last "
                "checkpoint is kept: mend the env"
            )
        if self._real and not np.isfinite(seen).all():
            raise RunError(
                f"the env showed {seen[~np.isfinite(seen)][0]} at place {int(np.argmin(np.isfinite(seen.ravel())))} of "
                "an observation; the last checkpoint is kept: mend the env"
            )
        return seen
