"""Replayable episodes as a gymnasium vector environment, for agents that want one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rl_discrete.envs.episodes import EpisodeEnvs, Mask, Observations


class EpisodeVectorEnv(VectorEnv[Observations, npt.NDArray[Any], npt.NDArray[Any]]):
    """`EpisodeEnvs` behind gymnasium's vector API, autoreset DISABLED: `reset` with a mask starts episodes.

    Seeds come from the run: `reset` ignores its own. Save `episodes.state()` between two steps; to go on, call
    `episodes.restore`, which returns the observations that the agent was about to act on.
    """

    def __init__(self, episodes: EpisodeEnvs) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self.episodes = episodes
        self.envs = episodes.envs
        self.num_envs = episodes.num_envs
        self.render_mode = episodes.envs[0].render_mode
        self.single_observation_space, self.single_action_space = episodes.observation_space, episodes.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        chosen: Mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        return self.episodes.begin(chosen), {}

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[Observations, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        result = self.episodes.step(actions)
        infos: dict[str, Any] = {}
        for index, info in enumerate(result.infos):
            infos = self._add_info(infos, info, index)
        return result.observations, result.rewards, result.terminated, result.truncated, infos

    def get_attr(self, name: str) -> list[Any]:
        """The attribute of every environment."""
        return self.episodes.call(name)

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """The result of a method, or an attribute, of every environment."""
        return self.episodes.call(name, *args, **kwargs)

    def render(self) -> tuple[Any, ...]:
        return tuple(self.episodes.call("render"))

    def close_extras(self, **kwargs: Any) -> None:
        self.episodes.close()
